"""What a cancellation reaches: parts of a workflow, its steps, timers and hooks."""

from __future__ import annotations

import asyncio
from typing import Any
from unittest.mock import patch

import pytest

from django_workflows import (
    HookNotFoundError,
    InvalidRunStateError,
    create_hook,
    get_hook_by_token,
    sleep,
    start,
    step,
    workflow,
)
from django_workflows.models import Event, Run, Step
from django_workflows.testing import WorkflowTester
from tests.app.models import Ledger

log: list[str] = []
misbehaves: list[bool] = []


@pytest.fixture(autouse=True)
def _fresh() -> None:
    log.clear()
    misbehaves.clear()


@step
def note(text: str) -> str:
    log.append(text)
    return text


@step(queue="nobody serves this")
def unserved(text: str = "unserved") -> str:
    log.append(text)
    return text


@step
def cancelling_its_run() -> str:
    Run.objects.get().cancel()
    log.append("ended")
    return "ended"


@step(max_retries=0)
def terminating_its_run() -> str:
    Run.objects.get().terminate()
    log.append("ended")
    return "ended"


@step(atomic=True)
def book() -> int:
    Ledger.objects.create(account="a")
    log.append("booked")
    return 1


@step(atomic=True, max_retries=0)
def terminating_its_own_run() -> None:
    Ledger.objects.create(account="a")
    Run.objects.get().terminate()


@workflow
async def under_a_timeout() -> str:
    try:
        async with asyncio.timeout(60):
            await unserved()
    except TimeoutError:
        return await note("too late")
    return "in time"


@workflow
async def cancelling_a_task() -> list[str]:
    async def one(name: str) -> str:
        try:
            await sleep("1h")
        except asyncio.CancelledError:
            await note(f"{name} cancelled")
            raise
        return await note(name)

    tasks = [asyncio.create_task(one(name)) for name in ("a", "b")]
    await sleep("1s")
    tasks[0].cancel()
    found = await asyncio.gather(*tasks, return_exceptions=True)
    return [type(each).__name__ for each in found]


@workflow
async def shielding_a_step() -> None:
    call = unserved("shielded")
    try:
        await asyncio.shield(call)
    except asyncio.CancelledError:
        await note(f"{await call} to its end")
        raise


@workflow
async def several_at_once() -> None:
    with create_hook(token="t") as hook:
        await asyncio.gather(
            sleep("1d"), unserved("one"), hook, asyncio.sleep(3600), unserved("two")
        )


@workflow
async def in_a_scope() -> str:
    """A request from outside is no time-out, wherever it arrives."""
    try:
        async with asyncio.timeout(3600):
            await sleep("1d")
    except TimeoutError:
        return "timed out"
    return "slept"


@workflow
async def cancelled_in_the_middle_of_a_step() -> str:
    await cancelling_its_run()
    await sleep("1d")
    return await note("after")


@workflow
async def terminated_in_the_middle_of_a_step() -> str:
    await terminating_its_run()
    return await note("after")


@workflow
async def terminated_beside_an_atomic_step() -> None:
    await asyncio.gather(terminating_its_run(), book())


@workflow
async def undoing_itself() -> None:
    await terminating_its_own_run()


@workflow
async def blocking() -> None:
    await note("before")
    if misbehaves:
        open("/dev/null").close()
    try:
        await sleep("1d")
    finally:
        await note("clean")


def begin(workflows: WorkflowTester, target: Any) -> Run:
    run: Run = start(target)
    workflows.run_until_idle()
    return run


def types_of(run: Run) -> list[str]:
    return [event.type for event in run.history()]


def status_of(run: Run) -> str:
    run.refresh_from_db()
    return run.status


@pytest.fixture
def default_only(workflows: WorkflowTester) -> Any:
    """The kit serves all queues; here it shall leave steps on offer."""
    with patch.object(workflows, "_queues", lambda: ("default",)):
        yield


def test_a_timeout_cancels_the_step(
    workflows: WorkflowTester, default_only: None
) -> None:
    run = begin(workflows, under_a_timeout)
    workflows.advance("1m")
    assert run.result() == "too late"
    assert types_of(run).count("step_cancelled") == 1
    assert Step.objects.get(name__endswith="unserved").status == "cancelled"
    workflows.assert_replays(run)


def test_a_cancelled_task_cancels_what_it_waits_for(workflows: WorkflowTester) -> None:
    run = begin(workflows, cancelling_a_task)
    workflows.advance("1s")
    assert log == ["a cancelled"]
    assert types_of(run).count("wait_cancelled") == 1
    workflows.advance("1h")
    assert run.result() == ["CancelledError", "str"]
    assert log == ["a cancelled", "b"]
    workflows.assert_replays(run)


def test_a_shielded_step_gives_its_result_to_the_clean_up(
    workflows: WorkflowTester, caplog: pytest.LogCaptureFixture
) -> None:
    with patch.object(workflows, "_queues", lambda: ("default",)):
        run = begin(workflows, shielding_a_step)
        run.cancel()
        workflows.run_until_idle()
    assert status_of(run) == "running"
    assert Step.objects.get().status == "pending"
    workflows.run_until_idle()
    assert log == ["shielded", "shielded to its end"]
    assert status_of(run) == "cancelled"
    assert "step_cancelled" not in types_of(run)
    assert "never retrieved" not in caplog.text
    workflows.assert_replays(run)


