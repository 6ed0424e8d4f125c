"""What the clock starts next."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from django.utils.translation import gettext as _

from django_workflows.admin.dashboard.view import View
from django_workflows.admin.durations import in_words
from django_workflows.models import Schedule
from django_workflows.store.database import alias
from django_workflows.store.rendering import schedule_error

#: Schedules that are shown.
_MOST = 8


@dataclass(frozen=True)
class Line:
    """A schedule, and in how long it is due; empty if it is due already."""

    schedule: Schedule
    due_in: str
    error: str


def panel(view: View) -> dict[str, Any] | None:
    """The schedules that are due next."""
    if not view.may_view("schedule"):
        return None
    schedules = Schedule.objects.using(alias()).defer("sealed_input")
    due = schedules.filter(next_run_at__isnull=False, paused=False)
    lines = []
    for schedule in due.order_by("next_run_at")[:_MOST]:
        assert schedule.next_run_at is not None
        left = schedule.next_run_at - view.now
        due_in = in_words(left) if left.total_seconds() > 0 else ""
        error = schedule_error(schedule)
        if error and not view.shows_payloads:
            error = _("The last start failed.")
        lines.append(Line(schedule, due_in, error))
    return {"title": _("Schedules due next"), "lines": lines}
