"""``manage.py workflows events``."""

from __future__ import annotations

import argparse
from typing import Any

from django.core.management.base import CommandParser

from django_workflows.management.subcommands.base import (
    BaseSubcommand,
    add_json,
    add_run,
    find_run,
)


class Subcommand(BaseSubcommand):
    """Shows a run's log."""

    help = "Show the log of a run, event by event."

    def add_arguments(self, parser: CommandParser) -> None:
        """Add the run and ``--json``."""
        add_run(parser)
        add_json(parser)

    def handle(self, options: argparse.Namespace) -> int:
        """Print the events in order."""
        from django_workflows.management.output import moment
        from django_workflows.store.following import read_events
        from django_workflows.store.rendering import event_json

        run = find_run(options)
        events: list[dict[str, Any]] = []
        first = 1
        while page := read_events(run.pk, first):
            events += [event_json(event, run.workflow) for event in page]
            first = (page[-1].seq or 0) + 1
        if options.json:
            self.output.json(events)
            return 0
        self.output.table(
            ("seq", "time", "type", "about", "data"),
            [
                (
                    event["seq"],
                    moment(event["created_at"]),
                    event["type"],
                    event["correlation_id"],
                    event["data"],
                )
                for event in events
            ],
            spare=("data", "about", "time"),
        )
        return 0
