"""The pages of schedules."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import Any

from django.contrib import admin
from django.contrib.admin.utils import unquote
from django.contrib.admin.views.main import ChangeList
from django.core.exceptions import PermissionDenied, ValidationError
from django.http import Http404, HttpRequest, HttpResponse
from django.urls import URLPattern, path
from django.utils.html import format_html
from django.utils.text import Truncator
from django.utils.translation import gettext_lazy as _

from django_workflows.admin.addresses import run_url, runs_url
from django_workflows.admin.base import FilteredList, WorkflowsAdmin, column, time_html
from django_workflows.admin.payloads import payload_of
from django_workflows.admin.permissions import may_see_payloads
from django_workflows.admin.schedules.actions import VERBS, act, possible
from django_workflows.admin.schedules.form import (
    ARGUMENTS,
    ScheduleForm,
    readable_call,
    zones,
)
from django_workflows.admin.schedules.runs import latest_runs, runs_of
from django_workflows.admin.schedules.times import preview_of
from django_workflows.admin.schedules.words import when
from django_workflows.core.durations import to_text
from django_workflows.models import Run, Schedule

_FOLDER = "admin/django_workflows/schedule"


@admin.register(Schedule)
class ScheduleAdmin(WorkflowsAdmin[Schedule]):
    """What is started by the clock: edited, paused, triggered, made up for."""

    form = ScheduleForm
    change_form_template = f"{_FOLDER}/change_form.html"
    change_list_template = f"{_FOLDER}/change_list.html"
    list_display = (
        column("name", _("name")),
        column("workflow", _("workflow")),
        "when",
        "next_time",
        "last_run",
        "failure",
    )
    search_fields = ("name", "workflow")
    ordering = ("name",)
    list_per_page = 50
    save_on_top = False
    fieldsets = (
        (None, {"fields": ("name", "workflow", "args", "kwargs")}),
        (_("When"), {"fields": ("cron", "timezone", "interval", "offset", "at")}),
        (_("From and until"), {"fields": ("start_at", "end_at", "remaining_runs")}),
        (_("In practice"), {"fields": ("jitter", "overlap", "catchup_window")}),
        (_("State"), {"fields": ("paused", "note")}),
    )
    #: What those see who may change nothing.
    view_fields = (
        "name",
        "workflow",
        "when",
        "start_at",
        "end_at",
        "remaining_runs",
        "jitter_text",
        "overlap",
        "catchup_text",
        "paused",
        "note",
    )

    # -- the list ---------------------------------------------------------------------

    def get_changelist(self, request: HttpRequest, **options: Any) -> type[ChangeList]:
        return ScheduleList

    @admin.display(description=_("when"))
    def when(self, schedule: Schedule) -> str:
        return when(schedule)

    @admin.display(description=_("next time"), ordering="next_run_at")
    def next_time(self, schedule: Schedule) -> Any:
        if schedule.paused:
            paused = _("paused")
            return format_html(
                '<span class="dw-status dw-status-paused">{}</span>', paused
            )
        moment = schedule.next_run_at
        return None if moment is None else time_html(moment)

    @admin.display(description=_("last run"), ordering="last_run_at")
    def last_run(self, schedule: Schedule) -> Any:
        if schedule.last_run_at is None:
            return None
        time = time_html(schedule.last_run_at)
        return format_html("{} {}", badge(_seen(schedule).run), time)

    @admin.display(description=_("failure"))
    def failure(self, schedule: Schedule) -> str:
        return Truncator(_seen(schedule).error).chars(80)

    # -- the form ---------------------------------------------------------------------

    @admin.display(description=_("jitter"))
    def jitter_text(self, schedule: Schedule) -> str:
        return to_text(schedule.jitter)

    @admin.display(description=_("catch-up window"))
    def catchup_text(self, schedule: Schedule) -> str:
        return to_text(schedule.catchup_window)

    def get_fieldsets(self, request: HttpRequest, obj: Schedule | None = None) -> Any:
        if obj is None:
            return self.fieldsets
        if not self.has_change_permission(request, obj):
            return ((None, {"fields": self.view_fields}),)
        if may_see_payloads(request):
            return self.fieldsets
        (title, what), *others = self.fieldsets
        visible = [name for name in what["fields"] if name not in ARGUMENTS]
        return ((title, {"fields": visible}), *others)

    def get_form(
        self,
        request: HttpRequest,
        obj: Schedule | None = None,
        change: bool = False,
        **options: Any,
    ) -> Any:
        form: Any = super().get_form(request, obj, change, **options)
        form.refusal = vars(request).get(_REFUSAL)
        return form

    def changeform_view(
        self,
        request: HttpRequest,
        object_id: str | None = None,
        form_url: str = "",
        extra_context: dict[str, Any] | None = None,
    ) -> HttpResponse:
        """The form; again, with what was given, if a save is refused after all: since
        it was checked, a name may have been taken, or the only time have passed."""
        try:
            return super().changeform_view(request, object_id, form_url, extra_context)
        except ValidationError as error:
            vars(request)[_REFUSAL] = error
            return super().changeform_view(request, object_id, form_url, extra_context)

    def render_change_form(
        self,
        request: HttpRequest,
        context: dict[str, Any],
        add: bool = False,
        change: bool = False,
        form_url: str = "",
        obj: Schedule | None = None,
    ) -> HttpResponse:
        form = context["adminform"].form
        edited = obj
        if form.is_bound:
            edited = form.instance if form.can_be_previewed else None
        context["preview"] = None if edited is None else preview_of(edited)
        context["is_preview"] = form.is_bound and form.is_preview
        context["zones"] = zones()
        if obj is not None:
            stored = self.get_queryset(request).get(pk=obj.pk)
            context |= self._context_of(request, stored)
        return super().render_change_form(request, context, add, change, form_url, obj)

    def _context_of(self, request: HttpRequest, schedule: Schedule) -> dict[str, Any]:
        """What the page of a schedule shows besides its form."""
        shows_payloads = may_see_payloads(request)
        call = readable_call(schedule) if shows_payloads else {}
        sees_runs = request.user.has_perm("django_workflows.view_run")
        return {
            "schedule": schedule,
            "when": when(schedule),
            "error": error_of(request, schedule),
            "verbs": possible(self, request, schedule),
            "call": {name: payload_of(value) for name, value in call.items()},
            "shows_payloads": shows_payloads,
            "shows_call": not (
                shows_payloads and self.has_change_permission(request, schedule)
            ),
            "runs": runs_of(schedule) if sees_runs else None,
            "runs_url": runs_url(schedule=schedule.name),
        }

    # -- what is done to them ---------------------------------------------------------

    def get_urls(self) -> list[URLPattern]:
        own = [
            path(
                f"<path:object_id>/{verb}/",
                self.admin_site.admin_view(partial(self.act_view, verb=verb)),
                name=f"django_workflows_schedule_{verb}",
            )
            for verb in VERBS
        ]
        return [*own, *super().get_urls()]

    def act_view(self, request: HttpRequest, object_id: str, verb: str) -> HttpResponse:
        if not self.has_change_permission(request):
            raise PermissionDenied
        schedule = self.get_object(request, unquote(object_id))
        if schedule is None:
            raise Http404
        return act(self, request, schedule, verb)


class ScheduleList(FilteredList):
    """The list, whose rows know their newest run and what the user may know of it."""

    def get_results(self, request: HttpRequest) -> None:
        super().get_results(request)
        schedules = list(self.result_list)
        sees_runs = request.user.has_perm("django_workflows.view_run")
        runs = latest_runs(schedules) if sees_runs else {}
        for schedule in schedules:
            seen = _Seen(runs.get(schedule.pk), error_of(request, schedule))
            vars(schedule)[_SEEN] = seen
        self.result_list = schedules


@dataclass(frozen=True, slots=True)
class _Seen:
    """What a row of the list shows besides the schedule."""

    run: Run | None
    error: str


_SEEN = "_seen_in_list"
_REFUSAL = "_schedule_refusal"


def _seen(schedule: Schedule) -> _Seen:
    seen: _Seen = vars(schedule)[_SEEN]
    return seen


def badge(run: Run | None) -> str:
    """The status of a run, which leads to its page; nothing for none."""
    if run is None:
        return ""
    return format_html(
        '<a href="{}"><span class="dw-status dw-status-{}">{}</span></a>',
        run_url(run),
        run.status,
        run.get_status_display(),
    )


def error_of(request: HttpRequest, schedule: Schedule) -> str:
    """Why its last start failed: when and of which type the error was, and what it says
    only for those who may see payloads."""
    if may_see_payloads(request):
        return schedule.last_error
    return ": ".join(schedule.last_error.split(": ")[:2])
