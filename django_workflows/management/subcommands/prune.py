"""``manage.py workflows prune``."""

from __future__ import annotations

import argparse

from django.core.management.base import CommandError, CommandParser

from django_workflows.core.durations import to_seconds
from django_workflows.management.subcommands.base import BaseSubcommand, add_json, count


class Subcommand(BaseSubcommand):
    """Deletes closed runs whose time is over."""

    help = "Delete closed runs whose retention is over, with their events and steps."

    def add_arguments(self, parser: CommandParser) -> None:
        """Say which runs, how many at a time, and whether at all."""
        parser.add_argument(
            "--older-than",
            type=_duration,
            metavar="30d",
            help="Delete runs without a retention of their own, too, if they ended so "
            "long ago. Without it, those are kept for ever.",
        )
        parser.add_argument("--workflow", metavar="NAME", help="Only runs of this one.")
        parser.add_argument(
            "--batch",
            type=count,
            metavar="N",
            default=500,
            help="Runs deleted in one transaction. Default: 500.",
        )
        parser.add_argument(
            "--dry-run", action="store_true", help="Only say how many there are."
        )
        add_json(parser)

    def handle(self, options: argparse.Namespace) -> int:
        """Print how many runs were deleted."""
        from django_workflows.store.retention import prune

        try:
            count = prune(
                older_than=options.older_than,
                workflow=options.workflow,
                batch=options.batch,
                dry_run=options.dry_run,
            )
        except ValueError as error:
            raise CommandError(str(error)) from error
        if options.json:
            self.output.json({"runs": count, "dry_run": options.dry_run})
        elif options.dry_run:
            self.stdout.write(f"{count} runs would be deleted.")
        else:
            self.stdout.write(f"{count} runs deleted.")
        return 0


def _duration(text: str) -> float:
    try:
        return to_seconds(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from None
