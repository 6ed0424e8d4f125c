"""``manage.py workflows workers``."""

from __future__ import annotations

import argparse
from typing import Any

from django.core.management.base import CommandParser

from django_workflows.management.subcommands.base import BaseSubcommand, add_json

_COLUMNS = (
    "id",
    "host",
    "pid",
    "queues",
    "alive",
    "runs",
    "steps",
    "started",
    "heartbeat",
    "stopped",
)
#: Those that a narrow terminal may do without, the most wanted first.
_SPARE = ("host", "pid", "runs", "steps", "heartbeat", "queues", "started", "stopped")


class Subcommand(BaseSubcommand):
    """Lists worker processes."""

    help = "List the worker processes, what they serve and how much they have to do."

    def add_arguments(self, parser: CommandParser) -> None:
        """Add ``--all`` and ``--json``."""
        parser.add_argument(
            "--all", action="store_true", help="Also those that have stopped."
        )
        add_json(parser)

    def handle(self, options: argparse.Namespace) -> int:
        """Print them in the order in which they were started."""
        from django_workflows.api.health import worker_list
        from django_workflows.models import Worker
        from django_workflows.store.database import alias

        workers = Worker.objects.using(alias()).order_by("started_at", "id")
        if not options.all:
            workers = workers.filter(stopped_at__isnull=True)
        shown = worker_list(workers)
        if options.json:
            self.output.json(shown)
        elif shown:
            self.output.table(_COLUMNS, map(_row, shown), _SPARE)
        else:
            self.output.line("There is no worker: start manage.py workflows worker.")
        return 0


def _row(worker: dict[str, Any]) -> list[Any]:
    from django_workflows.management.output import moment

    return [
        *(worker[name] for name in ("id", "host", "pid", "queues")),
        "yes" if worker["is_alive"] else "no",
        worker["runs"],
        worker["steps"],
        *(moment(worker[f"{name}_at"]) for name in _COLUMNS[-3:]),
    ]
