"""A cancellation arrives wherever a workflow waits, asyncio's own places included."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from django_workflows import (
    create_hook,
    first_success,
    race,
    sleep,
    start,
    start_child,
    step,
    workflow,
)
from django_workflows.models import Hook, Run, Step
from django_workflows.testing import WorkflowTester

cleaned: list[str] = []


@pytest.fixture(autouse=True)
def _fresh() -> None:
    cleaned.clear()


@step
def clean(where: str) -> str:
    cleaned.append(where)
    return where


@step(max_retries=100)
def never_succeeding() -> None:
    raise ValueError("again")


@workflow
async def asleep() -> None:
    await sleep("1d")


async def a_day() -> None:
    await sleep("1d")


async def on_an_event() -> None:
    await asyncio.Event().wait()


async def on_a_queue() -> None:
    await asyncio.Queue[int]().get()


async def on_the_rest_of_a_queue() -> None:
    queue = asyncio.Queue[int]()
    queue.put_nowait(1)
    await queue.join()


async def on_a_lock() -> None:
    lock = asyncio.Lock()

    async def hold() -> None:
        async with lock:
            await sleep("1d")

    holder = asyncio.create_task(hold())
    await sleep("1s")
    async with lock:
        await holder


async def on_a_semaphore() -> None:
    async with asyncio.Semaphore(0):
        raise AssertionError


async def on_a_condition() -> None:
    async with (condition := asyncio.Condition()):
        await condition.wait()


async def on_a_barrier() -> None:
    await asyncio.Barrier(2).wait()


async def on_a_future() -> None:
    await asyncio.get_running_loop().create_future()


async def on_a_wait() -> None:
    task = asyncio.create_task(a_day())
    try:
        await asyncio.wait([task])  # which cancels nothing of what it waits for
    finally:
        task.cancel()


async def on_a_gather_that_collects_errors() -> None:
    await asyncio.gather(a_day(), a_day(), return_exceptions=True)


async def on_a_group() -> None:
    async with asyncio.TaskGroup() as group:
        group.create_task(a_day())
        group.create_task(a_day())


async def on_as_completed() -> None:
    for each in asyncio.as_completed([a_day(), a_day()]):
        await each


async def on_wait_for() -> None:
    await asyncio.wait_for(asyncio.Event().wait(), 3600)


async def on_race() -> None:
    await race(a_day(), a_day())


async def on_first_success() -> None:
    await first_success(a_day(), a_day())


async def on_a_hook() -> None:
    async for _ in create_hook(token="t"):
        raise AssertionError


async def on_a_child() -> None:
    await start_child(asleep)


async def on_a_flattened_workflow() -> None:
    await asleep()


async def on_a_step_between_attempts() -> None:
    await never_succeeding()


PLACES: dict[str, Any] = {
    place.__name__: place
    for place in (
        on_an_event,
        on_a_queue,
        on_the_rest_of_a_queue,
        on_a_lock,
        on_a_semaphore,
        on_a_condition,
        on_a_barrier,
        on_a_future,
        on_a_wait,
        on_a_gather_that_collects_errors,
        on_a_group,
        on_as_completed,
        on_wait_for,
        on_race,
        on_first_success,
        on_a_hook,
        on_a_child,
        on_a_flattened_workflow,
        on_a_step_between_attempts,
    )
}


@workflow
async def waiting(place: str) -> None:
    try:
        await PLACES[place]()
    except asyncio.CancelledError as request:
        await sleep("1h")
        await clean(f"{place}, {request}")
        raise


@pytest.mark.parametrize("crash", [False, True])
@pytest.mark.parametrize("place", PLACES)
def test_a_request_arrives(workflows: WorkflowTester, place: str, crash: bool) -> None:
    run = start(waiting, place)
    workflows.advance("1s")
    if crash:
        workflows.crash()
    run.cancel("enough")
    workflows.run_until_idle()
    run.refresh_from_db()
    assert run.status == "running"  # until the clean-up is over
    if crash:
        workflows.crash()
    workflows.advance("1h")
    run.refresh_from_db()
    assert run.status == "cancelled"
    assert cleaned == [f"{place}, enough"]
    assert not Run.objects.open().exists()
    assert not Hook.objects.exists()
    assert not Step.objects.filter(status__in=["pending", "running"]).exists()
    workflows.assert_replays(run)
