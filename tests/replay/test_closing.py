"""A dropped run does nothing any more, whatever its clean-up code would do."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import logging
from collections.abc import AsyncIterator
from typing import Any

import pytest

from django_workflows.replay import closing
from django_workflows.replay.api import create_hook, race, sleep
from django_workflows.replay.closing import RunClosing
from django_workflows.replay.definitions import workflow
from tests.replay.driver import Driver, drive
from tests.replay.steps import echo, undo

logger = logging.getLogger("tests.replay.closing")


def _unchanged_by_closing(run: Driver) -> None:
    before = run.trace
    assert run.execution.commands == []
    run.close()
    gc.collect()
    assert run.execution.commands == []
    assert run.trace == before
    assert run.execution.loop._ready == type(run.execution.loop._ready)()


def test_finally_does_nothing(caplog: pytest.LogCaptureFixture) -> None:
    seen: list[Any] = []

    @workflow
    async def flow() -> None:
        try:
            with create_hook("door"):
                await sleep("1h")
        finally:
            logger.error("leaving")
            seen.append("finally")
            try:
                await undo(1)
            except BaseException as error:
                seen.append(type(error))
                raise
            seen.append("released")

    run = drive(flow)
    with caplog.at_level(logging.DEBUG, logger="tests"):
        _unchanged_by_closing(run)
    assert seen == ["finally", RunClosing]
    assert "leaving" not in caplog.text


def test_tasks_and_groups_are_closed() -> None:
    seen: list[str] = []

    async def work(name: str) -> None:
        try:
            await echo(name)
        finally:
            seen.append(name)
            await undo(name)

    @workflow
    async def flow() -> None:
        background = asyncio.create_task(work("background"))
        async with asyncio.TaskGroup() as group:
            group.create_task(work("one"))
            async with asyncio.timeout(60), asyncio.TaskGroup() as inner:
                inner.create_task(work("two"))
        await background

    run = drive(flow)
    _unchanged_by_closing(run)
    assert sorted(seen) == ["background", "one", "two"]


def test_coroutines_that_clean_up_are_not_left_unawaited() -> None:
    """Warnings are errors here: Python's about such a coroutine would be one."""
    seen: list[Any] = []

    async def clean_up(name: str) -> None:
        seen.append(name)
        await undo(name)

    async def numbers() -> AsyncIterator[int]:
        try:
            yield 1
        finally:
            await asyncio.wait_for(clean_up("generator"), 5)

    async def in_time(name: str) -> None:
        try:
            await echo(name)
        finally:
            await asyncio.wait_for(clean_up(name), 5)

    async def in_a_group() -> None:
        try:
            await echo("group")
        finally:
            async with asyncio.TaskGroup() as group:
                group.create_task(clean_up("task of a group"))
                await clean_up("group")

    async def as_the_first() -> None:
        try:
            await echo("race")
        finally:
            await race(clean_up("race"), clean_up("race"))

    @workflow
    async def flow() -> None:
        async for _ in numbers():
            await asyncio.gather(in_time("wait_for"), in_a_group(), as_the_first())

    run = drive(flow)
    assert len(run.steps) == 3
    _unchanged_by_closing(run)
    assert seen == ["wait_for", "group", "generator"]


def test_closing_twice_and_before_the_beginning() -> None:
    @workflow
    async def flow() -> None:
        await sleep(5)

    run = Driver(flow)
    run.close()
    run = drive(flow)
    run.close()
    run.close()


def test_async_generator_is_closed_with_its_run() -> None:
    """One in a reference cycle would be collected during a burst of another run, and
    its clean-up be recorded there."""
    seen: list[Any] = []

    @workflow
    async def flow() -> None:
        async def numbers() -> AsyncIterator[int]:
            try:
                yield 1
                yield 2
            finally:
                seen.append(asyncio.get_running_loop())
                await undo("numbers")

        generator = numbers()
        cycle: list[Any] = [generator]
        cycle.append(cycle)
        async for _ in generator:
            break
        del generator, cycle
        await sleep("1h")

    @workflow
    async def other() -> None:
        for n in range(3):
            gc.collect()
            await echo(n)

    run = drive(flow)
    neighbour = drive(other).run()
    gc.collect()
    assert seen == []
    assert neighbour.count("step_created") == 3
    _unchanged_by_closing(run)
    assert seen == [run.execution.loop]


def test_async_generators_that_have_ended_are_let_go() -> None:
    @workflow
    async def flow() -> None:
        async def one() -> AsyncIterator[int]:
            yield 1

        for _ in range(1000):
            async for _ in one():
                pass
        await sleep("1h")

    run = drive(flow)
    assert len(run.execution._generators) < 200


