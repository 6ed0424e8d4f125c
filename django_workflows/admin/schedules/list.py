"""The list of schedules."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django.contrib.admin import display
from django.contrib.admin.views.main import ChangeList
from django.http import HttpRequest
from django.utils.html import format_html
from django.utils.text import Truncator
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from django_workflows.admin.addresses import run_url
from django_workflows.admin.badges import badge, badge_of
from django_workflows.admin.base import (
    FilteredChangeList,
    WorkflowsAdmin,
    column,
    time_html,
)
from django_workflows.admin.beside import Beside
from django_workflows.admin.permissions import may_see_payloads, may_view
from django_workflows.admin.schedules.runs import latest_runs
from django_workflows.admin.schedules.words import when
from django_workflows.models import Run, Schedule
from django_workflows.store.health import database_now
from django_workflows.store.rendering import schedule_error

#: Characters of an error.
_ERROR = 80


@dataclass(frozen=True, slots=True)
class _Seen:
    """What a row of the list shows besides the schedule."""

    run: Run | None
    error: str
    now: datetime


_SEEN: Beside[_Seen] = Beside("seen")


class ScheduleChangeList(FilteredChangeList):
    """The list, whose rows know their newest run and what the user may know of it."""

    def get_results(self, request: HttpRequest) -> None:
        super().get_results(request)
        schedules = list(self.result_list)
        sees_runs = may_view(request, "run")
        runs = latest_runs(schedules) if sees_runs else {}
        now = database_now()
        for schedule in schedules:
            seen = _Seen(runs.get(schedule.pk), error_of(request, schedule), now)
            _SEEN.put(schedule, seen)
        self.result_list = schedules


class ScheduleList(WorkflowsAdmin[Schedule]):
    """Schedules by name, each with its newest run."""

    list_display = (
        column("name", gettext_lazy("name")),
        column("workflow", gettext_lazy("workflow")),
        "when",
        "next_time",
        "last_run",
        "failure",
    )
    search_fields = ("name", "workflow")
    ordering = ("name",)
    list_per_page = 50

    def get_changelist(self, request: HttpRequest, **options: Any) -> type[ChangeList]:
        return ScheduleChangeList

    @display(description=gettext_lazy("when"))
    def when(self, schedule: Schedule) -> str:
        return when(schedule)

    @display(description=gettext_lazy("next time"), ordering="next_run_at")
    def next_time(self, schedule: Schedule) -> Any:
        if schedule.paused:
            return badge("paused", _("paused"))
        moment = schedule.next_run_at
        return None if moment is None else time_html(moment, _SEEN.of(schedule).now)

    @display(description=gettext_lazy("last run"), ordering="last_run_at")
    def last_run(self, schedule: Schedule) -> Any:
        if schedule.last_run_at is None:
            return None
        time = time_html(schedule.last_run_at)
        return format_html("{} {}", _linked(_SEEN.of(schedule).run), time)

    @display(description=gettext_lazy("failure"))
    def failure(self, schedule: Schedule) -> str:
        return Truncator(_SEEN.of(schedule).error).chars(_ERROR)


def error_of(request: HttpRequest, schedule: Schedule) -> str:
    """Why its last start failed: when and of which type the error was, and what it says
    only for those who may see payloads."""
    if may_see_payloads(request):
        return schedule_error(schedule)
    return ": ".join(schedule.last_error.split(": ")[:2])


def _linked(run: Run | None) -> str:
    """The status of a run, which leads to its page; nothing for none."""
    if run is None:
        return ""
    return format_html('<a href="{}">{}</a>', run_url(run), badge(*badge_of(run)))
