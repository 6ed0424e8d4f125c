"""sleep(), asyncio.sleep() and their edges."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import pytest

from django_workflows.replay.api import now, sleep
from django_workflows.replay.definitions import workflow
from tests.replay.driver import START_US, check_replays, drive
from tests.replay.steps import echo

START = datetime(1970, 1, 1, tzinfo=UTC) + timedelta(microseconds=START_US)


@pytest.mark.parametrize("delay", [90, 90.0, "1m30s", timedelta(seconds=90)])
def test_sleep_for_a_duration(delay: Any) -> None:
    @workflow
    async def flow() -> Any:
        await sleep(delay)
        return (now() - START).total_seconds()

    run = drive(flow)
    assert run.log[-1].detail["due"] == START_US + 90_000_000
    run.pass_time(90)
    assert run.result == 90
    check_replays(run)


def test_asyncio_sleep_is_as_exact() -> None:
    @workflow
    async def flow() -> Any:
        for delay in (90, 0.1, 0.000001, 86400 * 365):
            await asyncio.sleep(delay)
            await asyncio.sleep(0)
        return "woken"

    run = drive(flow)
    for delay in (90, 0.1, 0.000001, 86400 * 365):
        late = run.log[-1].detail["due"] - run.now_us - round(delay * 1_000_000)
        assert 0 <= late <= 1
        run.fire()
    assert run.result == "woken"
    check_replays(run)


def test_sleep_until_a_point_in_time() -> None:
    there = START.astimezone(timezone(timedelta(hours=5))) + timedelta(hours=1)

    @workflow
    async def flow() -> Any:
        await sleep(there)
        return now() == there

    run = drive(flow)
    run.pass_time(3600)
    assert run.result is True
    check_replays(run)


@pytest.mark.parametrize(
    "delay", [0, "0s", timedelta(0), START, datetime(1066, 10, 14, tzinfo=UTC)]
)
def test_sleep_that_is_over_at_once_is_not_recorded(delay: Any) -> None:
    @workflow
    async def flow() -> str:
        await sleep(delay)
        await asyncio.sleep(0)
        await asyncio.sleep(-5)
        return "at once"

    run = drive(flow)
    assert run.result == "at once"
    assert run.count("wait_created") == 0
    check_replays(run)


@pytest.mark.parametrize(
    "delay",
    [
        -1,
        "nonsense",
        timedelta(seconds=-1),
        float("nan"),
        float("inf"),
        datetime(2030, 1, 1),
        1e13,
    ],
)
def test_sleep_that_makes_no_sense_is_refused(delay: Any) -> None:
    @workflow
    async def flow() -> str:
        try:
            sleep(delay)
        except ValueError as error:
            return str(error)
        return ""

    run = drive(flow)
    assert run.result
    assert run.count("wait_created") == 0


def test_sleep_awaited_by_many_and_again() -> None:
    @workflow
    async def flow() -> Any:
        timer = sleep(5)
        await asyncio.gather(timer, asyncio.create_task(timer), timer)
        await timer
        return "woken"

    run = drive(flow)
    run.fire()
    assert run.result == "woken"
    assert run.count("wait_created") == 1
    check_replays(run)


def test_sleeps_fire_by_due_time_then_in_order_of_creation() -> None:
    @workflow
    async def flow() -> Any:
        woken: list[Any] = []

        async def wake(name: str, delay: float) -> None:
            await sleep(delay)
            woken.append(name)

        await asyncio.gather(
            wake("c", 3), wake("a1", 1), wake("a2", 1), wake("b", 2), wake("a3", 1)
        )
        return woken

    run = drive(flow)
    run.pass_time(3)
    assert run.result == ["a1", "a2", "a3", "b", "c"]
    check_replays(run)


def test_sleep_not_awaited_does_not_keep_the_run() -> None:
    @workflow
    async def flow() -> Any:
        timer = sleep("1d")
        total = 0
        for n in range(3):
            total = await echo(total + n)
        return [total, timer.future.done()]

    assert drive(flow).run().result == [3, False]


def test_cancelled_sleep_is_recorded() -> None:
    @workflow
    async def flow() -> Any:
        timer = sleep(60)
        task = asyncio.ensure_future(timer)
        await echo(1)
        task.cancel()
        await echo(2)

    run = drive(flow).run()
    assert run.count("wait_cancelled") == 1
    check_replays(run)


def test_timer_cancelled_in_the_burst_that_fires_it() -> None:
    @workflow
    async def flow() -> Any:
        loop = asyncio.get_running_loop()
        later = loop.call_later(5, print)
        future = loop.create_future()
        loop.call_later(5, lambda: None)
        loop.call_later(4, later.cancel)
        loop.call_later(4, future.set_result, "cancelled")
        return await future

    run = drive(flow)
    run.pass_time(5)
    assert run.result == "cancelled"
    check_replays(run)


def test_wake_ends_sleeps_and_no_time_out() -> None:
    @workflow
    async def flow() -> Any:
        async with asyncio.timeout(100):
            await asyncio.gather(sleep(50), asyncio.sleep(60))
            started = now()
            await asyncio.wait([asyncio.create_task(echo(1))], timeout=20)
        return (now() - started).total_seconds()

    run = drive(flow)
    run.wake()
    assert len(run.steps) == 1
    run.wake()
    run.pass_time(20)
    assert run.result == 20
    check_replays(run)


def test_time_never_goes_back() -> None:
    @workflow
    async def flow() -> Any:
        first = now()
        await echo(1)
        return (now() - first).total_seconds()

    run = drive(flow)
    run.now_us -= 60_000_000
    run.run_step(run.steps[0])
    assert run.result == 0
