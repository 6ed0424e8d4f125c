"""Where to cut a log for a retry, and what is open there.

Pure functions on the effective history of a run. A cut is always at the edge of a
burst: at an event that was delivered, or at the entry with which somebody else ended
the run.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from django_workflows.replay import events as log
from django_workflows.replay.events import LogEvent

_STEP_ENDS = (log.STEP_COMPLETED, log.STEP_FAILED)
_CHILD_ENDS = (log.CHILD_COMPLETED, log.CHILD_FAILED, log.CHILD_CANCELLED)
#: What an operation gave, to be delivered again if its operation is older than the
#: cut. Failures are not: what failed is to be tried again.
RESULTS = (
    log.STEP_COMPLETED,
    log.WAIT_COMPLETED,
    log.HOOK_RECEIVED,
    log.CHILD_COMPLETED,
)


@dataclass(slots=True)
class Open:
    """The operations that were issued and have no outcome yet, by id: the entries that
    issued them."""

    steps: dict[str, LogEvent] = field(default_factory=dict)
    waits: dict[str, LogEvent] = field(default_factory=dict)
    hooks: dict[str, LogEvent] = field(default_factory=dict)
    children: dict[str, LogEvent] = field(default_factory=dict)

    def take(self, event: LogEvent) -> None:
        """Take one more entry of the log into account."""
        kind, key = event.type, event.correlation_id
        if event.detail.get("late"):
            return
        if kind == log.STEP_CREATED:
            self.steps[key] = event
        elif kind in _STEP_ENDS or kind == log.STEP_CANCELLED:
            self.steps.pop(key, None)
        elif kind == log.WAIT_CREATED:
            self.waits[key] = event
        elif kind in (log.WAIT_COMPLETED, log.WAIT_CANCELLED):
            self.waits.pop(key, None)
        elif kind == log.WAKE_REQUESTED:
            for wait_id in [key for key, wait in self.waits.items() if _sleeps(wait)]:
                del self.waits[wait_id]
        elif kind in (log.HOOK_CREATED, log.HOOK_CARRIED):
            self.hooks[key] = event
        elif kind in (log.HOOK_DISPOSED, log.HOOK_CONFLICT):
            self.hooks.pop(key, None)
        elif kind == log.CHILD_CREATED:
            self.children[key] = event
        elif kind in _CHILD_ENDS:
            self.children.pop(key, None)

    def __contains__(self, operation_id: str) -> bool:
        return any(
            operation_id in kind
            for kind in (self.steps, self.waits, self.hooks, self.children)
        )


def _sleeps(wait: LogEvent) -> bool:
    return wait.detail.get("kind") == "sleep"


def open_after(events: Sequence[LogEvent]) -> Open:
    """What is open after these entries."""
    found = Open()
    for event in events:
        found.take(event)
    return found


def is_delivered(event: LogEvent) -> bool:
    """Whether the entry began a burst."""
    return event.type in log.INPUTS and not event.detail.get("late")


@dataclass(slots=True)
class RetryPlan:
    """A retry in place: from where on the log is void, and what goes on from there."""

    cut: LogEvent
    #: Operations without an outcome before the cut.
    open: Open
    #: Entries after the cut whose news is to be delivered again, in order.
    redelivered: list[LogEvent]
    #: The last attempt of each open step, be it void.
    attempts: dict[str, int]


def plan_retry(
    effective: Sequence[LogEvent], whole: Sequence[LogEvent] = ()
) -> RetryPlan:
    """Plan the retry of a run that failed, timed out or was cancelled.

    `effective` is its effective history, `whole` its log with all that is void.
    """
    cut = _cut(effective)
    position = effective.index(cut)
    opened = open_after(effective[:position])
    attempts: dict[str, int] = {}
    for event in whole or effective:
        if event.type == log.STEP_STARTED and event.correlation_id in opened.steps:
            number = event.detail["attempt"]
            before = attempts.get(event.correlation_id, 0)
            attempts[event.correlation_id] = max(before, number)
    redelivered = _redelivered(cut, effective[position:], opened)
    return RetryPlan(cut, opened, redelivered, attempts)


def _redelivered(
    cut: LogEvent, void: Sequence[LogEvent], opened: Open
) -> list[LogEvent]:
    """The news among void entries that operations from before the cut are owed."""
    asleep = {key for key, wait in opened.waits.items() if _sleeps(wait)}
    timed_out = void[-1].detail.get("timeout") and "failed" not in void[-1].detail
    found = []
    for event in void:
        if event.type in (log.WAIT_COMPLETED, log.WAIT_CANCELLED):
            asleep.discard(event.correlation_id)
        if event is cut and timed_out and _is_time_out(event, opened):
            continue  # the time-out that ended the run: it begins anew
        if event.type == log.WAKE_REQUESTED and asleep:
            asleep.clear()
            found.append(event)
        elif event.type in RESULTS and event.correlation_id in opened:
            found.append(event)
    return found


def _is_time_out(event: LogEvent, opened: Open) -> bool:
    wait = opened.waits.get(event.correlation_id)
    return event.type == log.WAIT_COMPLETED and wait is not None and not _sleeps(wait)


def _cut(effective: Sequence[LogEvent]) -> LogEvent:
    end = effective[-1]
    if end.type == log.RUN_CANCELLED:
        for event in effective:
            if event.type == log.CANCEL_REQUESTED and is_delivered(event):
                return event
        return _outer_end(effective)
    if end.type != log.RUN_FAILED or end.detail.get("by") == "engine":
        return _outer_end(effective)
    failed = set(end.detail.get("failed", ()))
    calls = {
        event.correlation_id
        for event in effective
        if event.type == log.CHILD_CREATED and event.detail.get("run_id") in failed
    }
    for event in effective:
        if event.type == log.STEP_FAILED and event.correlation_id in failed:
            return event
        if (
            event.type in (log.CHILD_FAILED, log.CHILD_CANCELLED)
            and event.correlation_id in calls
        ):
            return event
    # Workflow code itself raised: what it was given just before is given to it again.
    return next((e for e in reversed(effective) if is_delivered(e)), end)


def _outer_end(effective: Sequence[LogEvent]) -> LogEvent:
    """The end of a run that none of its code has to do with, or the first of those
    entries that came too late and were numbered with it: they are news."""
    position = len(effective) - 1
    while position and effective[position - 1].detail.get("late"):
        position -= 1
    return effective[position]