@pytest.mark.parametrize("crash", [False, True])
def test_all_that_is_awaited_is_cancelled(
    workflows: WorkflowTester, default_only: None, crash: bool
) -> None:
    run = begin(workflows, several_at_once)
    if crash:
        workflows.crash()
    run.cancel()
    workflows.run_until_idle()
    assert status_of(run) == "cancelled"
    assert (run.wake_at, run.owner) == (None, "")
    created = [e for e in run.history() if e.type in ("wait_created", "step_created")]
    ended = [
        e
        for e in run.history()
        if e.type.endswith(("wait_cancelled", "step_cancelled"))
    ]
    assert {e.correlation_id for e in ended} == {e.correlation_id for e in created}
    with pytest.raises(HookNotFoundError):
        get_hook_by_token("t")
    assert {step.status for step in Step.objects.all()} == {"cancelled"}
    workflows.advance("2d")
    assert log == []
    workflows.assert_replays(run)


def test_a_request_is_not_taken_for_a_timeout(workflows: WorkflowTester) -> None:
    run = begin(workflows, in_a_scope)
    run.cancel()
    workflows.run_until_idle()
    assert status_of(run) == "cancelled"


def test_a_request_beside_a_timeout_that_is_due_cancels_the_run(
    workflows: WorkflowTester,
) -> None:
    """The request was there before the worker looked at its timers."""
    run = begin(workflows, in_a_scope)
    with patch.object(workflows, "_queues", lambda: ("no worker",)):
        workflows.advance("1h")
        run.cancel()
    workflows.run_until_idle()
    assert status_of(run) == "cancelled"
    assert types_of(run).count("cancel_requested") == 1
    workflows.assert_replays(run)


@workflow
async def leaving_later_by_itself(cancelled_error: bool) -> None:
    try:
        await sleep("1d")
    except asyncio.CancelledError:
        await note("caught")
    await sleep("1h")
    raise asyncio.CancelledError("mine") if cancelled_error else ValueError("mine")


@pytest.mark.parametrize(
    ("cancelled_error", "status"), [(True, "cancelled"), (False, "failed")]
)
def test_how_the_code_is_left_after_a_request_decides(
    workflows: WorkflowTester, cancelled_error: bool, status: str
) -> None:
    run = start(leaving_later_by_itself, cancelled_error)
    workflows.run_until_idle()
    run.cancel()
    workflows.advance("1h")
    assert log == ["caught"]
    assert status_of(run) == status
    workflows.assert_replays(run)


def test_a_step_that_runs_comes_to_its_end(workflows: WorkflowTester) -> None:
    run = begin(workflows, cancelled_in_the_middle_of_a_step)
    assert status_of(run) == "cancelled"
    assert log == ["ended"]
    workflows.advance("2d")
    assert log == ["ended"]
    workflows.assert_replays(run)


def test_the_result_of_a_step_of_a_terminated_run_is_dropped(
    workflows: WorkflowTester,
) -> None:
    run = begin(workflows, terminated_in_the_middle_of_a_step)
    workflows.advance("1d")
    assert log == ["ended"]
    assert types_of(run)[-2:] == ["step_started", "run_terminated"]
    assert not Event.objects.filter(run=run, seq=None).exists()


def test_what_an_atomic_step_of_a_terminated_run_wrote_is_rolled_back(
    workflows: WorkflowTester,
) -> None:
    run = begin(workflows, terminated_beside_an_atomic_step)
    assert status_of(run) == "terminated"
    assert log == ["ended", "booked"]
    assert not Ledger.objects.exists()
    assert "step_completed" not in types_of(run)


def test_an_atomic_step_cannot_terminate_its_own_run(
    workflows: WorkflowTester,
) -> None:
    run = begin(workflows, undoing_itself)
    assert status_of(run) == "failed"
    assert isinstance(run.error, InvalidRunStateError)
    assert not Ledger.objects.exists()


def test_after_a_retry_a_run_can_be_cancelled_again(
    workflows: WorkflowTester,
) -> None:
    run = begin(workflows, blocking)
    for _ in range(2):
        run.cancel()
        workflows.run_until_idle()
        assert status_of(run) == "cancelled"
        run.cancel()
        run.retry()
        workflows.run_until_idle()
        assert status_of(run) == "running"
    assert log == ["before", "clean", "clean"]
    assert types_of(run).count("cancel_requested") == 2
    workflows.assert_replays(run)


def test_a_blocked_run_keeps_the_request(workflows: WorkflowTester) -> None:
    misbehaves.append(True)
    run = begin(workflows, blocking)
    run.refresh_from_db()
    assert run.blocked_reason
    run.cancel("later")
    workflows.run_until_idle()
    assert status_of(run) == "running"
    misbehaves.clear()
    workflows.advance("1h")
    assert status_of(run) == "cancelled"
    assert log == ["before", "clean"]


def test_a_blocked_run_is_terminated_at_once(workflows: WorkflowTester) -> None:
    misbehaves.append(True)
    run = begin(workflows, blocking)
    run.terminate("it will never go on")
    assert status_of(run) == "terminated"
    with pytest.raises(InvalidRunStateError):
        run.resume()
