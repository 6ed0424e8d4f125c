"""Pausing is a note in the log: it changes nothing for the code, live or in replay."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

from django_workflows.replay import events as log
from django_workflows.replay.api import create_hook, now, sleep
from django_workflows.replay.definitions import workflow
from django_workflows.replay.events import LogEvent
from tests.replay.driver import Driver, check_replays, drive
from tests.replay.steps import echo


@workflow
async def flow() -> Any:
    async with asyncio.TaskGroup() as group:
        slept = group.create_task(asyncio.sleep(10, "slept"))
        said = group.create_task(_say())
    with create_hook(token="t") as hook:
        heard = await hook
    await sleep(1)
    return [slept.result(), said.result(), heard, now().second]


async def _say() -> str:
    return str(await echo("said"))


def stand_still(run: Driver, seconds: float) -> None:
    run.deliver(LogEvent(log.RUN_PAUSED))
    assert run.execution.is_paused
    run.drop()
    assert run.execution.is_paused
    run.now_us += round(seconds * 1_000_000)
    run.deliver(LogEvent(log.RUN_RESUMED))
    assert not run.execution.is_paused


def test_a_run_may_stand_still_anywhere() -> None:
    acts: list[Callable[[Driver], None]] = [
        lambda run: run.run_step(run.steps[0]),
        Driver.fire,
        lambda run: run.send("t", "heard"),
        Driver.fire,
    ]
    plain, paused = drive(flow), drive(flow)
    for act in acts:
        act(plain)
        stand_still(paused, 0)
        act(paused)
    paused.drop()
    assert plain.result == paused.result
    notes = (log.RUN_PAUSED, log.RUN_RESUMED)
    assert [e.type for e in plain.log] == [
        e.type for e in paused.log if e.type not in notes
    ]
    check_replays(paused)


def test_time_stands_still_for_nobody() -> None:
    """A timer that fell due meanwhile fires on resuming, at the time of that."""

    @workflow
    async def flow() -> Any:
        begun = now()
        await sleep(10)
        return (now() - begun).total_seconds()

    run = drive(flow)
    stand_still(run, 60)
    run.fire()
    assert run.result == 60
    check_replays(run)


def test_resuming_what_does_not_stand_still_changes_nothing() -> None:
    run = drive(flow)
    before = run.execution.is_paused
    run.deliver(LogEvent(log.RUN_RESUMED))
    assert (before, run.execution.is_paused) == (False, False)
    run.deliver(LogEvent(log.RUN_PAUSED))
    run.deliver(LogEvent(log.RUN_PAUSED))
    run.deliver(LogEvent(log.RUN_RESUMED))
    run.drop()
    assert not run.execution.is_paused
    run.run_step(run.steps[0])
    check_replays(run)
