"""What people do to runs: what is possible, and that it is done and noted."""

from __future__ import annotations

from collections.abc import Collection, Sequence

from django.core.exceptions import PermissionDenied
from django.http import HttpRequest
from django.utils.functional import Promise
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from django_workflows.admin.permissions import VERBS, may
from django_workflows.errors import InvalidRunStateError
from django_workflows.models import Run
from django_workflows.store.control.cancelling import is_cancelling
from django_workflows.store.control.pausing import is_paused, last_request
from django_workflows.store.control.retrying import RETRYABLE
from django_workflows.store.control.rows import refresh
from django_workflows.store.operations import Operation
from django_workflows.store.people import steering as people
from django_workflows.store.people.actors import actor_of
from django_workflows.store.people.steering import WITH_REASON
from django_workflows.store.timeline import read_timeline

#: What each verb is called, on buttons and in sentences; and a fork, which is a replay.
LABELS: dict[str, str | Promise] = {
    "cancel": gettext_lazy("Cancel"),
    "terminate": gettext_lazy("Terminate"),
    "pause": gettext_lazy("Pause"),
    "resume": gettext_lazy("Resume"),
    "retry": gettext_lazy("Retry"),
    "replay": gettext_lazy("Replay"),
    "wake": gettext_lazy("Wake"),
    "fork": gettext_lazy("Fork"),
}
#: What happens then, as people are told before.
EFFECTS: dict[str, str | Promise] = {
    "cancel": gettext_lazy(
        "The run is asked to stop. Its code is told where it waits, and may clean up "
        "first; a run that has not begun is cancelled at once."
    ),
    "terminate": gettext_lazy(
        "The run ends at once. None of its code runs any more: nothing is cleaned up."
    ),
    "pause": gettext_lazy(
        "Nothing new of the run starts until it is resumed. Steps that are running "
        "come to their end."
    ),
    "resume": gettext_lazy("The run goes on. If it is blocked, it is tried again now."),
    "retry": gettext_lazy(
        "The run goes on in place. What was recorded before the failure keeps its "
        "result, and what failed is tried again. What came after it is void; what it "
        "did outside is not undone."
    ),
    "replay": gettext_lazy(
        "A new run starts with the same input and today's code. This run stays as it "
        "is."
    ),
    "wake": gettext_lazy(
        "The current sleeps of the run end now. Time-outs and the delays of retries "
        "stay as they are."
    ),
    "fork": gettext_lazy(
        "A new run starts with the history of this one up to a step, and goes on anew "
        "from there. This run stays as it is."
    ),
}
LONGEST_REASON = 1000


def possible(
    run: Run,
    verbs: Collection[str] = VERBS,
    operations: Sequence[Operation] | None = None,
) -> list[str]:
    """What of some verbs changes a run as it stands, in the order of `VERBS`.

    Each of it can still be refused: the run may have gone on by then, and another one
    may hold the key or a token that a retry needs. `operations` are the run's, where
    somebody has read them.
    """
    if run.is_closed:
        is_it = {"retry": run.status in RETRYABLE, "replay": True}
    else:
        stands_still = is_paused(run, last_request(run))
        is_it = {
            "cancel": run.status == Run.Status.PAUSED or not is_cancelling(run),
            "terminate": True,
            "pause": not stands_still,
            "resume": stands_still or bool(run.blocked_reason),
            "replay": True,
            "wake": "wake" in verbs and _sleeps(run, operations),
        }
    return [verb for verb in VERBS if verb in verbs and is_it.get(verb)]


def _sleeps(run: Run, operations: Sequence[Operation] | None) -> bool:
    """Whether a sleep of the run goes on."""
    if operations is None:
        operations = read_timeline(run).operations
    return any(operation.sleeps for operation in operations)


def steer(request: HttpRequest, run: Run, verb: str, reason: str = "") -> Run:
    """Do to a run what `possible()` names, and note in the admin's log who did it.

    Returns the run that the user is interested in now: the new one after a replay.

    Raises PermissionDenied, InvalidRunStateError (its text is for the user) and
    WorkflowRunNotFoundError; nothing has happened then.
    """
    if not may(request, verb):
        raise PermissionDenied
    refresh(run)
    if verb not in possible(run, [verb]):
        raise InvalidRunStateError(refusal(run, verb), run_id=run.pk)

    return people.steer(actor_of(request.user), run, verb, reason)


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
    return people.fork(actor_of(request.user), run, from_step)


def refusal(run: Run, verb: str) -> str:
    """Why a verb is not possible now."""
    is_at_work = run.status in (Run.Status.PENDING, Run.Status.RUNNING)
    if is_at_work and verb in ("cancel", "pause"):
        return _("The run has been asked for this already.")
    if verb == "wake" and not run.is_closed:
        return _("The run does not sleep: “Wake” is not possible.")
    said = {"status": run.get_status_display(), "action": LABELS[verb]}
    return _("The run is %(status)s: “%(action)s” is not possible.") % said
