"""``manage.py workflows schedules``."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING, Any

from django.core.management.base import CommandParser

from django_workflows.management.subcommands.base import BaseSubcommand, add_json

if TYPE_CHECKING:
    from django_workflows.models import Schedule

_COLUMNS = ("name", "workflow", "when", "overlap", "last", "next", "state")
#: Those that a narrow terminal may do without, the most wanted first.
_SPARE = ("state", "next", "workflow", "when", "last", "overlap")


class Subcommand(BaseSubcommand):
    """Lists schedules."""

    help = "List the schedules, when they ran and when they run next."

    def add_arguments(self, parser: CommandParser) -> None:
        """Add ``--json``."""
        add_json(parser)

    def handle(self, options: argparse.Namespace) -> int:
        """Print them by name."""
        from django_workflows.api.schedules import ScheduleSerializer
        from django_workflows.models import Schedule
        from django_workflows.store.database import alias

        schedules = Schedule.objects.using(alias()).order_by("name")
        if options.json:
            self.output.json(ScheduleSerializer(schedules, many=True).data)
        elif found := list(schedules):
            self.output.table(_COLUMNS, map(_row, found), _SPARE)
        else:
            self.output.line("There is no schedule: see create_schedule().")
        return 0


def _row(schedule: Schedule) -> list[Any]:
    return [
        schedule.name,
        schedule.workflow,
        _when(schedule),
        schedule.overlap,
        schedule.last_run_at,
        schedule.next_run_at,
        _state(schedule),
    ]


def _when(schedule: Schedule) -> str:
    from django_workflows.management.output import cell

    if schedule.cron:
        return f"{schedule.cron} ({schedule.timezone})"
    if schedule.interval is not None:
        return f"every {schedule.interval:g} s"
    return f"at {cell(schedule.at)}"


def _state(schedule: Schedule) -> str:
    """What an operator has to know: why nothing starts, if so."""
    if schedule.paused:
        return f"paused: {schedule.note}" if schedule.note else "paused"
    from django_workflows.store.rendering import schedule_error

    if error := schedule_error(schedule):
        return f"failing: {error}"
    return "exhausted" if schedule.next_run_at is None else "active"
