"""What people do to schedules besides editing them, which the admin's log notes."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from typing import Any

from django import forms
from django.contrib import messages
from django.contrib.admin.models import LogEntry
from django.core.exceptions import PermissionDenied, ValidationError
from django.db import router, transaction
from django.http import (
    HttpRequest,
    HttpResponse,
    HttpResponseRedirect,
)
from django.template.response import TemplateResponse
from django.urls import reverse
from django.utils.html import format_html
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy, ngettext

from django_workflows.admin.addresses import run_url
from django_workflows.admin.base import WorkflowsAdmin
from django_workflows.admin.forms.fields import MomentField
from django_workflows.admin.payloads import refusal_text
from django_workflows.admin.permissions import may
from django_workflows.admin.runs.steering import log_change
from django_workflows.admin.schedules.times import COUNT, clock, show_times
from django_workflows.errors import WorkflowError
from django_workflows.models import Schedule
from django_workflows.store.schedule_runs import times_between

LONGEST_NOTE = 1000
#: What a start raises where code and schedule have parted.
_REFUSALS = (TypeError, ValueError, WorkflowError)

Admin = WorkflowsAdmin[Schedule]


def possible(model_admin: Admin, request: HttpRequest, schedule: Schedule) -> list[str]:
    """What this user can do to a schedule, in the order of the buttons."""
    if not model_admin.has_change_permission(request, schedule):
        return []
    verbs = ["unpause" if schedule.paused else "pause"]
    return [*verbs, "trigger", "backfill"] if may(request, "start") else verbs


def act(
    model_admin: Admin, request: HttpRequest, schedule: Schedule, verb: str
) -> HttpResponse:
    """Answer a request for one of `VERBS`. Raises PermissionDenied."""
    if not model_admin.has_change_permission(request, schedule):
        raise PermissionDenied
    if verb in ("trigger", "backfill") and not may(request, "start"):
        raise PermissionDenied
    if verb == "backfill":
        return _backfill(model_admin, request, schedule)
    if request.method != "POST":
        return _back(schedule)
    # What is done must not go unnoted, where one transaction can hold both.
    try:
        with transaction.atomic(using=router.db_for_write(LogEntry)):
            _SIMPLE[verb](model_admin, request, schedule)
    except _REFUSALS as error:
        messages.error(request, refusal_text(request, error))
    return _back(schedule)


def _pause(model_admin: Admin, request: HttpRequest, schedule: Schedule) -> None:
    note = request.POST.get("note", "").replace("\0", "").strip()[:LONGEST_NOTE]
    schedule.pause(note)
    done = _("Paused")
    model_admin.log_change(request, schedule, f"{done}: {note}" if note else done)
    messages.success(request, _("The schedule is paused."))


def _unpause(model_admin: Admin, request: HttpRequest, schedule: Schedule) -> None:
    schedule.unpause()
    model_admin.log_change(request, schedule, _("Unpaused"))
    messages.success(request, _("The schedule goes on with its next time."))


def _trigger(model_admin: Admin, request: HttpRequest, schedule: Schedule) -> None:
    run = schedule.trigger()
    model_admin.log_change(request, schedule, _("Triggered: %(run)s") % {"run": run.pk})
    note = _("Started by the schedule %(name)s") % {"name": schedule.name}
    log_change(request, run, note)
    text = _("A run has been started: {}")
    link = format_html('<a href="{}">{}</a>', run_url(run), run.pk)
    messages.success(request, format_html(text, link))


_SIMPLE: dict[str, Callable[[Admin, HttpRequest, Schedule], None]] = {
    "pause": _pause,
    "unpause": _unpause,
    "trigger": _trigger,
}
VERBS = (*_SIMPLE, "backfill")


# -- making up for times --------------------------------------------------------------


class BackfillForm(forms.Form):
    """From when until when, and which times that are."""

    start = MomentField(label=gettext_lazy("From"))
    end = MomentField(label=gettext_lazy("Until"))

    def __init__(self, schedule: Schedule, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self._schedule = schedule
        #: Once it is valid: the times, in microseconds.
        self.times: list[int] = []

    def clean(self) -> dict[str, Any]:
        cleaned = self.cleaned_data
        if not self.errors:
            try:
                self.times = times_between(self._schedule, *self.ends)
            except ValueError as error:
                raise ValidationError(str(error)) from None
            if not self.times:
                raise ValidationError(_("There is no time in between."))
        return cleaned

    @property
    def ends(self) -> tuple[datetime, datetime]:
        """The first and the last moment."""
        return self.cleaned_data["start"], self.cleaned_data["end"]


def _backfill(
    model_admin: Admin, request: HttpRequest, schedule: Schedule
) -> HttpResponse:
    form = BackfillForm(schedule, request.POST or None)
    if form.is_valid() and request.POST.get("post") == "yes":
        try:
            with transaction.atomic(using=router.db_for_write(LogEntry)):
                _make_up(model_admin, request, schedule, form)
        except _REFUSALS as error:
            messages.error(request, refusal_text(request, error))
        return _back(schedule)
    shown = show_times(schedule, [*form.times[:COUNT], *form.times[COUNT:][-1:]])
    context = {
        **model_admin.admin_site.each_context(request),
        "opts": model_admin.opts,
        "original": schedule,
        "title": _("Backfill"),
        "form": form,
        "count": len(form.times),
        "times": shown[:COUNT],
        "last": shown[COUNT:],
        "between": max(0, len(form.times) - COUNT - 1),
    }
    template = "admin/django_workflows/schedule/backfill.html"
    return TemplateResponse(request, template, context)


def _make_up(
    model_admin: Admin, request: HttpRequest, schedule: Schedule, form: BackfillForm
) -> None:
    start, end = form.ends
    count = len(schedule.backfill(start, end))
    values = {"count": count, "start": clock(start), "end": clock(end)}
    note = _("Made up for times from %(start)s to %(end)s: %(count)d") % values
    model_admin.log_change(request, schedule, note)
    text = ngettext(
        "%(count)d run has been started.", "%(count)d runs have been started.", count
    ) % {"count": count}
    left = len(form.times) - count
    if left:
        text += " " + ngettext(
            "%(count)d time has had its run.", "%(count)d times have had theirs.", left
        ) % {"count": left}
    messages.success(request, text)


def _back(schedule: Schedule) -> HttpResponse:
    url = reverse("admin:django_workflows_schedule_change", args=[schedule.pk])
    return HttpResponseRedirect(url)
