"""Time-outs that the run's owner sees to: in the queue, and over all attempts."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from typing import Any

import pytest

from django_workflows import (
    StepFailedError,
    StepTimeoutError,
    get_step_metadata,
    start,
    step,
    workflow,
)
from django_workflows.models import Run, Step
from django_workflows.testing import WorkflowTester

attempts: list[int] = []


@pytest.fixture(autouse=True)
def _fresh() -> None:
    attempts.clear()


@step
def works(fails: int = 0) -> int:
    number = get_step_metadata().attempt
    attempts.append(number)
    if number <= fails:
        raise ValueError(f"attempt {number}")
    return number


@workflow
async def calls(options: dict[str, Any], fails: int = 0) -> Any:
    try:
        return await works.options(**options)(fails)
    except StepTimeoutError as error:
        return [error.kind, error.__cause__, str(error)]


def ended_after(workflows: WorkflowTester, run: Run) -> timedelta:
    run.refresh_from_db()
    assert run.finished_at is not None
    return run.finished_at - run.created_at


@pytest.mark.parametrize("crash", [False, True])
def test_a_step_that_nobody_begins_times_out_in_the_queue(
    workflows: WorkflowTester, crash: bool
) -> None:
    workflows.queues = ("default",)
    run = start(calls, {"queue": "nobody", "schedule_to_start_timeout": "30s"})
    workflows.run_until_idle()
    if crash:
        workflows.crash()
    workflows.advance("29s")
    assert not run.history()[-1].type.startswith("run_")
    workflows.advance("1m")
    kind, cause, text = run.result()
    assert kind == "schedule_to_start"
    assert isinstance(cause, StepFailedError)
    assert cause.attempts == 0
    assert text.endswith("was not begun within 30 s")
    assert ended_after(workflows, run) == timedelta(seconds=30)
    assert attempts == []
    types = [e.type for e in run.history() if e.type.startswith("step_")]
    assert types == ["step_created", "step_timed_out", "step_failed"]
    assert Step.objects.get(run=run).status == "failed"
    workflows.assert_replays(run)
    workflows.queues = None
    workflows.run_until_idle()
    assert attempts == []


def test_a_step_that_is_begun_in_time_is_left_alone(workflows: WorkflowTester) -> None:
    options = {"queue": "other", "schedule_to_start_timeout": "30s"}
    workflows.queues = ("default",)
    run = start(calls, options)
    workflows.advance("29s")
    workflows.queues = ("default", "other")
    workflows.advance("1s")
    assert run.result() == 1


def test_the_time_in_the_queue_is_that_of_each_attempt(
    workflows: WorkflowTester,
) -> None:
    """The wait until a retry is due is none in the queue."""
    run = start(calls, {"schedule_to_start_timeout": "1s", "max_retries": 5}, 3)
    workflows.advance("1m")
    assert run.result() == 4


def test_a_retry_that_nobody_begins_times_out_too(workflows: WorkflowTester) -> None:
    options = {"queue": "other", "schedule_to_start_timeout": "30s"}
    run = start(calls, options, 1)
    workflows.run_until_idle()
    assert attempts == [1]
    workflows.queues = ("default",)
    workflows.advance("2m")
    kind, cause, _ = run.result()
    assert (kind, repr(cause)) == ("schedule_to_start", "ValueError('attempt 1')")
    assert cause.__cause__.attempts == 1
    assert ended_after(workflows, run) == timedelta(seconds=31)


@pytest.mark.parametrize("options", [{}, {"queue": "other"}], ids=["own", "other"])
@pytest.mark.parametrize("crash", [False, True])
def test_the_time_over_all_attempts(
    workflows: WorkflowTester, options: dict[str, Any], crash: bool
) -> None:
    bound = {"schedule_to_close_timeout": "10s", "max_retries": 50}
    run = start(calls, options | bound, 50)
    workflows.run_until_idle()
    if crash:
        workflows.crash()
    workflows.advance("1m")
    kind, cause, text = run.result()
    assert (kind, repr(cause)) == ("schedule_to_close", "ValueError('attempt 4')")
    assert cause.__cause__.attempts == 4
    assert text.endswith("was not done within 10 s")
    assert attempts == [1, 2, 3, 4]
    assert ended_after(workflows, run) == timedelta(seconds=10)
    types = [e.type for e in run.history()][-3:]
    assert types == ["step_timed_out", "step_failed", "run_completed"]
    workflows.assert_replays(run)


def test_a_step_done_in_time_leaves_no_timer(workflows: WorkflowTester) -> None:
    run = start(calls, {"schedule_to_close_timeout": "10s"}, 2)
    workflows.advance("9s")
    assert run.result() == 3
    last = run.history()[-1].seq
    workflows.advance("1m")
    assert run.history()[-1].seq == last


@workflow
async def both() -> Any:
    slow = works.options(schedule_to_close_timeout="2s", max_retries=9)(50)
    try:
        async with asyncio.timeout(60):
            return await slow
    except StepTimeoutError as error:
        return error.kind


def test_the_workflow_goes_on_after_a_time_out(workflows: WorkflowTester) -> None:
    run = start(both)
    workflows.advance("2s")
    assert run.result() == "schedule_to_close"
