"""The pages of schedules."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

from django.contrib import admin
from django.contrib.admin.utils import display_for_field, unquote
from django.core.exceptions import PermissionDenied, ValidationError
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseRedirect
from django.urls import URLPattern
from django.utils.translation import gettext_lazy, pgettext_lazy

from django_workflows.admin.addresses import runs_url, schedule_url
from django_workflows.admin.durations import time_apart
from django_workflows.admin.payloads import payload_of
from django_workflows.admin.permissions import may_see_payloads, may_view
from django_workflows.admin.schedules.actions import VERBS, act, may_act, possible
from django_workflows.admin.schedules.backfill import backfill
from django_workflows.admin.schedules.form import (
    ARGUMENTS,
    ScheduleForm,
    readable_call,
    zones,
)
from django_workflows.admin.schedules.list import ScheduleList, error_of
from django_workflows.admin.schedules.runs import runs_of
from django_workflows.admin.schedules.texts import TEXTS
from django_workflows.admin.schedules.times import preview_of
from django_workflows.admin.schedules.words import when
from django_workflows.core.durations import to_text
from django_workflows.http.discretion import takes_payloads
from django_workflows.models import Schedule
from django_workflows.store.health import database_now

#: The attribute of a request for why a save was refused after all.
_REFUSAL = "_schedule_refusal"


def labelled(name: str) -> Callable[[Schedule], Any]:
    """A field as it is shown where it cannot be edited, with the label of the form:
    those of the model are not translated."""
    field: Any = Schedule._meta.get_field(name)

    @admin.display(description=TEXTS[name][0])
    def value(schedule: Schedule) -> Any:
        return display_for_field(getattr(schedule, name), field, "-")

    # It is in the classes of the row.
    value.__name__ = name
    return value


@admin.register(Schedule)
class ScheduleAdmin(ScheduleList):
    """What is started by the clock: edited, paused, triggered, made up for."""

    form = ScheduleForm
    change_form_template = "admin/django_workflows/schedule/change_form.html"
    delete_confirmation_template = "admin/django_workflows/schedule/delete.html"
    delete_selected_confirmation_template = (
        "admin/django_workflows/schedule/delete_selected.html"
    )
    fieldsets = (
        (None, {"fields": ("name", "workflow", "args", "kwargs")}),
        (
            gettext_lazy("When"),
            {"fields": ("cron", "timezone", "interval", "offset", "at")},
        ),
        (
            gettext_lazy("From and until"),
            {"fields": ("start_at", "end_at", "remaining_runs")},
        ),
        (
            gettext_lazy("In practice"),
            {"fields": ("jitter", "overlap", "catchup_window")},
        ),
        (pgettext_lazy("workflows", "State"), {"fields": ("paused", "note")}),
    )
    #: What those see who may change nothing.
    view_fields = (
        labelled("name"),
        labelled("workflow"),
        "when",
        labelled("start_at"),
        labelled("end_at"),
        labelled("remaining_runs"),
        "jitter_text",
        labelled("overlap"),
        "catchup_text",
        labelled("paused"),
        labelled("note"),
    )

    # -- the form ---------------------------------------------------------------------

    @admin.display(description=gettext_lazy("jitter"))
    def jitter_text(self, schedule: Schedule) -> str:
        return to_text(schedule.jitter)

    @admin.display(description=gettext_lazy("catch-up window"))
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
        if obj is not None and not may_see_payloads(request):
            # Django leaves them in, as they are no fields of the model.
            for name in ARGUMENTS:
                del form.base_fields[name]
        return form

    @takes_payloads
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
        self, request: HttpRequest, context: dict[str, Any], *args: Any, **options: Any
    ) -> HttpResponse:
        form = context["adminform"].form
        edited = original = context["original"]
        if form.is_bound:
            edited = form.instance if form.can_be_previewed else None
        try:
            context["preview"] = None if edited is None else preview_of(edited)
        except ValueError as error:
            context["damage"] = str(error)
        context["is_preview"] = form.is_bound and form.is_preview
        context["zones"] = zones()
        if original is not None:
            stored = self.get_queryset(request).get(pk=original.pk)
            context |= self._context_of(request, stored)
        return super().render_change_form(request, context, *args, **options)

    def _context_of(self, request: HttpRequest, schedule: Schedule) -> dict[str, Any]:
        """What the page of a schedule shows besides its form."""
        shows_payloads = may_see_payloads(request)
        call = readable_call(schedule) if shows_payloads else {}
        sees_runs = may_view(request, "run")
        return {
            "schedule": schedule,
            "when": when(schedule),
            "due": time_apart(schedule.next_run_at, database_now())
            if schedule.next_run_at
            else "",
            "error": error_of(request, schedule),
            "verbs": possible(self, request, schedule),
            "call": {name: payload_of(value) for name, value in call.items()},
            "shows_payloads": shows_payloads,
            "shows_call": not (
                shows_payloads and self.has_change_permission(request, schedule)
            ),
            "runs": runs_of(schedule) if sees_runs else None,
            "runs_url": runs_url({"schedule": schedule.name}),
        }

    # -- what is done to them ---------------------------------------------------------

    def get_urls(self) -> list[URLPattern]:
        """`schedule/<id>/<verb>/`, before Django's own."""
        own = [self.own_url(verb, partial(self.act_view, verb=verb)) for verb in VERBS]
        return [*own, *super().get_urls()]

    def act_view(self, request: HttpRequest, object_id: str, verb: str) -> HttpResponse:
        """Do one of `VERBS`; without being sent, only the page of one is shown."""
        if not self.has_change_permission(request):
            raise PermissionDenied
        schedule = self.get_object(request, unquote(object_id))
        if schedule is None:
            raise Http404
        if not may_act(self, request, schedule, verb):
            raise PermissionDenied
        if verb == "backfill":
            return backfill(self, request, schedule)
        if request.method == "POST":
            act(request, schedule, verb)
        return HttpResponseRedirect(schedule_url(schedule))
