"""Time-outs of one attempt: how they are found, and what follows from them."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest

from django_workflows import (
    RetryPolicy,
    StepFailedError,
    StepTimeoutError,
    WorkflowRunFailedError,
    get_step_metadata,
    start,
    step,
    workflow,
)
from django_workflows.models import Run, Step
from django_workflows.testing import WorkflowTester
from tests.app.models import Ledger
from tests.clocks import HandClock

TIME_OUT = 0.05
LATE = 0.1

#: How long each attempt takes, in seconds, or what it raises.
plan: list[float | Exception] = []
seen: list[Any] = []
#: Lets time pass for the attempt under way.
pass_time: Callable[[float], None]


@pytest.fixture(autouse=True)
def _fresh(attempt_clock: HandClock) -> None:
    global pass_time
    pass_time = attempt_clock.advance
    plan.clear()
    seen.clear()


def _take_time() -> float:
    metadata = get_step_metadata()
    seen.append(metadata)
    found = plan[metadata.attempt - 1]
    if isinstance(found, Exception):
        raise found
    pass_time(found)
    return found


async def _wait() -> None:
    """Whoever is late waits until somebody notices."""
    if _take_time() > TIME_OUT:
        await asyncio.Event().wait()


@step(timeout=TIME_OUT)
def slow() -> int:
    _take_time()
    return get_step_metadata().attempt


@step(timeout=TIME_OUT)
async def slow_async() -> int:
    try:
        await _wait()
    except asyncio.CancelledError:
        seen.append("cancelled")
        raise
    return get_step_metadata().attempt


@step(timeout=TIME_OUT)
async def stubborn() -> int:
    try:
        await _wait()
    except asyncio.CancelledError:
        return -1
    return get_step_metadata().attempt


@workflow
async def calls(target: Any, options: dict[str, Any]) -> Any:
    return await target.options(**options)()


@workflow
async def catches(target: Any, options: dict[str, Any]) -> Any:
    try:
        return await target.options(**options)()
    except StepTimeoutError as error:
        causes: list[BaseException] = []
        cause = error.__cause__
        while cause is not None:
            causes.append(cause)
            cause = cause.__cause__
        return [error.kind, *causes]


def events_of(run: Run) -> list[str]:
    return [e.type for e in run.history() if e.type.startswith("step_")][1:]


@pytest.mark.parametrize("target", [slow, slow_async, stubborn])
def test_an_attempt_that_takes_too_long_is_retried(
    workflows: WorkflowTester, target: Any
) -> None:
    plan[:] = [LATE, 0]
    run = start(calls, target, {})
    began = workflows.now
    workflows.run_until_idle()
    assert events_of(run) == ["step_started", "step_timed_out"]
    assert workflows.now == began
    workflows.advance("1s")
    assert run.result() == 2
    timed_out = next(e for e in run.history() if e.type == "step_timed_out")
    assert timed_out.data["attempt"] == 1
    assert timed_out.data["kind"] == "start_to_close"
    assert events_of(run)[2:] == ["step_started", "step_completed"]
    row = Step.objects.get(run=run)
    assert (row.status, row.attempt, row.errors) == ("completed", 2, 1)


def test_asynchronous_code_is_cancelled_at_its_time_out(
    workflows: WorkflowTester,
) -> None:
    plan[:] = [LATE, 0]
    assert workflows.run(calls, slow_async, {}) == 2
    assert "cancelled" in seen


def test_when_the_attempts_are_spent_the_time_out_arrives(
    workflows: WorkflowTester,
) -> None:
    plan[:] = [LATE, LATE]
    run = start(catches, slow, {"max_retries": 1})
    workflows.advance("1m")
    kind, cause = run.result()
    assert kind == "start_to_close"
    assert isinstance(cause, StepFailedError)
    assert cause.attempts == 2
    assert events_of(run) == [
        "step_started",
        "step_timed_out",
        "step_started",
        "step_timed_out",
        "step_failed",
    ]
    workflows.assert_replays(run)


def test_the_last_error_is_the_cause_of_a_time_out(workflows: WorkflowTester) -> None:
    plan[:] = [ValueError("no luck"), LATE]
    kind, cause, circumstances = workflows.run(catches, slow, {"max_retries": 1})
    assert kind == "start_to_close"
    assert repr(cause) == "ValueError('no luck')"
    assert isinstance(circumstances, StepFailedError)


def test_the_last_error_is_the_cause_after_a_crash_too(
    workflows: WorkflowTester,
) -> None:
    plan[:] = [ValueError("no luck"), LATE, LATE]
    run = start(catches, slow, {"max_retries": 2})
    for _ in range(4):
        workflows.run_until_idle()
        workflows.crash()
        workflows.advance("4s")
    kind, cause, _ = run.result()
    assert (kind, repr(cause)) == ("start_to_close", "ValueError('no luck')")
    workflows.assert_replays(run)


def test_an_uncaught_time_out_fails_the_run(workflows: WorkflowTester) -> None:
    plan[:] = [LATE]
    with pytest.raises(WorkflowRunFailedError) as failure:
        workflows.run(calls, slow, {"max_retries": 0})
    assert isinstance(failure.value.cause, StepTimeoutError)
    assert failure.value.cause.kind == "start_to_close"
    assert "0.05" in str(failure.value.cause) or "too long" in str(failure.value.cause)


@pytest.mark.parametrize("named", [StepTimeoutError, "StepTimeoutError"])
def test_a_time_out_need_not_be_retried(workflows: WorkflowTester, named: Any) -> None:
    plan[:] = [LATE, 0]
    policy = RetryPolicy(non_retryable_errors=(named,))
    run = start(catches_with_policy)
    policies[:] = [policy]
    workflows.run_until_idle()
    assert run.result() == "start_to_close"
    assert len(seen) == 1


policies: list[RetryPolicy] = []


@workflow
async def catches_with_policy() -> Any:
    try:
        return await slow.options(retry=policies[0])()
    except StepTimeoutError as error:
        return error.kind


@pytest.mark.parametrize("target", [slow, slow_async])
def test_an_attempt_within_its_time_is_left_alone(
    workflows: WorkflowTester, target: Any
) -> None:
    plan[:] = [0.01]
    assert workflows.run(calls, target, {}) == 1
    assert "cancelled" not in seen


def test_the_deadline_is_told_to_the_step(workflows: WorkflowTester) -> None:
    plan[:] = [0]
    workflows.run(calls, slow, {"timeout": "10m"})
    assert seen[-1].deadline == seen[-1].started_at + timedelta(minutes=10)
    workflows.run(calls, slow, {"timeout": None})
    assert seen[-1].deadline is None
    options = {"timeout": "10m", "schedule_to_close_timeout": "1m"}
    workflows.run(calls, slow, options)
    assert seen[-1].deadline == seen[-1].started_at + timedelta(minutes=1)


@pytest.mark.parametrize(
    "name",
    [
        "timeout",
        "heartbeat_timeout",
        "schedule_to_start_timeout",
        "schedule_to_close_timeout",
    ],
)
@pytest.mark.parametrize("value", [0, -1, "soon"])
def test_times_that_make_no_sense_are_refused(name: str, value: Any) -> None:
    with pytest.raises(ValueError, match=r"soon|-1|more than 0"):
        slow.options(**{name: value})


@step(atomic=True, timeout=TIME_OUT)
def books_slowly() -> int:
    number = get_step_metadata().attempt
    Ledger.objects.create(account=f"attempt {number}")
    _take_time()
    return number


def test_what_an_atomic_step_wrote_too_late_is_rolled_back(
    workflows: WorkflowTester,
) -> None:
    plan[:] = [LATE, 0]
    run = start(calls, books_slowly, {})
    workflows.advance("1m")
    assert run.result() == 2
    assert [row.account for row in Ledger.objects.all()] == ["attempt 2"]
    assert events_of(run)[:3] == ["step_started", "step_timed_out", "step_started"]


# -- a step that says it was cancelled ------------------------------------------------


@step(max_retries=1)
async def cancels_itself(error: str) -> None:
    seen.append(error)
    if error == "exit":
        raise GeneratorExit
    raise asyncio.CancelledError("by itself")


@step(max_retries=1)
def cancels_itself_on_a_thread(error: str) -> None:
    seen.append(error)
    raise asyncio.CancelledError("by itself")


@workflow
async def waits_in_a_group(target: Any, error: str) -> Any:
    try:
        async with asyncio.TaskGroup() as group:
            group.create_task(target(error))
    except ExceptionGroup as found:
        (inner,) = found.exceptions
        return [type(inner).__name__, str(inner), inner.__cause__]
    return "nothing happened"


@pytest.mark.parametrize("error", ["cancelled", "exit"])
@pytest.mark.parametrize("target", [cancels_itself, cancels_itself_on_a_thread])
def test_a_cancellation_that_nobody_asked_for_is_an_error_like_any(
    workflows: WorkflowTester, target: Any, error: str
) -> None:
    name, text, cause = workflows.run(waits_in_a_group, target, error)
    assert name == "StepError"
    assert text.startswith("the step raised ")
    assert isinstance(cause, StepFailedError)
    assert cause.attempts == len(seen) == 2


@workflow
async def fails_by_cancellation() -> Any:
    await cancels_itself("cancelled")


def test_a_run_whose_step_raised_cancelled_error_has_failed(
    workflows: WorkflowTester,
) -> None:
    with pytest.raises(WorkflowRunFailedError, match="the step raised CancelledError"):
        workflows.run(fails_by_cancellation)
