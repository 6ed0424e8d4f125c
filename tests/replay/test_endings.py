"""How runs end: results, errors, cancellation, SystemExit."""

from __future__ import annotations

import asyncio
import signal
import sys
from typing import Any

import pytest

from django_workflows.replay.api import sleep
from django_workflows.replay.definitions import workflow
from django_workflows.replay.events import LogEvent
from django_workflows.replay.execution import RunBlocked
from tests.replay.driver import check_replays, drive
from tests.replay.steps import boom, echo, undo


def test_error_of_a_step_fails_the_run() -> None:
    @workflow
    async def flow() -> None:
        await boom("no")

    run = drive(flow).run()
    assert run.status == "run_failed"
    assert isinstance(run.error, ValueError)
    check_replays(run)


@pytest.mark.parametrize("error", [SystemExit(3), KeyboardInterrupt()])
@pytest.mark.parametrize("in_task", [False, True])
def test_exit_in_workflow_code_fails_the_run(
    error: BaseException, in_task: bool
) -> None:
    """asyncio lets these out of its loop, which here would end a worker."""

    @workflow
    async def flow() -> Any:
        async def leave() -> None:
            await echo(1)
            raise error

        await (asyncio.create_task(leave()) if in_task else leave())

    run = drive(flow)
    run.run_step(run.steps[0])
    assert run.status == "run_failed"
    check_replays(run)


def test_exit_in_a_task_can_be_caught() -> None:
    @workflow
    async def flow() -> Any:
        async def leave() -> None:
            sys.exit("bye")

        task = asyncio.create_task(leave())
        try:
            await task
        except SystemExit as error:
            return await echo(str(error))

    run = drive(flow).run()
    assert run.result == "bye"
    check_replays(run)


@pytest.mark.parametrize("in_task", [False, True])
def test_exit_by_a_signal_is_not_the_runs(in_task: bool) -> None:
    """django-q2's time limit raises SystemExit out of a signal handler, into whatever
    runs. Nothing of that burst may be stored."""

    def handler(number: int, frame: Any) -> None:
        raise SystemExit("time limit")

    async def hit() -> None:
        await echo(1)
        interrupt()

    @workflow
    async def flow() -> Any:
        await (asyncio.create_task(hit()) if in_task else hit())

    run = drive(flow)
    earlier = signal.signal(signal.SIGUSR2, handler)
    try:
        with pytest.raises(SystemExit):
            run.run_step(run.steps[0])
    finally:
        signal.signal(signal.SIGUSR2, earlier)
    assert not run.ended
    with pytest.raises(RunBlocked):
        run.execution.deliver(LogEvent("wake_requested"))


def interrupt() -> None:
    signal.raise_signal(signal.SIGUSR2)


def test_cancel_runs_clean_up_steps() -> None:
    @workflow
    async def flow() -> None:
        try:
            await echo(1)
        finally:
            await undo(1)
            await undo(2)

    run = drive(flow)
    run.cancel("because")
    assert run.count("step_cancelled") == 1
    # The second request does not disturb the clean-up.
    run.cancel("again")
    run.run()
    assert run.status == "run_cancelled"
    assert run.count("step_completed") == 2
    check_replays(run)


def test_cancel_reason_is_the_message() -> None:
    @workflow
    async def flow() -> Any:
        try:
            await sleep("1h")
        except asyncio.CancelledError as error:
            return error.args

    run = drive(flow)
    run.cancel("because")
    assert list(run.result) == ["because"]
    assert run.status == "run_completed"


def test_cancel_with_task_group_in_the_except_block() -> None:
    """Python 3.13 would end the whole task as cancelled, had it not been told that the
    cancellation is dealt with."""

    @workflow
    async def flow() -> Any:
        try:
            await sleep("1h")
        except asyncio.CancelledError:
            try:
                async with asyncio.TaskGroup() as group:
                    group.create_task(undo(1))
                    group.create_task(boom("no"))
            except* ValueError as errors:
                found = [str(error) for error in errors.exceptions]
            async with asyncio.timeout(60):
                await undo(2)
            return found

    run = drive(flow)
    run.cancel()
    run.run_step(run.step("boom"))
    run.run()
    assert run.result == ["no"]
    check_replays(run)


def test_cancel_of_gather_group_race_and_timeout() -> None:
    from django_workflows.replay.api import race

    async def shapes() -> None:
        async with asyncio.timeout(100), asyncio.TaskGroup() as group:
            group.create_task(echo(1))
            group.create_task(asyncio.sleep(50))
            await asyncio.gather(echo(2), race(echo(3), sleep(70)))

    @workflow
    async def flow() -> None:
        try:
            await shapes()
        finally:
            await undo("all")

    run = drive(flow)
    run.cancel()
    assert run.count("step_cancelled") == 3
    assert run.count("wait_cancelled") == 3
    run.run()
    assert run.status == "run_cancelled"
    check_replays(run)


def test_cancel_reaches_a_shielded_wait_only() -> None:
    @workflow
    async def flow() -> Any:
        call = echo(1)
        try:
            await asyncio.shield(call)
        except asyncio.CancelledError:
            return await call

    run = drive(flow)
    run.cancel()
    assert run.count("step_cancelled") == 0
    assert run.run().result == 1
    check_replays(run)


def test_cancelled_error_without_a_request_is_a_failure() -> None:
    @workflow
    async def flow() -> None:
        call = asyncio.ensure_future(echo(1))
        await asyncio.sleep(0)
        call.cancel()
        await call

    run = drive(flow)
    assert run.status == "run_failed"
    check_replays(run)


def test_error_in_the_clean_up_fails_the_run() -> None:
    @workflow
    async def flow() -> None:
        try:
            await sleep("1h")
        finally:
            await boom("clean-up")

    run = drive(flow)
    run.cancel()
    run.run()
    assert str(run.error) == "clean-up"
    check_replays(run)
