"""``manage.py workflows show``."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING, Any

from django.core.management.base import CommandParser

from django_workflows.management.subcommands.base import (
    BaseSubcommand,
    add_json,
    add_run,
    find_run,
)

if TYPE_CHECKING:
    from django_workflows.models import Run


class Subcommand(BaseSubcommand):
    """Shows a run with all that it has done and is doing."""

    help = (
        "Show a run: what it was given, what it did and does, what it waits for, "
        "and why it failed or is blocked."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        """Add the run, ``--follow`` and ``--json``."""
        add_run(parser)
        parser.add_argument(
            "--follow",
            action="store_true",
            help="Go on until the run has ended, in whatever way; exit code 0 then.",
        )
        add_json(parser)

    def handle(self, options: argparse.Namespace) -> int:
        """Print the run once, or as it goes on."""
        from django_workflows.management.report import RunReport

        run = find_run(options)
        if options.follow:
            self._follow(run, quietly=options.json)
        if options.json:
            self.output.json(RunReport(run).as_json())
        elif not options.follow or not self.output.is_terminal:
            RunReport(run).write(self.output)
        return 0

    def _follow(self, run: Run, *, quietly: bool) -> None:
        """Until the run has ended: quietly, drawn anew on a terminal, or entry by
        entry."""
        from django_workflows.management.following import follow_log

        if self.output.is_terminal and not quietly:
            self._draw(run)
            return
        for page in follow_log(run):
            if not quietly:
                for event in page:
                    self._tell(event)
        run.refresh_from_db()

    def _draw(self, run: Run) -> None:
        from rich.live import Live

        from django_workflows.management.following import follow_log
        from django_workflows.management.report import RunReport

        output = self.output
        with Live(console=output.console(), auto_refresh=False) as live:
            for _page in follow_log(run):
                run.refresh_from_db()
                live.update(RunReport(run).drawn(output), refresh=True)
            run.refresh_from_db()
            # Drawn when the block is left, and then whole however long it is.
            live.update(RunReport(run).drawn(output))

    def _tell(self, event: Any) -> None:
        from django_workflows.management.output import cell

        subject = event.details.get("name", "") or event.correlation_id
        if event.type.startswith("hook_"):
            subject = event.correlation_id  # the name of a hook is its token
        time = cell(event.created_at)
        self.output.line(f"{time}  {event.type}  {subject}".rstrip())
        self.stdout.flush()
