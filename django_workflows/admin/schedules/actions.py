"""What people do to schedules besides editing them."""

from __future__ import annotations

from collections.abc import Callable

from django.contrib import messages
from django.http import HttpRequest
from django.utils.html import format_html
from django.utils.translation import gettext as _

from django_workflows.admin.addresses import run_url
from django_workflows.admin.base import WorkflowsAdmin
from django_workflows.admin.payloads import refusal_text
from django_workflows.admin.permissions import may
from django_workflows.errors import WorkflowError
from django_workflows.models import Schedule
from django_workflows.store.people import schedules as people
from django_workflows.store.people.actors import actor_of

#: In the order of the buttons.
VERBS = ("pause", "unpause", "trigger", "backfill")
LONGEST_NOTE = 1000
#: These start runs.
_STARTING = ("trigger", "backfill")
#: What a start raises where code and schedule have parted.
REFUSALS = (TypeError, ValueError, WorkflowError)

Admin = WorkflowsAdmin[Schedule]


def may_act(
    model_admin: Admin, request: HttpRequest, schedule: Schedule, verb: str
) -> bool:
    """Whether this user may do one of `VERBS` to schedules."""
    return model_admin.has_change_permission(request, schedule) and (
        verb not in _STARTING or may(request, "start")
    )


def possible(model_admin: Admin, request: HttpRequest, schedule: Schedule) -> list[str]:
    """What this user can do to a schedule as it stands."""
    vain = "pause" if schedule.paused else "unpause"
    return [
        verb
        for verb in VERBS
        if verb != vain and may_act(model_admin, request, schedule, verb)
    ]


def act(request: HttpRequest, schedule: Schedule, verb: str) -> None:
    """Do one of `VERBS` that takes no further choice, and tell the user of it."""
    try:
        _ACTIONS[verb](request, schedule)
    except REFUSALS as error:
        messages.error(request, refusal_text(request, error))


def _pause(request: HttpRequest, schedule: Schedule) -> None:
    note = request.POST.get("note", "").replace("\0", "").strip()[:LONGEST_NOTE]
    people.pause(actor_of(request.user), schedule, note)
    messages.success(request, _("The schedule is paused."))


def _unpause(request: HttpRequest, schedule: Schedule) -> None:
    people.unpause(actor_of(request.user), schedule)
    messages.success(request, _("The schedule goes on with its next time."))


def _trigger(request: HttpRequest, schedule: Schedule) -> None:
    run = people.trigger(actor_of(request.user), schedule)
    text = _("A run has been started: {}")
    link = format_html('<a href="{}">{}</a>', run_url(run), run.pk)
    messages.success(request, format_html(text, link))


_ACTIONS: dict[str, Callable[[HttpRequest, Schedule], None]] = {
    "pause": _pause,
    "unpause": _unpause,
    "trigger": _trigger,
}
