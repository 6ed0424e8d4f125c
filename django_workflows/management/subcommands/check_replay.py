"""``manage.py workflows check-replay``."""

from __future__ import annotations

import argparse
import sys
from contextlib import redirect_stdout
from typing import Any

from django.core.management.base import CommandError, CommandParser

from django_workflows.errors import UnknownCodeError
from django_workflows.management.subcommands.base import BaseSubcommand, add_json


class Subcommand(BaseSubcommand):
    """Tells before a deploy which runs the new code would block."""

    help = (
        "Replay histories against today's code, without running steps or writing. "
        "Exit code 1 if any run would be blocked."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        """Add the files, ``--open``, ``--fail-fast`` and ``--json``."""
        parser.add_argument(
            "files",
            nargs="*",
            metavar="FILE",
            help="Histories written by `workflows export`.",
        )
        parser.add_argument(
            "--open",
            action="store_true",
            help="Replay all open runs of the database; the default without files.",
        )
        parser.add_argument(
            "--fail-fast", action="store_true", help="Stop at the first that breaks."
        )
        add_json(parser)

    def handle(self, options: argparse.Namespace) -> int:
        """Print what would break; 1 if anything would."""
        from django_workflows.models import Run
        from django_workflows.store.checking import check_replay

        sources: list[Any] = list(options.files)
        if options.open or not sources:
            sources.append(Run.objects.open())
        try:
            # What workflow code prints is no part of the report.
            with redirect_stdout(sys.stderr):
                report = check_replay(*sources, fail_fast=options.fail_fast)
        except (OSError, ValueError, UnknownCodeError) as error:
            raise CommandError(str(error)) from error
        if options.json:
            self.output.json(report.as_json())
        else:
            self.stdout.write(str(report))
        return 1 if report.broken else 0
