"""Heartbeats: signs of life, and details for the next attempt."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import pytest

from django_workflows import (
    SerializationError,
    StepCancelledError,
    StepTimeoutError,
    WorkflowRunFailedError,
    get_run,
    get_step_metadata,
    start,
    step,
    workflow,
)
from django_workflows.models import Step
from django_workflows.testing import WorkflowTester
from tests.clocks import HandClock

seen: list[Any] = []
#: What each attempt does after its first heartbeat.
acts: list[Callable[[], Any]] = []
#: Lets time pass for the attempt under way.
pass_time: Callable[[float], None]


@pytest.fixture(autouse=True)
def _fresh(attempt_clock: HandClock) -> None:
    global pass_time
    pass_time = attempt_clock.advance
    seen.clear()
    acts.clear()


def fail() -> None:
    raise ValueError("half way")


def _attempt() -> Any:
    metadata = get_step_metadata()
    seen.append(metadata.heartbeat_details)
    if metadata.attempt <= len(acts):
        metadata.heartbeat({"i": metadata.attempt * 7})
        return acts[metadata.attempt - 1]()
    return None


@step
def beats() -> Any:
    found = _attempt()
    return seen[-1] if found is None else found


@step
async def beats_async() -> Any:
    found = _attempt()
    if asyncio.iscoroutine(found):
        await found
    return seen[-1] if found is None else found


@workflow
async def calls(target: Any, options: dict[str, Any]) -> Any:
    return await target.options(**options)()


OPTIONS: list[dict[str, Any]] = [
    {},
    {"heartbeat_timeout": "30s"},
    {"queue": "elsewhere"},
]


@pytest.mark.parametrize("options", OPTIONS, ids=str)
@pytest.mark.parametrize("target", [beats, beats_async])
def test_details_are_handed_to_the_attempt_after_an_error(
    workflows: WorkflowTester, target: Any, options: dict[str, Any]
) -> None:
    acts[:] = [fail, fail]
    assert workflows.run(calls, target, options) == {"i": 14}
    assert seen == [None, {"i": 7}, {"i": 14}]


def test_details_are_kept_by_an_attempt_that_gives_none(
    workflows: WorkflowTester,
) -> None:
    acts[:] = [fail]
    run = start(calls, forgets, {})
    workflows.advance("1m")
    assert run.result() == 3
    assert seen == [None, {"i": 1}, {"i": 1}]


@step
def forgets() -> int:
    metadata = get_step_metadata()
    seen.append(metadata.heartbeat_details)
    if metadata.attempt == 1:
        metadata.heartbeat({"i": 1})
    metadata.heartbeat()
    if metadata.attempt < 3:
        raise ValueError
    return metadata.attempt


def test_details_survive_a_crash_between_the_attempts(
    workflows: WorkflowTester,
) -> None:
    acts[:] = [fail]
    run = start(calls, beats, {})
    workflows.run_until_idle()
    workflows.crash()
    workflows.advance("1m")
    assert run.result() == {"i": 7}
    workflows.assert_replays(run)


def hangs() -> None:
    pass_time(0.1)


async def hangs_async() -> None:
    pass_time(0.1)
    await asyncio.Event().wait()


@pytest.mark.parametrize(
    ("target", "act"), [(beats, hangs), (beats_async, hangs_async)]
)
def test_a_silent_attempt_times_out_and_the_next_goes_on_from_its_details(
    workflows: WorkflowTester, target: Any, act: Any
) -> None:
    acts[:] = [act]
    run = start(calls, target, {"heartbeat_timeout": 0.05})
    workflows.advance("1m")
    assert run.result() == {"i": 7}
    timed_out = next(e for e in run.history() if e.type == "step_timed_out")
    assert timed_out.data["kind"] == "heartbeat"


@step(heartbeat_timeout=0.05, max_retries=0)
def regular() -> str:
    for number in range(8):
        pass_time(0.02)
        get_step_metadata().heartbeat(number)
    return "done"


@step(heartbeat_timeout=0.05, max_retries=0)
async def regular_async() -> str:
    for number in range(8):
        pass_time(0.02)
        await asyncio.sleep(0)
        get_step_metadata().heartbeat(number)
    return "done"


@pytest.mark.parametrize("target", [regular, regular_async])
def test_heartbeats_keep_an_attempt_alive(
    workflows: WorkflowTester, target: Any
) -> None:
    assert workflows.run(calls, target, {}) == "done"


def test_a_silent_attempt_without_retries_fails_the_run(
    workflows: WorkflowTester,
) -> None:
    acts[:] = [hangs]
    with pytest.raises(WorkflowRunFailedError) as failure:
        workflows.run(calls, beats, {"heartbeat_timeout": 0.05, "max_retries": 0})
    assert isinstance(failure.value.cause, StepTimeoutError)
    assert failure.value.cause.kind == "heartbeat"


@step
def tells(details: str) -> None:
    seen.append(details)
    get_step_metadata().heartbeat({"list": [object()]})


def test_details_that_cannot_be_stored_fail_the_step_at_once(
    workflows: WorkflowTester,
) -> None:
    with pytest.raises(WorkflowRunFailedError) as failure:
        workflows.run(calls_with, "x")
    assert isinstance(failure.value.cause, SerializationError)
    assert "heartbeat details['list'][0]" in str(failure.value.cause)
    assert len(seen) == 1


@workflow
async def calls_with(details: str) -> Any:
    return await tells(details)


@step
def ends_its_run() -> None:
    metadata = get_step_metadata()
    get_run(metadata.run_id).terminate()
    try:
        metadata.heartbeat()
    except StepCancelledError as error:
        seen.append(error)
        raise


def test_a_heartbeat_tells_that_the_run_was_terminated(
    workflows: WorkflowTester,
) -> None:
    run = start(calls, ends_its_run, {})
    workflows.run_until_idle()
    run.refresh_from_db()
    assert run.status == "terminated"
    assert len(seen) == 1


def test_the_last_details_are_in_the_row_while_the_step_waits(
    workflows: WorkflowTester,
) -> None:
    acts[:] = [fail]
    run = start(calls, beats, {"heartbeat_timeout": "1m"})
    workflows.run_until_idle()
    row = Step.objects.get(run=run)
    assert row.status == "pending"
    assert bytes(row.heartbeat or b"") == b'{"i":7}'


@step(atomic=True)
def beats_in_a_transaction() -> Any:
    """Its details are stored although its transaction is rolled back."""
    return _attempt() or seen[-1]


@pytest.mark.parametrize("options", OPTIONS, ids=str)
@pytest.mark.django_db(transaction=True)
def test_details_of_an_atomic_step_outlive_its_transaction(
    workflows: WorkflowTester, options: dict[str, Any]
) -> None:
    acts[:] = [fail, fail]
    assert workflows.run(calls, beats_in_a_transaction, options) == {"i": 14}
    assert seen == [None, {"i": 7}, {"i": 14}]
