"""Code that no longer follows its log is told so, and the run waits unharmed."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from django_workflows.core import serialization
from django_workflows.errors import NonDeterminismError, WorkflowGuardError
from django_workflows.replay.api import create_hook, now, sleep
from django_workflows.replay.definitions import Workflow, step, workflow
from django_workflows.replay.events import LogEvent
from django_workflows.replay.execution import RunBlocked
from tests.replay.driver import Driver, drive
from tests.replay.steps import echo, undo


@workflow(name="tests.divergence.recorded")
async def recorded_flow() -> Any:
    first = await echo(1)
    await sleep(10)
    return await echo(first)


def _recorded() -> Driver:
    run = drive(recorded_flow)
    run.run_step(run.steps[0])
    run.fire()
    return run


def _blocked(run: Driver, flow: Workflow[..., Any]) -> NonDeterminismError:
    with pytest.raises(RunBlocked) as caught:
        run.replay(workflow=flow)
    assert isinstance(caught.value.error, NonDeterminismError)
    return caught.value.error


def _line(flow: Workflow[..., Any], text: str) -> str:
    """file:line of the first line of the function that holds this text."""
    import inspect

    lines, first = inspect.getsourcelines(flow.func)
    for number, line in enumerate(lines):
        if text in line:
            return f"{__file__}:{first + number}"
    raise AssertionError(text)


def test_renamed_step() -> None:
    @workflow
    async def flow() -> Any:
        await undo(1)

    error = _blocked(_recorded(), flow)
    for part in (
        "step_created tests.replay.steps.undo",
        "step_created tests.replay.steps.echo (event 3)",
        _line(flow, "undo(1)"),
    ):
        assert part in str(error)


def test_changed_argument() -> None:
    @workflow
    async def flow() -> Any:
        await echo(2)

    assert _line(flow, "echo(2)") in str(_blocked(_recorded(), flow))


@pytest.mark.parametrize("token", ["window", None])
def test_token_of_a_hook_is_not_told(token: str | None) -> None:
    @workflow
    async def before() -> Any:
        await create_hook("door")

    @workflow
    async def after() -> Any:
        await create_hook(token)

    error = str(_blocked(drive(before), after))
    assert "the code issued hook_created hook_" in error
    assert "door" not in error
    assert "window" not in error


def test_changed_kind() -> None:
    @workflow
    async def flow() -> Any:
        await sleep(5)

    error = str(_blocked(_recorded(), flow))
    assert "wait_created sleep:5" in error
    assert _line(flow, "sleep(5)") in error


def test_changed_delay() -> None:
    @workflow
    async def flow() -> Any:
        await echo(1)
        await asyncio.sleep(11)

    error = str(_blocked(_recorded(), flow))
    assert "sleep:11" in error
    assert "sleep:10" in error
    assert _line(flow, "sleep(11)") in error


def test_command_missing() -> None:
    @workflow
    async def flow() -> Any:
        await echo(1)
        await asyncio.Event().wait()

    error = str(_blocked(_recorded(), flow))
    assert "wait_created sleep:10 (event 5)" in error
    assert "did not issue after step_completed" in error
    assert _line(flow, "Event().wait") in error


def test_command_added() -> None:
    @workflow
    async def flow() -> Any:
        first = await echo(1)
        await sleep(10)
        _ = undo(first)
        return await echo(first)

    error = str(_blocked(_recorded(), flow))
    assert "undo" in error
    assert _line(flow, "undo(first)") in error


def test_end_too_early() -> None:
    @workflow
    async def flow() -> Any:
        await echo(1)

    error = str(_blocked(_recorded(), flow))
    assert "run_completed" in error
    assert f"{__file__}:" in error


def test_end_missing() -> None:
    @workflow
    async def flow() -> Any:
        first = await echo(1)
        await sleep(10)
        await echo(first)
        await asyncio.Event().wait()

    assert "run_completed" in str(_blocked(_recorded().run(), flow))


def test_failure_where_the_log_has_a_result() -> None:
    @workflow
    async def flow() -> Any:
        first = await echo(1)
        await sleep(10)
        await echo(first)
        raise ValueError("new")

    assert "run_failed" in str(_blocked(_recorded().run(), flow))


@pytest.mark.parametrize("kind", ["step_completed", "wait_completed", "hook_received"])
def test_completion_of_what_was_never_issued(kind: str) -> None:
    run = _recorded()
    run.log.append(
        LogEvent(kind, "step_unknown", payload=serialization.dumps(1), seq=8)
    )
    error = str(_blocked(run, recorded_flow))
    assert f"{kind} step_unknown (event 8)" in error
    assert _line(recorded_flow, "echo(first)") in error


def test_replay_blocked_leaves_the_log_and_goes_on_with_the_old_code() -> None:
    @workflow
    async def flow() -> Any:
        await undo(1)

    run = _recorded()
    before = run.trace
    _blocked(run, flow)
    assert run.trace == before
    run.drop()
    assert run.run().result == 1


def test_divergence_in_a_caught_exception_still_blocks() -> None:
    seen: list[str] = []

    @workflow
    async def flow() -> Any:
        for number in range(3):
            try:
                await undo(number)
            except BaseException as error:
                seen.append(type(error).__name__)
        try:
            create_hook("door")
        except BaseException as error:
            seen.append(type(error).__name__)
        try:
            now()
        except BaseException as error:
            seen.append(type(error).__name__)
        return "hidden"

    error = _blocked(_recorded(), flow)
    assert "undo" in str(error)
    assert seen == ["NonDeterminismError"] * 5


def test_divergence_is_for_good() -> None:
    @workflow
    async def flow() -> Any:
        await undo(1)

    execution, _ = _recorded().replay(1)
    execution.workflow = flow
    with pytest.raises(RunBlocked):
        execution.replay(_recorded().log)
    with pytest.raises(RunBlocked):
        execution.deliver(LogEvent("cancel_requested"))


def test_refusal_that_is_caught_blocks_and_nothing_is_recorded() -> None:
    seen: list[str] = []

    @workflow
    async def flow() -> Any:
        import time

        try:
            time.time()
        except Exception as error:
            seen.append(type(error).__name__)
        try:
            await echo(1)
        except Exception as error:
            seen.append(type(error).__name__)
        return "hidden"

    run = Driver(flow)
    with pytest.raises(RunBlocked) as caught:
        run.begin()
    assert isinstance(caught.value.error, WorkflowGuardError)
    assert __file__ in str(caught.value.error)
    assert seen == ["WorkflowGuardError"] * 2
    assert run.types() == ["run_created", "run_started"]


def test_loop_method_that_is_caught_blocks() -> None:
    @workflow
    async def flow() -> Any:
        try:
            await asyncio.to_thread(print)
        except WorkflowGuardError:
            return "hidden"

    with pytest.raises(RunBlocked, match="run_in_executor"):
        drive(flow)


def test_step_options_may_change() -> None:
    @workflow
    async def flow() -> Any:
        first = await echo.options(max_retries=9, timeout="5m")(1)
        await sleep("10s")
        return await echo(first)

    _, commands = _recorded().replay(workflow=flow)
    assert commands == []


def test_same_name_of_a_step_elsewhere_goes_on() -> None:
    @step(name="tests.replay.steps.echo")
    def moved(value: Any) -> Any:
        return value

    @workflow
    async def flow() -> Any:
        first = await moved(1)
        await asyncio.sleep(10)
        return await moved(first)

    _, commands = _recorded().replay(workflow=flow)
    assert commands == []
