"""race() and first_success()."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from django_workflows.replay.api import create_hook, first_success, race, sleep
from django_workflows.replay.definitions import workflow
from tests.replay.driver import check_replays, drive
from tests.replay.steps import boom, echo


def test_race_first_wins_and_losers_are_cancelled_in_order() -> None:
    @workflow
    async def flow() -> Any:
        found = await race(echo(0), sleep(60), echo(2), asyncio.sleep(90), echo(4))
        return await echo(found)

    run = drive(flow)
    zero, two, four = (run.step("echo", n).id for n in (0, 2, 4))
    timers = [e.correlation_id for e in run.log if e.type == "wait_created"]
    run.complete(run.step("echo", 2), "two")
    cancelled = [e.correlation_id for e in run.log if e.type.endswith("_cancelled")]
    # The timer of asyncio.sleep() is cancelled by its task, a moment later.
    assert cancelled == [zero, timers[0], four, timers[1]]
    assert two not in cancelled
    assert run.run().result == "two"
    check_replays(run)


def test_race_of_one_that_fails() -> None:
    @workflow
    async def flow() -> Any:
        await race(boom("first"), sleep(60))

    run = drive(flow).run()
    assert isinstance(run.error, ValueError)
    assert run.count("wait_cancelled") == 1
    check_replays(run)


@pytest.mark.parametrize("hook_first", [True, False])
def test_race_winner_does_not_depend_on_the_order_given(hook_first: bool) -> None:
    @workflow
    async def flow() -> Any:
        hook, timer = create_hook("door"), sleep(60)
        return await (race(hook, timer) if hook_first else race(timer, hook))

    run = drive(flow)
    run.send("door", "hook")
    assert run.result == "hook"
    late = drive(flow)
    late.pass_time(60)
    assert late.result is None
    check_replays(late)


def test_race_of_what_is_done_already() -> None:
    @workflow
    async def flow() -> Any:
        done, call = echo(1), echo(2)
        await done
        return await race(call, done)

    run = drive(flow)
    run.run_step(run.steps[0])
    assert run.result == 1
    check_replays(run)


def test_race_cancelled_cancels_all() -> None:
    @workflow
    async def flow() -> Any:
        try:
            async with asyncio.timeout(5):
                await race(echo(1), echo(2))
        except TimeoutError:
            return await echo("late")

    run = drive(flow)
    run.pass_time(5)
    assert run.count("step_cancelled") == 2
    assert run.run().result == "late"
    check_replays(run)


def test_first_success_skips_failures() -> None:
    @workflow
    async def flow() -> Any:
        return await first_success(boom("a"), echo(1), echo(2))

    run = drive(flow)
    run.run_step(run.step("boom"))
    assert not run.ended
    run.run_step(run.step("echo", 2))
    assert run.result == 2
    assert run.count("step_cancelled") == 1
    check_replays(run)


def test_first_success_of_failures_only() -> None:
    @workflow
    async def flow() -> Any:
        try:
            await first_success(boom("a"), boom("b"), boom("c"))
        except* ValueError as group:
            found = [str(error) for error in group.exceptions]
        return found

    run = drive(flow)
    for call in reversed(run.steps):
        run.run_step(call)
    assert run.result == ["a", "b", "c"]
    check_replays(run)


@pytest.mark.parametrize("function", [race, first_success])
def test_nothing_to_wait_for_is_refused(function: Any) -> None:
    @workflow
    async def flow() -> Any:
        await function()

    assert isinstance(drive(flow).error, ValueError)
