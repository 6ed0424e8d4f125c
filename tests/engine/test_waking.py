"""Waking: sleeps end before their time, other timers do not."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from asgiref.sync import async_to_sync

from django_workflows import (
    InvalidRunStateError,
    create_hook,
    now,
    resume_hook,
    sleep,
    start,
    step,
    workflow,
)
from django_workflows.models import Event, Run
from django_workflows.testing import WorkflowTester
from tests.engine.transactions import rolled_back

log: list[str] = []


@pytest.fixture(autouse=True)
def _fresh() -> None:
    log.clear()


@step(max_retries=1)
def failing_at_first() -> str:
    log.append("try")
    if len(log) == 1:
        raise ConnectionError("not yet")
    return "in the end"


@workflow
async def sleeping() -> Any:
    await sleep("1d")
    return now()


@workflow
async def sleeping_twice() -> str:
    await sleep("1d")
    await sleep("1d")
    return "slept"


@workflow
async def sleeping_in_parallel() -> list[int]:
    order: list[int] = []

    async def one(number: int, delay: str) -> None:
        await sleep(delay)
        order.append(number)

    await asyncio.gather(one(1, "3h"), one(2, "1h"), one(3, "2h"))
    return order


@workflow
async def under_a_timeout() -> str:
    try:
        async with asyncio.timeout(60):
            await sleep("1h")
    except TimeoutError:
        return "timed out"
    return "woken"


@workflow
async def waiting_with_a_timeout() -> str:
    with create_hook(token="t") as hook:
        try:
            return str(await asyncio.wait_for(hook, 3600))
        except TimeoutError:
            return "timed out"


@workflow
async def asyncio_sleeping() -> str:
    await asyncio.sleep(3600)
    return "slept"


@workflow
async def retrying() -> str:
    return await failing_at_first()


def begin(workflows: WorkflowTester, target: Any) -> Run:
    run: Run = start(target)
    workflows.run_until_idle()
    return run


def wake(workflows: WorkflowTester, run: Run) -> None:
    run.wake()
    workflows.run_until_idle()


def status_of(run: Run) -> str:
    run.refresh_from_db()
    return run.status


@pytest.mark.parametrize("crash", [False, True])
def test_a_sleeping_run_is_woken(workflows: WorkflowTester, crash: bool) -> None:
    run = begin(workflows, sleeping)
    workflows.advance("1h")
    if crash:
        workflows.crash()
    wake(workflows, run)
    assert run.result() == workflows.now
    workflows.assert_replays(run)


def test_only_the_current_sleeps_end(workflows: WorkflowTester) -> None:
    run = begin(workflows, sleeping_twice)
    wake(workflows, run)
    assert status_of(run) == "running"
    wake(workflows, run)
    assert run.result() == "slept"


def test_all_current_sleeps_end_in_the_order_of_their_calls(
    workflows: WorkflowTester,
) -> None:
    run = begin(workflows, sleeping_in_parallel)
    wake(workflows, run)
    assert run.result() == [1, 2, 3]
    workflows.assert_replays(run)


def test_a_sleep_under_a_timeout(workflows: WorkflowTester) -> None:
    run = begin(workflows, under_a_timeout)
    wake(workflows, run)
    assert run.result() == "woken"


def test_asyncios_own_sleep_ends_too(workflows: WorkflowTester) -> None:
    run = begin(workflows, asyncio_sleeping)
    wake(workflows, run)
    assert run.result() == "slept"


def test_timeouts_do_not_end(workflows: WorkflowTester) -> None:
    run = begin(workflows, waiting_with_a_timeout)
    wake(workflows, run)
    assert status_of(run) == "running"
    workflows.advance("59m")
    assert status_of(run) == "running"
    workflows.advance("1m")
    assert run.result() == "timed out"


def test_the_delay_of_a_retry_does_not_end(workflows: WorkflowTester) -> None:
    run = begin(workflows, retrying)
    wake(workflows, run)
    assert log == ["try"]
    workflows.advance("1s")
    assert run.result() == "in the end"


def test_a_run_that_sleeps_nowhere_goes_on_unchanged(
    workflows: WorkflowTester,
) -> None:
    run = begin(workflows, waiting_with_a_timeout)
    wake(workflows, run)
    resume_hook("t", "payload")
    workflows.run_until_idle()
    assert run.result() == "payload"
    workflows.assert_replays(run)


def test_a_run_that_has_not_begun_keeps_its_time(workflows: WorkflowTester) -> None:
    run = sleeping.options(delay="1h").start()
    wake(workflows, run)
    assert status_of(run) == "pending"
    assert not Event.objects.filter(seq=None).exists()
    workflows.advance("1h")
    assert status_of(run) == "running"


def test_waking_a_closed_run_is_refused(workflows: WorkflowTester) -> None:
    run = begin(workflows, sleeping)
    run.terminate()
    with pytest.raises(InvalidRunStateError, match="terminated"):
        run.wake()


def test_waking_in_a_rolled_back_block_does_nothing(workflows: WorkflowTester) -> None:
    run = begin(workflows, sleeping)
    with rolled_back():
        run.wake()
    workflows.run_until_idle()
    assert status_of(run) == "running"


def test_async_twin_of_wake(workflows: WorkflowTester) -> None:
    run = begin(workflows, sleeping)
    async_to_sync(run.awake)()
    workflows.run_until_idle()
    assert status_of(run) == "completed"
