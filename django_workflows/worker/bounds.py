"""Time-outs of steps that the owner of their run sees to.

How long a step may wait for a worker, and how long it may take with all its attempts:
nobody may be running it when that time is over.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from django.db.backends.base.base import BaseDatabaseWrapper

from django_workflows.core import failures
from django_workflows.errors import StepTimeoutError
from django_workflows.replay import events as log
from django_workflows.replay.events import LogEvent
from django_workflows.replay.operations import StepCall
from django_workflows.store import attempts
from django_workflows.worker.steps import drop_call

if TYPE_CHECKING:
    from django_workflows.worker.owned import OwnedRun

START = "schedule_to_start"
CLOSE = "schedule_to_close"


class Bounds:
    """The calls of a run that have such a time-out."""

    def __init__(self) -> None:
        self.calls: dict[str, StepCall] = {}
        #: Time-outs that came too late, by call and attempt: the row said so.
        self._refused: set[tuple[str, str, int]] = set()

    def add(self, call: StepCall) -> None:
        """Watch over a call that has a time-out of this kind."""
        self.calls[call.id] = call

    def dues(self, open_calls: dict[str, StepCall]) -> list[tuple[int, str, StepCall]]:
        """When each of the open calls will have taken too long, and in which way."""
        self.calls = {
            step_id: call
            for step_id, call in self.calls.items()
            if step_id in open_calls
        }
        return [
            (due_us, kind, call)
            for call in self.calls.values()
            for due_us, kind in _dues(call)
            if (call.id, kind, call.attempt) not in self._refused
        ]

    def refuse(self, call: StepCall, kind: str) -> None:
        self._refused.add((call.id, kind, call.attempt))


def _dues(call: StepCall) -> Iterable[tuple[int, str]]:
    settings = call.step.settings
    if settings.schedule_to_close_timeout is not None:
        yield call.created_us + _us(settings.schedule_to_close_timeout), CLOSE
    if settings.schedule_to_start_timeout is not None and not call.worker:
        since_us = call.retry_us if call.attempt else call.created_us
        yield since_us + _us(settings.schedule_to_start_timeout), START


def _us(seconds: float) -> int:
    return round(seconds * 1_000_000)


def time_out_calls(
    database: BaseDatabaseWrapper, run: OwnedRun, now_us: int
) -> tuple[list[str], bool]:
    """End the calls of a run that have taken too long.

    A call that has a row is ended through it, if it is still as open as it has to be;
    what comes of that is in the run's inbox then. Returns the steps whose code, if it
    runs here, is to stop, and whether there is something in the inbox.
    """
    told = {event.correlation_id for event in run.pending}
    told |= {row.id for row in run.write.steps} if run.write else set()
    ended: list[str] = []
    has_row = False
    late = [d for d in run.bounds.dues(run.execution.steps) if d[0] <= now_us]
    for _, kind, call in sorted(late, key=lambda due: due[0]):
        if call.id in told:
            continue  # something has happened to it that is not in the log yet
        told.add(call.id)
        if not call.has_row:
            drop_call(run, call, _events(call, kind, call.attempt))
        else:
            has_row = True
            if not _time_out_row(database, run, call, kind):
                run.bounds.refuse(call, kind)
                continue
        ended.append(call.id)
    return ended, has_row


def _time_out_row(
    database: BaseDatabaseWrapper, run: OwnedRun, call: StepCall, kind: str
) -> bool:
    return attempts.time_out(
        database,
        run.id,
        call.id,
        ("pending",) if kind == START else ("pending", "running"),
        lambda attempt: _events(call, kind, attempt),
    )


def _events(call: StepCall, kind: str, attempt: int) -> list[LogEvent]:
    settings = call.step.settings
    if kind == START:
        what = f"was not begun within {settings.schedule_to_start_timeout:g} s"
    else:
        what = f"was not done within {settings.schedule_to_close_timeout:g} s"
    error = StepTimeoutError(f"step {call.step.title} {what}", kind=kind)
    detail: dict[str, Any] = {"attempt": attempt, "kind": kind}
    payload = failures.capture(error)
    return [
        LogEvent(type_, call.id, detail=detail, payload=payload)
        for type_ in (log.STEP_TIMED_OUT, log.STEP_FAILED)
    ]
