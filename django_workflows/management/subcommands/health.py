"""``manage.py workflows health``."""

from __future__ import annotations

import argparse
from typing import Any

from django.core.management.base import CommandParser

from django_workflows.management.subcommands.base import BaseSubcommand, add_json


class Subcommand(BaseSubcommand):
    """Says whether the engine is alive."""

    help = (
        "Say whether the database answers and a worker is alive. "
        "Exit code 1 if not both."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        """Add ``--json``."""
        add_json(parser)

    def handle(self, options: argparse.Namespace) -> int:
        """Print it, with what waits and what is blocked; 1 if it is not alive."""
        from django_workflows.api.health import health_report

        report = health_report(lambda: True)
        if options.json:
            self.output.json(report)
        else:
            self._tell(report)
        return 0 if report["status"] == "ok" else 1

    def _tell(self, report: dict[str, Any]) -> None:
        output = self.output
        output.line(f"status: {report['status']}")
        output.line(f"database: {'answers' if report['database'] else 'no answer'}")
        if not report["database"]:
            return
        output.line(f"workers alive: {report['workers']}")
        for name, count in report["blocked_runs"].items():
            output.line(f"blocked runs of {name}: {count}")
        if report["queues"]:
            columns = ("queue", "due runs", "due steps", "oldest due")
            output.table(columns, map(_row, report["queues"]))


def _row(queue: dict[str, Any]) -> list[Any]:
    from django_workflows.management.output import moment

    oldest = moment(queue["oldest_due_at"])
    return [queue["name"], queue["due_runs"], queue["due_steps"], oldest]
