"""Sleep, asyncio's timers and the clock of a run, by a time that is told."""

from __future__ import annotations

import asyncio
from datetime import datetime, timedelta
from typing import Any

import pytest

from django_workflows import now, race, sleep, start, step, workflow
from django_workflows.models import Run
from django_workflows.testing import WorkflowTester


@step
def letter(text: str) -> str:
    return text


@workflow
async def sleeping(delay: Any) -> datetime:
    await sleep(delay)
    return now()


@workflow
async def sleeping_in_a_loop(times: int) -> list[datetime]:
    found = []
    for _ in range(times):
        await sleep("3s")
        found.append(now())
    return found


@workflow
async def sleeping_in_parallel(delays: list[Any]) -> list[Any]:
    order: list[Any] = []

    async def one(delay: Any, number: int) -> None:
        await sleep(delay)
        order.append(number)

    await asyncio.gather(*[one(d, n) for n, d in enumerate(delays)])
    return order


@workflow
async def asyncio_sleeping() -> datetime:
    await asyncio.sleep(3600)
    return now()


@workflow
async def waiting_for(timeout: float | None, sleeps: str) -> str:
    try:
        await asyncio.wait_for(sleep(sleeps), timeout)
    except TimeoutError:
        return "timed out"
    return "slept"


@workflow
async def with_timeout() -> str:
    try:
        async with asyncio.timeout(60):
            await sleep("1h")
    except TimeoutError:
        return (await letter("late")) + now().strftime("%S")
    return "early"


@workflow
async def timing_out_uncaught() -> None:
    async with asyncio.timeout(60):
        await sleep("1h")


@workflow
async def racing_sleeps() -> Any:
    async def after(delay: str, value: str) -> str:
        await sleep(delay)
        return value

    return await race(after("3s", "slow"), after("1s", "fast"))


@workflow
async def issued_and_not_awaited() -> Any:
    long = sleep("1d")
    found = [await letter(text) for text in "abc"]
    return found, long.done() if hasattr(long, "done") else False


@workflow
async def sampling_the_clock() -> list[datetime]:
    times = [now(), now()]
    await letter("a")
    times.append(now())
    await sleep("5s")
    times.append(now())
    return times


def finished_at(run: Run) -> datetime | None:
    run.refresh_from_db()
    return run.finished_at


@pytest.mark.parametrize(
    ("delay", "seconds"),
    [("3d", 259200), (90, 90), (0.25, 0.25), (timedelta(hours=2), 7200), ("PT1M", 60)],
)
def test_sleep_for_a_duration(
    workflows: WorkflowTester, delay: Any, seconds: float
) -> None:
    begun = workflows.now
    run = start(sleeping, delay)
    workflows.run_until_idle()
    due = begun + timedelta(seconds=seconds)
    run.refresh_from_db()
    assert run.wake_at == due
    workflows.advance(seconds - 0.01)
    assert not Run.objects.get(pk=run.pk).is_closed
    workflows.advance("10ms")
    assert run.result() == due


def test_sleep_until_a_point_in_time(workflows: WorkflowTester) -> None:
    due = workflows.now + timedelta(days=2, microseconds=1)
    run = start(sleeping, due)
    workflows.run_until_idle()
    run.refresh_from_db()
    assert run.wake_at == due
    workflows.advance("3d")
    assert run.result() == due
    assert finished_at(run) == due


@pytest.mark.parametrize("delay", [0, "0s", timedelta(0)])
def test_sleep_of_nothing_needs_no_time(workflows: WorkflowTester, delay: Any) -> None:
    run = start(sleeping, delay)
    workflows.run_until_idle()
    assert run.result() == workflows.now


def test_sleep_until_the_past_needs_no_time(workflows: WorkflowTester) -> None:
    run = start(sleeping, workflows.now - timedelta(days=1))
    workflows.run_until_idle()
    assert run.result() == workflows.now


@pytest.mark.parametrize(
    "delay", [-1, "soon", datetime(2030, 1, 1), "500000w", float("inf")]
)
def test_sleep_that_makes_no_sense_fails_the_run(
    workflows: WorkflowTester, delay: Any
) -> None:
    run = start(sleeping, delay)
    workflows.run_until_idle()
    run.refresh_from_db()
    assert run.status == "failed"
    assert isinstance(run.error, ValueError)


def test_sleeps_in_a_loop_add_up(workflows: WorkflowTester) -> None:
    begun = workflows.now
    found = workflows.run(sleeping_in_a_loop, 3)
    assert found == [begun + timedelta(seconds=s) for s in (3, 6, 9)]