@contextlib.asynccontextmanager
async def resource(name: str) -> AsyncIterator[str]:
    await echo(f"get {name}")
    try:
        yield name
    finally:
        await undo(name)


def test_async_context_manager_is_closed_without_its_step() -> None:
    @workflow
    async def flow() -> None:
        async with resource("lease"):
            await sleep("1h")

    run = drive(flow)
    run.run_step(run.steps[0])
    _unchanged_by_closing(run)


def test_what_an_async_generator_waits_for_is_closed() -> None:
    """On Python 3.11 closing the coroutine that iterates does not reach it."""
    seen: list[Any] = []

    async def inner() -> None:
        try:
            await sleep("1h")
        finally:
            seen.append(asyncio.get_running_loop())
            await undo("inner")

    @workflow
    async def flow() -> None:
        async def numbers() -> AsyncIterator[int]:
            await inner()
            yield 1

        async for _ in numbers():
            pass

    run = drive(flow)
    _unchanged_by_closing(run)
    assert seen == [run.execution.loop]


def test_clean_up_that_awaits_is_closed_from_the_inside() -> None:
    """Closing the outer coroutine alone lets go of an inner one that awaits something
    in its clean-up, and the collector would go on with it anywhere."""
    seen: list[str] = []

    async def inner() -> None:
        try:
            await sleep("1h")
        finally:
            for n in range(3):
                try:
                    await asyncio.sleep(0)
                finally:
                    seen.append(f"inner {n}")

    @workflow
    async def flow() -> None:
        try:
            await inner()
        finally:
            seen.append("outer")

    _unchanged_by_closing(drive(flow))
    assert seen == ["inner 0", "outer"]


def test_clean_up_that_starts_tasks_starts_none() -> None:
    seen: list[str] = []

    async def late() -> None:
        seen.append("late")

    @workflow
    async def flow() -> None:
        try:
            await sleep("1h")
        finally:
            await asyncio.gather(late(), late())

    _unchanged_by_closing(drive(flow))
    assert seen == []


def _bury(run: Driver, caplog: pytest.LogCaptureFixture) -> Any:
    before = len(closing.graveyard)
    with caplog.at_level(logging.WARNING):
        _unchanged_by_closing(run)
    assert len(closing.graveyard) == before + 1
    assert "ignores GeneratorExit" in caplog.text
    return closing.graveyard[-1]


def test_coroutine_that_ignores_generator_exit_is_buried(
    caplog: pytest.LogCaptureFixture,
) -> None:
    @workflow
    async def flow() -> None:
        event = asyncio.Event()
        while True:
            with contextlib.suppress(BaseException):
                await event.wait()

    assert _bury(drive(flow), caplog).cr_frame is not None


def test_coroutine_that_swallows_every_refusal_is_buried(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """Refused at each call, it would never give the worker's thread back."""

    @workflow
    async def flow() -> None:
        while True:
            with contextlib.suppress(BaseException):
                await echo(1)

    assert _bury(drive(flow), caplog).cr_frame is not None


def test_ended_run_closes_what_it_left_behind() -> None:
    seen: list[str] = []

    async def background() -> None:
        try:
            await sleep("1d")
        finally:
            seen.append("closed")
            await undo(1)

    async def never_begun() -> None:
        seen.append("begun")

    @workflow
    async def flow() -> str:
        tasks = [asyncio.create_task(background())]
        await asyncio.sleep(0)
        tasks.append(asyncio.create_task(never_begun()))
        return "end"

    run = drive(flow)
    assert run.result == "end"
    _unchanged_by_closing(run)
    assert seen == ["closed"]


def test_dropped_run_reports_no_pending_task(caplog: pytest.LogCaptureFixture) -> None:
    @workflow
    async def flow() -> None:
        task = asyncio.create_task(asyncio.sleep(60))
        await sleep("1d")
        await task

    with caplog.at_level(logging.DEBUG):
        run = drive(flow)
        run.close()
        del run
        from tests.replay import driver

        driver.close_all()
        gc.collect()
    assert "pending" not in caplog.text


def test_loop_and_hooks_of_the_thread_are_as_before() -> None:
    import sys

    @workflow
    async def flow() -> None:
        await sleep(5)

    before = sys.get_asyncgen_hooks()
    run = drive(flow)
    assert sys.get_asyncgen_hooks() == before
    run.close()
    assert sys.get_asyncgen_hooks() == before
    with pytest.raises(RuntimeError):
        asyncio.get_running_loop()


async def test_burst_inside_another_loop() -> None:
    @workflow
    async def flow() -> Any:
        return await echo(1)

    outer = asyncio.get_running_loop()
    assert drive(flow).run().result == 1
    assert asyncio.get_running_loop() is outer
    assert asyncio.current_task() is not None
