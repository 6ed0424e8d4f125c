"""The page that makes up for times of a schedule: they are shown first."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from django import forms
from django.contrib import messages
from django.core.exceptions import ValidationError
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy, ngettext

from django_workflows.admin.addresses import schedule_url
from django_workflows.admin.forms.fields import MomentField
from django_workflows.admin.payloads import refusal_text
from django_workflows.admin.schedules.actions import REFUSALS, Admin
from django_workflows.admin.schedules.times import COUNT, show_times
from django_workflows.models import Schedule
from django_workflows.store.people.actors import actor_of
from django_workflows.store.people.making_up import Backfill, backfill_of
from django_workflows.store.schedule_runs import times_between

#: Seconds after which a request begins no other batch: none takes longer than servers
#: and proxies wait for.
LONGEST = 10.0


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


def backfill(
    model_admin: Admin, request: HttpRequest, schedule: Schedule
) -> HttpResponse:
    """Ask from when until when, show which times that are, or start their runs."""
    form = BackfillForm(schedule, request.POST or None)
    wanted = backfill_of(schedule, form.times if form.is_valid() else [])
    if form.is_valid() and request.POST.get("post") == "yes":
        is_over = _make_up(request, form, wanted)
        if is_over:
            return HttpResponseRedirect(schedule_url(schedule))
    times = wanted.times
    shown = show_times(schedule, [*times[:COUNT], *times[COUNT:][-1:]])
    context = {
        "original": schedule,
        "title": _("Backfill"),
        "form": form,
        "count": len(times),
        "had": _have_had(len(form.times) - len(times)),
        "times": shown[:COUNT],
        "last": shown[COUNT:],
        "between": max(0, len(times) - COUNT - 1),
    }
    return model_admin.page(request, "schedule/backfill.html", context)


def _make_up(request: HttpRequest, form: BackfillForm, wanted: Backfill) -> bool:
    """Start what is wanted, and tell how far that has come; whether it is over."""
    had = _have_had(len(form.times) - len(wanted.times))
    error = None
    try:
        wanted.begin(actor_of(request.user), LONGEST)
    except REFUSALS as refusal:
        error = refusal
    count, left = len(wanted.started), len(wanted.times)
    text = ngettext(
        "%(count)d run has been started.", "%(count)d runs have been started.", count
    ) % {"count": count}
    if error is not None:
        if count:
            messages.success(request, text)
        messages.error(request, refusal_text(request, error))
        return True
    if left:
        more = ngettext(
            "%(count)d is left: go on.", "%(count)d are left: go on.", left
        ) % {"count": left}
        messages.warning(request, f"{text} {more}")
        return False
    messages.success(request, f"{text} {had}".rstrip())
    return True


def _have_had(count: int) -> str:
    """How many of the times are left out; empty for none."""
    if not count:
        return ""
    return ngettext(
        "%(count)d time has had its run.", "%(count)d times have had theirs.", count
    ) % {"count": count}
