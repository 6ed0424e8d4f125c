"""The steps of an owned run: attempts are begun, offered to others, ended or lost."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from django_workflows.replay import events as log
from django_workflows.replay.api import workflow_facts
from django_workflows.replay.events import LogEvent
from django_workflows.replay.limits import limits_of_call, step_limit_key
from django_workflows.replay.operations import StepCall
from django_workflows.store.rounds import RunWrite, StepRow
from django_workflows.worker.attempt import Attempt, Verdict, dump_options, row_after

if TYPE_CHECKING:
    from django_workflows.worker.owned import OwnedRun

_ENDS = (
    log.STEP_COMPLETED,
    log.STEP_FAILED,
    log.STEP_RETRYING,
    log.STEP_TIMED_OUT,
)


def begin_attempt(run: OwnedRun, call: StepCall, now_us: int) -> Attempt:
    """Record the start of the next attempt; it may run once that is stored."""
    settings = call.step.settings
    attempt = _attempt(
        run, call, call.attempt + 1, max(now_us, run.last_us), alone=call.suspect
    )
    attempt.workflow = workflow_facts(run.execution)
    attempt.worker_id = run.worker_id
    attempt.has_row = settings.atomic or settings.heartbeat_timeout is not None
    detail: dict[str, Any] = {"attempt": attempt.number, "worker": run.worker_id}
    if attempt.has_row:
        detail["row"] = True
        run.to_write().steps.append(attempt.row("running"))
    if attempt.alone:
        detail["alone"] = True
    event = LogEvent(log.STEP_STARTED, call.id, detail=detail, time=attempt.started_us)
    run.last_us = attempt.started_us
    run.append(event)
    run.execution.note(event)
    run.running[call.id] = attempt
    run.starting.append(attempt)
    return attempt


def end_attempt(run: OwnedRun, attempt: Attempt, verdict: Verdict, now_us: int) -> None:
    """Take in the end of an attempt that has no row: the run's fence decides."""
    is_pending = verdict.status == "pending"
    if not is_pending or attempt.pulse.details is not None:
        # With a row the next attempt is anybody's, and is given the details.
        run.to_write().steps.append(row_after(attempt, verdict, now_us))
        if is_pending:
            run.execution.steps[attempt.step_id].has_row = True
    run.pending.extend(verdict.events)


def drop_call(run: OwnedRun, call: StepCall, events: Sequence[LogEvent]) -> None:
    """A call that has no row ends so, whatever comes of an attempt in flight."""
    run.pending.extend(events)
    run.running.pop(call.id, None)
    if call in run.ready:
        run.ready.remove(call)


def lose_attempt(run: OwnedRun, call: StepCall, now_us: int, reason: str) -> None:
    """Record that an attempt ended with its process (`crash`), or that its end was
    not stored in time (`lost`). Another one follows; neither counts as an error."""
    event = LogEvent(
        log.STEP_RETRYING,
        call.id,
        detail={"attempt": call.attempt, "reason": reason, "retry_at": now_us},
        time=max(now_us, run.last_us),
    )
    run.last_us = event.time
    run.append(event)
    run.execution.note(event)


def offer(run: OwnedRun, call: StepCall, now_us: int) -> None:
    """Let any worker of the step's queue take the next attempt."""
    attempt = _attempt(run, call, call.attempt, call.started_us)
    row = attempt.row("pending")
    row.started_us = call.started_us or None
    row.suspect = call.suspect
    row.due_us = max(now_us, call.retry_us)
    if call.step.settings.is_limited:
        _stand_in_line(run, row, call)
    run.to_write().steps.append(row)
    call.has_row = True


def _attempt(
    run: OwnedRun, call: StepCall, number: int, started_us: int, *, alone: bool = False
) -> Attempt:
    """An attempt of a call, that is nobody's so far."""
    settings = call.step.settings
    return Attempt(
        step=call.step,
        settings=settings,
        run_id=run.id,
        step_id=call.id,
        number=number,
        args=call.args,
        workflow={},
        worker_id="",
        queue=settings.queue or run.queue,
        priority=run.priority if settings.priority is None else settings.priority,
        run_queue=run.queue,
        created_us=call.created_us,
        started_us=started_us,
        errors=call.errors,
        crashes=call.crashes,
        alone=alone,
    )


def _stand_in_line(run: OwnedRun, row: StepRow, call: StepCall) -> None:
    """Let the step wait for its limits; those of one burst in the order called."""
    row.limit_key = step_limit_key(call.step.name)
    row.options = dump_options(call.step.settings, limits_of_call(call.step))
    row.created_us = run.last_offer_us = max(row.created_us, run.last_offer_us + 1)


def promote_since(run: OwnedRun, started_us: int) -> bool:
    """Write rows of attempts in flight since then: once stored, they decide.

    Returns whether there were any.
    """
    promoted = False
    for attempt in run.running.values():
        if attempt.started_us <= started_us:
            promoted |= promote(run, attempt)
    return promoted


def promote(run: OwnedRun, attempt: Attempt) -> bool:
    """Write the row of an attempt in flight, unless it has one or must not now."""
    call = run.execution.steps.get(attempt.step_id)
    is_here = run.running.get(attempt.step_id) is attempt
    if call is None or call.has_row or run.is_frozen or not is_here:
        return False
    row = attempt.row("running")
    run.to_write().steps.append(row)
    call.has_row = True
    return True


def unstored_steps(run: OwnedRun) -> tuple[list[StepRow], list[LogEvent]]:
    """What is known of steps and not stored, for when nothing else may be stored.

    Rows of attempts that have ended or are in flight, and the events that tell how
    they ended, for the run's inbox.
    """
    write = run.write or RunWrite(run.id, run.fence, run.status, 0)
    rows = [
        row
        for row in write.steps
        if row.finished_us is not None
        or (row.status == "pending" and row.heartbeat is not None)
    ]
    starting = {attempt.step_id for attempt in run.starting}
    rows += [
        attempt.row("running")
        for attempt in run.running.values()
        if not attempt.has_row and attempt.step_id not in starting
    ]
    ends = [
        event
        for event in (*write.events, *run.pending)
        if event.type in _ENDS and event.row_id is None
    ]
    return rows, ends
