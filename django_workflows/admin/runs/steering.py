"""What people do to runs: what is possible, and that it is done and noted."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

from django.contrib.admin.models import CHANGE, LogEntry
from django.core.exceptions import PermissionDenied
from django.db import router, transaction
from django.http import HttpRequest
from django.utils.functional import Promise
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy, override

from django_workflows.admin.permissions import VERBS, may
from django_workflows.errors import InvalidRunStateError
from django_workflows.models import Run
from django_workflows.store.control.cancelling import is_cancelling
from django_workflows.store.control.pausing import is_paused, last_request
from django_workflows.store.control.retrying import RETRYABLE
from django_workflows.store.control.rows import refresh
from django_workflows.store.database import connection, despite_deadlocks

Result = TypeVar("Result")

#: What each verb is called, on buttons and in sentences.
LABELS: dict[str, str | Promise] = {
    "cancel": gettext_lazy("Cancel"),
    "terminate": gettext_lazy("Terminate"),
    "pause": gettext_lazy("Pause"),
    "resume": gettext_lazy("Resume"),
    "retry": gettext_lazy("Retry"),
    "replay": gettext_lazy("Replay"),
    "wake": gettext_lazy("Wake"),
}
#: What has happened then, as the admin's log tells it.
DONE: dict[str, str | Promise] = {
    "cancel": gettext_lazy("Cancelled"),
    "terminate": gettext_lazy("Terminated"),
    "pause": gettext_lazy("Paused"),
    "resume": gettext_lazy("Resumed"),
    "retry": gettext_lazy("Retried"),
    "replay": gettext_lazy("Replayed"),
    "wake": gettext_lazy("Woken"),
}
REPLAY_OF = gettext_lazy("Started as a replay of")
STARTED = gettext_lazy("Started")
STARTED_AGAIN = gettext_lazy("Started with the changed input of")
SENT = gettext_lazy("Sent a payload to hook")
FORKED = gettext_lazy("Forked")
FORK_OF = gettext_lazy("Started as a fork of")
#: These ask for a reason, which the run's own log keeps, too.
WITH_REASON = ("cancel", "terminate")
LONGEST_REASON = 1000


def possible(run: Run) -> list[str]:
    """What changes a run as it stands, in the order of `VERBS`.

    Each of it can still be refused: the run may have gone on by then, and another one
    may hold the key or a token that a retry needs.
    """
    if run.is_closed:
        return ["retry", "replay"] if run.status in RETRYABLE else ["replay"]
    stands_still = is_paused(run, last_request(run))
    is_it = {
        "cancel": run.status == Run.Status.PAUSED or not is_cancelling(run),
        "terminate": True,
        "pause": not stands_still,
        "resume": stands_still or bool(run.blocked_reason),
        "replay": True,
        # Before it has begun it sleeps nowhere.
        "wake": run.started_at is not None or bool(run.owner),
    }
    return [verb for verb in VERBS if is_it.get(verb)]


def steer(request: HttpRequest, run: Run, verb: str, reason: str = "") -> Run:
    """Do to a run what `possible()` names, and note in the admin's log who did it.

    Returns the run that the user is interested in now: the new one after a replay.

    Raises PermissionDenied, InvalidRunStateError (its text is for the user) and
    WorkflowRunNotFoundError; nothing has happened then.
    """
    if not may(request, verb):
        raise PermissionDenied
    refresh(run)
    if verb not in possible(run):
        raise InvalidRunStateError(_refusal(run, verb), run_id=run.pk)

    return noted(lambda: _act(request, run, verb, reason))


def reason_in(request: HttpRequest, verb: str) -> str:
    """The reason that was sent, as databases take it; empty for what needs none."""
    if verb not in WITH_REASON:
        return ""
    return request.POST.get("reason", "").replace("\0", "").strip()


def fork(request: HttpRequest, run: Run, from_step: str) -> Run:
    """Start a fork of a run, and note in the admin's log who did it.

    Raises PermissionDenied, and what `Run.fork` raises; nothing has happened then.
    """
    if not may(request, "replay"):
        raise PermissionDenied
    return noted(lambda: _fork(request, run, from_step))


def log_change(request: HttpRequest, run: Run, message: str) -> None:
    """Note in the admin's log what the user did to a run."""
    assert request.user.is_authenticated
    LogEntry.objects.log_actions(
        request.user.pk, [run], CHANGE, message, single_object=True
    )


def noted(action: Callable[[], Result]) -> Result:
    """Do what changes a run and notes it: both or nothing, where one transaction can
    hold both."""

    def act() -> Result:
        # Notes are kept untranslated, for whoever reads them.
        with (
            transaction.atomic(using=router.db_for_write(LogEntry)),
            override(None),
        ):
            return action()

    return despite_deadlocks(connection(), act)


def _fork(request: HttpRequest, run: Run, from_step: str) -> Run:
    new = run.fork(from_step)
    log_change(request, run, f"{FORKED}: {new.pk}")
    log_change(request, new, f"{FORK_OF}: {run.pk}")
    return new


def _act(request: HttpRequest, run: Run, verb: str, reason: str) -> Run:
    done = str(DONE[verb])
    if verb == "replay":
        new = run.replay()
        log_change(request, run, f"{done}: {new.pk}")
        log_change(request, new, f"{REPLAY_OF}: {run.pk}")
        return new
    if verb in WITH_REASON:
        getattr(run, verb)(reason)
    else:
        getattr(run, verb)()
        reason = ""
    log_change(request, run, f"{done}: {reason}" if reason else done)
    return run


def _refusal(run: Run, verb: str) -> str:
    is_at_work = run.status in (Run.Status.PENDING, Run.Status.RUNNING)
    if is_at_work and verb in ("cancel", "pause"):
        return _("The run has been asked for this already.")
    said = {"status": run.get_status_display(), "action": LABELS[verb]}
    return _("The run is %(status)s: “%(action)s” is not possible.") % said