def test_advance_fires_each_timer_at_its_own_time(workflows: WorkflowTester) -> None:
    begun = workflows.now
    run = start(sleeping_in_a_loop, 3)
    workflows.advance("1h")
    assert run.result() == [begun + timedelta(seconds=s) for s in (3, 6, 9)]
    assert finished_at(run) == begun + timedelta(seconds=9)
    assert workflows.now == begun + timedelta(hours=1)


def test_parallel_sleeps_overlap(workflows: WorkflowTester) -> None:
    begun = workflows.now
    assert workflows.run(sleeping_in_parallel, ["1s"] * 10) == list(range(10))
    assert workflows.now == begun + timedelta(seconds=1)
    run = Run.objects.get()
    types = [event.type for event in run.history()]
    assert types.count("wait_created") == 10
    assert types.count("wait_completed") == 10


def test_timers_fire_by_due_time_then_creation(workflows: WorkflowTester) -> None:
    assert workflows.run(sleeping_in_parallel, [3, 1, 2, 1, 3]) == [1, 3, 2, 0, 4]


def test_timers_of_several_runs_fire_in_order(workflows: WorkflowTester) -> None:
    slow, fast = start(sleeping, "2h"), start(sleeping, "1h")
    workflows.advance("3h")
    assert fast.result() < slow.result()
    assert slow.result() - fast.result() == timedelta(hours=1)


def test_asyncio_sleep_is_durable(workflows: WorkflowTester) -> None:
    begun = workflows.now
    run = start(asyncio_sleeping)
    workflows.run_until_idle()
    workflows.crash()
    workflows.advance("1h")
    assert run.result() == begun + timedelta(hours=1)


@pytest.mark.parametrize(
    ("timeout", "sleeps", "expected"),
    [(60, "1h", "timed out"), (7200, "1h", "slept"), (None, "1h", "slept")],
)
def test_wait_for(
    workflows: WorkflowTester, timeout: float | None, sleeps: str, expected: str
) -> None:
    assert workflows.run(waiting_for, timeout, sleeps) == expected


def test_a_timeout_cancels_what_it_waited_for(workflows: WorkflowTester) -> None:
    run = start(waiting_for, 60, "1h")
    workflows.advance("2m")
    assert run.result() == "timed out"
    types = [event.type for event in run.history()]
    assert types.count("wait_created") == 2
    assert types.count("wait_completed") == 1
    assert types.count("wait_cancelled") == 1


def test_asyncio_timeout_at_its_exact_time(workflows: WorkflowTester) -> None:
    begun = workflows.now
    run = start(with_timeout)
    workflows.advance("2h")
    late_at = (begun + timedelta(seconds=60)).strftime("%S")
    assert run.result() == f"late{late_at}"
    assert finished_at(run) == begun + timedelta(seconds=60)


def test_an_uncaught_timeout_fails_the_run(workflows: WorkflowTester) -> None:
    run = start(timing_out_uncaught)
    workflows.advance("2m")
    run.refresh_from_db()
    assert run.status == "failed"
    assert isinstance(run.error, TimeoutError)


def test_race_of_sleeps(workflows: WorkflowTester) -> None:
    begun = workflows.now
    assert workflows.run(racing_sleeps) == "fast"
    assert workflows.now == begun + timedelta(seconds=1)


def test_a_run_does_not_wait_for_a_sleep_nobody_awaits(
    workflows: WorkflowTester,
) -> None:
    run = start(issued_and_not_awaited)
    workflows.run_until_idle()
    assert run.result() == (["a", "b", "c"], False)
    assert "wait_created" in [event.type for event in run.history()]


def test_now_is_the_time_of_the_last_event(workflows: WorkflowTester) -> None:
    begun = workflows.now
    first, second, after_step, after_sleep = workflows.run(sampling_the_clock)
    assert first == second == after_step == begun
    assert after_sleep == begun + timedelta(seconds=5)


def test_a_sleep_is_not_scheduled_again_by_a_crash(workflows: WorkflowTester) -> None:
    begun = workflows.now
    run = start(sleeping, "1h")
    for _ in range(5):
        workflows.advance("10m")
        workflows.crash()
    workflows.advance("10m")
    assert run.result() == begun + timedelta(hours=1)
    assert [e.type for e in run.history()].count("wait_created") == 1


def test_advance_refuses_to_go_back(workflows: WorkflowTester) -> None:
    with pytest.raises(ValueError, match="duration"):
        workflows.advance(-1)
