"""People steer runs of a whole worker, while their steps are running in its threads."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import pytest

from django_workflows import (
    StepCancelledError,
    WorkflowRunTimedOutError,
    get_run,
    get_step_metadata,
    start,
    step,
    workflow,
)
from django_workflows.models import Run
from tests.cluster.harness import DEADLINE, until
from tests.faults import checks
from tests.faults.threads import one_worker

pytestmark = pytest.mark.django_db(transaction=True)

began = threading.Event()
may_end = threading.Event()
heard: list[str] = []


@pytest.fixture(autouse=True)
def _fresh() -> Iterator[None]:
    for event in (began, may_end):
        event.clear()
    heard.clear()
    yield
    may_end.set()


@step(name="faults.on_loop_for_long", max_retries=0)
async def on_loop_for_long() -> str:
    began.set()
    try:
        while not may_end.is_set():
            await asyncio.sleep(0.01)
    except asyncio.CancelledError:
        heard.append("cancelled")
        raise
    return "ended"


@step(name="faults.on_thread_for_long", max_retries=0, heartbeat_timeout="30s")
def on_thread_for_long() -> str:
    began.set()
    while not may_end.wait(0.01):
        try:
            get_step_metadata().heartbeat()
        except StepCancelledError:
            heard.append("cancelled")
            raise
    return "ended"


@step(name="faults.reports")
def reports(text: str) -> str:
    heard.append(text)
    return text


@workflow(name="faults.long_on_loop")
async def long_on_loop() -> list[str]:
    return [await on_loop_for_long(), await reports("after")]


@workflow(name="faults.long_on_thread")
async def long_on_thread() -> list[str]:
    return [await on_thread_for_long(), await reports("after")]


BOTH = pytest.mark.parametrize("target", [long_on_loop, long_on_thread])


def until_status(run: Run, status: str) -> None:
    def is_there() -> bool:
        run.refresh_from_db()
        return run.status == status

    until(is_there, f"status {status}")


def seconds_late(run: Run) -> float:
    assert run.finished_at is not None
    assert run.deadline_at is not None
    return (run.finished_at - run.deadline_at).total_seconds()


def begin(target: Any, **options: Any) -> Run:
    run: Run = start(target.options(**options) if options else target)
    assert began.wait(DEADLINE)
    return run


def begin_with_deadline(target: Any) -> Run:
    """A run with so short a time that its step just comes to begin in it."""

    def has_begun_or_ended(run: Run) -> bool:
        return began.is_set() or get_run(run.pk).is_closed

    for seconds in (1, 4, 16, 60):
        run: Run = start(target.options(timeout=seconds))
        until(partial(has_begun_or_ended, run), "a step or the end")
        if began.is_set():
            return run
    raise AssertionError("no step begins in time")


@BOTH
@pytest.mark.parametrize("end", [Run.cancel, Run.terminate])
def test_a_running_step_hears_of_the_end(
    target: Any, end: Callable[[Run], None]
) -> None:
    """A coroutine by its cancellation, a function by its next heartbeat."""
    with one_worker(may_end.set):
        run = begin(target)
        end(run)
        until(lambda: heard, "word to the step")
        until_status(run, "cancelled" if end is Run.cancel else "terminated")
    assert heard == ["cancelled"]
    checks.check_log(run)


@BOTH
def test_a_running_step_hears_of_the_deadline(target: Any) -> None:
    with one_worker(may_end.set):
        run = begin_with_deadline(target)
        until(lambda: heard, "word to the step")
        until_status(run, "timed_out")
    assert heard == ["cancelled"]
    with pytest.raises(WorkflowRunTimedOutError):
        run.result()
    assert 0 <= seconds_late(run) < DEADLINE
    checks.check_log(run)


@BOTH
def test_a_running_step_ends_in_a_paused_run(target: Any) -> None:
    with one_worker(may_end.set):
        run = begin(target)
        run.pause()
        until_status(run, "paused")
        assert run.steps.get().status == "running"
        may_end.set()
        ends = run.events.filter(seq=None, type="step_completed")
        until(ends.exists, "the step's end in the inbox")
        run.refresh_from_db()
        assert (run.status, heard) == ("paused", [])
        run.resume()
        assert run.result(timeout=90) == ["ended", "after"]
    assert heard == ["after"]
    run.refresh_from_db()
    checks.check_log(run)
    checks.check_replays(run)


def test_a_deadline_is_met_on_time_while_the_worker_is_idle() -> None:
    """No code runs, nothing is due: the deadline itself wakes the look."""
    with one_worker(may_end.set):
        run = begin(long_on_loop, timeout="8s")
        run.pause()
        until_status(run, "paused")
        may_end.set()
        until_status(run, "timed_out")
    assert 0 <= seconds_late(run) < DEADLINE
    assert "run_paused" in [event.type for event in run.history()]
    checks.check_log(run)
