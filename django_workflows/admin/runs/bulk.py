"""Doing the same to many runs of the list, one after the other."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

from django.contrib import messages
from django.contrib.admin.helpers import ACTION_CHECKBOX_NAME
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse
from django.utils.functional import Promise
from django.utils.html import format_html
from django.utils.safestring import SafeString
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy, ngettext

from django_workflows.admin.addresses import run_url
from django_workflows.admin.base import WorkflowsAdmin
from django_workflows.admin.keyset import LongListAdmin
from django_workflows.admin.payloads import refusal_text
from django_workflows.admin.permissions import VERBS, may
from django_workflows.admin.steering import (
    EFFECTS,
    LONGEST_REASON,
    reason_in,
    steer,
)
from django_workflows.models import Run
from django_workflows.store.control.bulk import BulkResult, for_each
from django_workflows.store.people.steering import WITH_REASON

#: Runs of which each is told that it is done, or why not: all that a page of the list
#: has. Others, which no form of ours sends, are counted.
TOLD = LongListAdmin.list_per_page

LABELS: dict[str, str | Promise] = {
    "cancel": gettext_lazy("Cancel selected runs"),
    "terminate": gettext_lazy("Terminate selected runs"),
    "pause": gettext_lazy("Pause selected runs"),
    "resume": gettext_lazy("Resume selected runs"),
    "retry": gettext_lazy("Retry selected runs"),
    "replay": gettext_lazy("Replay selected runs"),
    "wake": gettext_lazy("Wake selected runs"),
}
#: What has become of a run, which is named as a link.
_DONE: dict[str, str | Promise] = {
    "cancel": gettext_lazy("{run} has been asked to stop."),
    "terminate": gettext_lazy("{run} has been terminated."),
    "pause": gettext_lazy("{run} has been asked to pause."),
    "resume": gettext_lazy("{run} has been resumed."),
    "retry": gettext_lazy("{run} goes on."),
    "replay": gettext_lazy("{run} has been replayed. The new run is {new}."),
    "wake": gettext_lazy("{run} has been woken."),
}

Action = Callable[[Any, HttpRequest, QuerySet[Run]], HttpResponse | None]


def actions_for(request: HttpRequest) -> dict[str, tuple[Action, str, str | Promise]]:
    """The actions that a user may choose in the list, as Django wants them."""
    return {
        f"{verb}_selected": (partial(_act, verb=verb), f"{verb}_selected", LABELS[verb])
        for verb in VERBS
        if may(request, verb)
    }


def _act(
    admin: WorkflowsAdmin[Run],
    request: HttpRequest,
    queryset: QuerySet[Run],
    *,
    verb: str,
) -> HttpResponse | None:
    """Ask whether it shall be done, or do it to each run and tell what became of it."""
    # Whatever the list shows meanwhile, and never more than was on the page.
    given = request.POST.getlist(ACTION_CHECKBOX_NAME)
    ids = [run_id for run_id in given if "\0" not in run_id]
    reason = reason_in(request, verb)
    if request.POST.get("post") != "yes":
        if not admin.get_queryset(request).filter(pk__in=ids).exists():
            text = _("None of these runs is there any more.")
            admin.message_user(request, text, messages.ERROR)
            return None
        return _ask(admin, request, verb, ids)
    if len(reason) > LONGEST_REASON:
        text = _("The reason is too long: at most %(count)d characters.")
        admin.message_user(request, text % {"count": LONGEST_REASON}, messages.ERROR)
        return _ask(admin, request, verb, ids, reason=reason)
    new: dict[str, str] = {}

    def act(run: Run) -> None:
        new[run.pk] = steer(request, run, verb, reason).pk

    result = for_each(ids, act)
    _tell(admin, request, verb, result, new)
    return None


def _ask(
    admin: WorkflowsAdmin[Run],
    request: HttpRequest,
    verb: str,
    ids: list[str],
    reason: str = "",
) -> HttpResponse:
    context = {
        "title": LABELS[verb],
        "runs": admin.get_queryset(request).filter(pk__in=ids),
        "effect": EFFECTS[verb],
        "action": f"{verb}_selected",
        "action_checkbox_name": ACTION_CHECKBOX_NAME,
        "ids": ids,
        "back": request.get_full_path(),
        "asks_for_reason": verb in WITH_REASON,
        "longest_reason": LONGEST_REASON,
        "reason": reason,
    }
    return admin.page(request, "run/bulk_confirm.html", context)


def _tell(
    admin: WorkflowsAdmin[Run],
    request: HttpRequest,
    verb: str,
    result: BulkResult,
    new: dict[str, str],
) -> None:
    """A message for each of the first runs, and one for all the others."""
    for run_id in result.done[:TOLD]:
        text = format_html(str(_DONE[verb]), run=_link(run_id), new=_link(new[run_id]))
        admin.message_user(request, text, messages.SUCCESS)
    for run_id, error in list(result.refused.items())[:TOLD]:
        text = format_html("{}: {}", _link(run_id), refusal_text(request, error))
        admin.message_user(request, text, messages.ERROR)
    if more := len(result.done[TOLD:]):
        said = ngettext(
            "It is done to %(count)d more.", "It is done to %(count)d more.", more
        )
        admin.message_user(request, said % {"count": more}, messages.SUCCESS)
    if more := max(0, len(result.refused) - TOLD):
        said = ngettext(
            "It is not possible for %(count)d more.",
            "It is not possible for %(count)d more.",
            more,
        )
        admin.message_user(request, said % {"count": more}, messages.ERROR)


def _link(run_id: str) -> SafeString:
    return format_html('<a href="{}">{}</a>', run_url(run_id), run_id)
