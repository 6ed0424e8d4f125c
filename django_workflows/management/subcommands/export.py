"""``manage.py workflows export``."""

from __future__ import annotations

import argparse

from django.core.management.base import CommandParser

from django_workflows.management.subcommands.base import (
    BaseSubcommand,
    add_run,
    find_run,
)


class Subcommand(BaseSubcommand):
    """Writes a run's history as JSON, for ``check-replay`` and for people."""

    help = "Write a run's history as JSON, to be replayed by check-replay."

    def add_arguments(self, parser: CommandParser) -> None:
        """Add the run, ``--with-seed`` and ``--json``."""
        add_run(parser)
        parser.add_argument(
            "--with-seed",
            action="store_true",
            help="Include the run's secret seed in clear: needed to replay a run that "
            "uses random() or uuid4() away from its database. Keep the file secret.",
        )
        parser.add_argument(
            "--json", action="store_true", help="One JSON document, as always."
        )

    def handle(self, options: argparse.Namespace) -> int:
        """Print the document."""
        from django_workflows.store.exports import export_history

        run = find_run(options)
        self.output.json(export_history(run, with_seed=options.with_seed))
        return 0
