"""Time-outs of steps in the log: what replay makes of them."""

from __future__ import annotations

import asyncio
from typing import Any

from django_workflows.core import failures
from django_workflows.errors import StepFailedError, StepTimeoutError
from django_workflows.replay import events as log
from django_workflows.replay.definitions import workflow
from django_workflows.replay.events import LogEvent
from django_workflows.replay.operations import StepCall
from tests.replay.driver import Driver
from tests.replay.steps import echo


@workflow
async def catches() -> Any:
    try:
        return await echo(1)
    except StepTimeoutError as error:
        return [error.kind, *causes_of(error)]


def causes_of(error: BaseException) -> list[str]:
    found = []
    cause = error.__cause__
    while cause is not None:
        attempts = cause.attempts if isinstance(cause, StepFailedError) else ""
        found.append(f"{type(cause).__name__} {attempts}".strip())
        cause = cause.__cause__
    return found


def begin(run: Driver, call: StepCall) -> None:
    run.deliver(
        LogEvent(
            log.STEP_STARTED,
            call.id,
            detail={"attempt": call.attempt + 1, "worker": "wrkr_test"},
        )
    )


def err(run: Driver, call: StepCall, error: BaseException) -> None:
    """An attempt raises, and another one follows."""
    begin(run, call)
    detail = {"attempt": call.attempt, "reason": "error", "retry_at": run.now_us}
    payload = failures.capture(error)
    run.deliver(LogEvent(log.STEP_RETRYING, call.id, detail=detail, payload=payload))


def time_out(run: Driver, call: StepCall, kind: str, *, last: bool = False) -> None:
    """An attempt takes too long; another one follows unless it was the last."""
    if not kind.startswith("schedule"):
        begin(run, call)
    detail: dict[str, Any] = {"attempt": call.attempt, "kind": kind}
    payload = failures.capture(StepTimeoutError("too long", kind=kind))
    retry = {} if last else {"retry_at": run.now_us + 1}
    run.deliver(
        LogEvent(
            log.STEP_TIMED_OUT, call.id, detail={**detail, **retry}, payload=payload
        )
    )
    if last:
        run.deliver(LogEvent(log.STEP_FAILED, call.id, detail=detail, payload=payload))


def test_a_time_out_counts_as_an_error_and_ends_the_attempt() -> None:
    run = Driver(catches).begin()
    (call,) = run.steps
    time_out(run, call, "start_to_close")
    assert (call.attempt, call.errors, call.worker) == (1, 1, "")
    assert call.retry_us == run.now_us + 1
    run.drop()
    (call,) = run.steps
    assert (call.attempt, call.errors, call.worker) == (1, 1, "")


def test_no_attempt_is_due_between_the_last_time_out_and_the_failure() -> None:
    run = Driver(catches).begin()
    (call,) = run.steps
    begin(run, call)
    detail = {"attempt": 1, "kind": "heartbeat"}
    run.deliver(LogEvent(log.STEP_TIMED_OUT, call.id, detail=detail))
    assert call.worker == "wrkr_test"


def test_the_cause_is_the_last_error_that_the_step_raised() -> None:
    run = Driver(catches).begin()
    (call,) = run.steps
    err(run, call, KeyError("first"))
    err(run, call, ValueError("second"))
    time_out(run, call, "start_to_close")
    run.drop()
    (call,) = run.steps
    time_out(run, call, "start_to_close", last=True)
    assert run.result == ["start_to_close", "ValueError", "StepFailedError 4"]


def test_a_time_out_of_another_kind_is_a_cause_too() -> None:
    run = Driver(catches).begin()
    (call,) = run.steps
    time_out(run, call, "heartbeat")
    time_out(run, call, "schedule_to_close", last=True)
    assert run.result == ["schedule_to_close", "StepTimeoutError", "StepFailedError 1"]


def test_time_outs_of_one_kind_do_not_cause_each_other() -> None:
    run = Driver(catches).begin()
    (call,) = run.steps
    time_out(run, call, "heartbeat")
    time_out(run, call, "heartbeat", last=True)
    assert run.result == ["heartbeat", "StepFailedError 2"]


@workflow
async def catches_any() -> Any:
    try:
        return await echo(1)
    except Exception as error:
        return [type(error).__name__, *causes_of(error)]


def test_a_time_out_raised_by_the_step_itself_is_an_error_like_any() -> None:
    run = Driver(catches_any).begin()
    (call,) = run.steps
    err(run, call, ValueError("first"))
    run.fail(call, StepTimeoutError("another step's", kind="heartbeat"))
    assert run.result == ["StepTimeoutError", "StepFailedError 1"]


@workflow
async def beside_another() -> Any:
    both = await asyncio.gather(echo(1), echo(2), return_exceptions=True)
    return [getattr(found, "kind", found) for found in both]


def test_every_prefix_of_a_log_with_time_outs_replays() -> None:
    run = Driver(beside_another).begin()
    one, two = run.steps
    time_out(run, one, "heartbeat")
    begin(run, two)
    err(run, one, ValueError())
    run.complete(two, "two")
    time_out(run, one, "schedule_to_close", last=True)
    assert run.result == ["schedule_to_close", "two"]
    for length in range(2, len(run.log) + 1):
        if length == len(run.log) or run.log[length].type not in log.COMMANDS:
            execution, commands = run.replay(length)
            assert commands == []
            execution.close()
