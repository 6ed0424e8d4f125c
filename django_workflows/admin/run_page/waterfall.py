"""What the operations of a run look like on its timeline, and what that means in words.

`look` is the status, or kind of stretch of time, whose class colours a bar or a badge.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import datetime

from django.utils.functional import Promise
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from django_workflows.admin.durations import in_words
from django_workflows.admin.run_page.geometry import Segment
from django_workflows.models import Run
from django_workflows.replay import events as log
from django_workflows.store.operations import Attempt, Mark, Operation

Text = str | Promise

KINDS: dict[str, Text] = {
    "step": gettext_lazy("Step"),
    "wait": gettext_lazy("Timer"),
    "hook": gettext_lazy("Hook"),
    "child": gettext_lazy("Child"),
}
_ENDED: dict[str, tuple[str, Text]] = {
    "completed": ("completed", gettext_lazy("completed")),
    "failed": ("failed", gettext_lazy("failed")),
    "cancelled": ("cancelled", gettext_lazy("cancelled")),
    "disposed": ("completed", gettext_lazy("closed")),
    "conflict": ("failed", gettext_lazy("token in use")),
}
_OUTCOMES: dict[str, tuple[str, Text]] = {
    "running": ("running", gettext_lazy("running")),
    "completed": ("completed", gettext_lazy("completed")),
    "failed": ("failed", gettext_lazy("failed")),
    "error": ("failed", gettext_lazy("failed, tried again")),
    "timed_out": ("timed_out", gettext_lazy("timed out")),
    "cancelled": ("cancelled", gettext_lazy("cancelled")),
    "crash": ("failed", gettext_lazy("its process died")),
    "lost": ("failed", gettext_lazy("its process was lost")),
    "shutdown": ("cancelled", gettext_lazy("its worker was stopped")),
}
_MARKS: dict[str, Text] = {
    log.RUN_PAUSED: gettext_lazy("Paused"),
    log.RUN_RESUMED: gettext_lazy("Resumed"),
    log.RUN_RETRIED: gettext_lazy("Retried"),
    log.CANCEL_REQUESTED: gettext_lazy("Asked to cancel"),
    log.WAKE_REQUESTED: gettext_lazy("Woken"),
}


def status_of(operation: Operation) -> tuple[str, str]:
    """How an operation stands: the look, and in a word."""
    if not operation.is_open:
        look, text = _ENDED.get(operation.status, ("", operation.status))
        return look, str(text)
    if operation.kind == "child":
        if operation.status in Run.Status.values:
            return operation.status, str(Run.Status(operation.status).label)
        return "pending", _("starting")
    if operation.kind != "step":
        return "waiting", _("waiting")
    if not operation.attempts:
        return "pending", _("queued")
    if operation.attempts[-1].finished_at is None:
        return "running", _("running")
    return "waiting", _("to be tried again")


def outcome_of(attempt: Attempt) -> tuple[str, str]:
    """How an attempt ended: the look, and in words."""
    look, text = _OUTCOMES.get(attempt.outcome, ("failed", attempt.outcome))
    return look, str(text)


def mark_text(mark: Mark) -> str:
    """What was asked of the run."""
    return str(_MARKS[mark.type])


class Clock:
    """Seconds since a moment, and how long an open operation has lasted by now."""

    def __init__(self, origin: datetime, until: datetime) -> None:
        self._origin = origin
        self._until = until

    def at(self, time: datetime | None) -> float:
        """Seconds from the origin on; what is still open has lasted until now."""
        time = self._until if time is None else min(time, self._until)
        return (time - self._origin).total_seconds()


def segments_of(operation: Operation, clock: Clock) -> list[Segment]:
    """An operation in parts, from its call to its end or until now."""
    if operation.kind == "step":
        return list(_step(operation, clock.at))
    look, text = status_of(operation)
    begin, end = clock.at(operation.created_at), clock.at(operation.finished_at)
    if operation.kind == "wait":
        look, text = "timer", _("timer, %(status)s") % {"status": text}
    elif operation.kind == "hook":
        values = {"status": text, "count": operation.received}
        look, text = "hook", _("hook, %(status)s, %(count)d received") % values
    elif operation.kind == "child":
        text = _("child, %(status)s") % {"status": text}
    return [_segment(begin, end, look, text)]


def run_segments(run: Run, clock: Clock) -> list[Segment]:
    """The run as a whole: until its code began, and from then on."""
    created = clock.at(run.created_at)
    if run.started_at is None and not run.is_closed:
        return [_segment(created, clock.at(None), "queued", _("waiting to start"))]
    end = clock.at(run.finished_at)
    started = end if run.started_at is None else clock.at(run.started_at)
    found = []
    if started > created:
        found.append(_segment(created, started, "queued", _("waiting to start")))
    look = "blocked" if run.blocked_reason and not run.is_closed else run.status
    text = _("blocked") if look == "blocked" else str(run.get_status_display())
    found.append(_segment(started, end, look, text))
    return found


def _step(
    operation: Operation, at: Callable[[datetime | None], float]
) -> Iterator[Segment]:
    queued_from, end = at(operation.created_at), at(operation.finished_at)
    is_over = False
    for attempt in operation.attempts:
        begin, finish = at(attempt.started_at), at(attempt.finished_at)
        # Between an end and a later retry of the run nothing was waited for.
        if begin > queued_from and not is_over:
            yield _segment(queued_from, begin, "queued", _("in the queue"))
        look, outcome = outcome_of(attempt)
        text = _("attempt %(number)d: %(outcome)s") % {
            "number": attempt.number,
            "outcome": outcome,
        }
        yield _segment(begin, finish, look, text)
        queued_from, is_over = finish, attempt.outcome in _ENDED
        if attempt.retry_at is not None and attempt.finished_at is not None:
            due = max(finish, min(at(attempt.retry_at), end))
            if due > finish:
                text = _("delay before the next attempt")
                yield _segment(finish, due, "delay", text)
            queued_from = due
    waits = not operation.attempts or operation.attempts[-1].finished_at is not None
    if waits and (end > queued_from or not operation.attempts):
        yield _segment(queued_from, end, "queued", _("in the queue"))


def _segment(begin: float, end: float, look: str, text: str) -> Segment:
    end = max(begin, end)
    return Segment(begin, end, look, f"{text}, {in_words(end - begin)}")
