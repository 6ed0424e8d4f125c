"""continue_as_new(): how a run's code ends, and how a successor takes hooks over."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from django_workflows.core import serialization
from django_workflows.errors import SerializationError
from django_workflows.replay.api import (
    continue_as_new,
    create_hook,
    now,
    random,
    sleep,
    uuid4,
)
from django_workflows.replay.definitions import workflow
from django_workflows.replay.execution import RunBlocked
from django_workflows.replay.saga import saga
from tests.replay.driver import Driver, check_replays, drive
from tests.replay.steps import echo, undo

calls: list[Any] = []


@pytest.fixture(autouse=True)
def _fresh() -> None:
    calls.clear()


def next_input(run: Driver) -> tuple[Any, ...]:
    end = run.execution.end
    assert end is not None
    assert end.type == "run_continued"
    args, kwargs = serialization.loads_call(end.payload or b"")
    return (*args, *kwargs.items())


def unread(run: Driver) -> dict[str, list[Any]]:
    return {
        hook.token: [serialization.loads(payload) for payload in hook.unread]
        for hook in run.execution.hooks.values()
    }


# -- the end ------------------------------------------------------------------------


def test_main_function_continues() -> None:
    @workflow
    async def flow(count: int, *, name: str = "") -> None:
        await echo(count)
        continue_as_new(count + 1, name="x")

    run = drive(flow, 1).run()
    assert next_input(run) == (2, ("name", "x"))
    assert run.types()[-2:] == ["step_completed", "run_continued"]
    check_replays(run)


def test_any_task_continues_and_no_other_runs_on() -> None:
    @workflow
    async def flow(count: int) -> None:
        async def leave() -> None:
            await echo("leave")
            continue_as_new(count + 1)

        async def other() -> None:
            await echo("other")
            calls.append("other went on")
            await echo("never")

        async with asyncio.TaskGroup() as group:
            group.create_task(leave())
            group.create_task(other())

    run = drive(flow, 1)
    run.run_step(run.step("echo", "leave"))
    assert next_input(run) == (2,)
    assert run.types()[-1] == "run_continued"
    assert run.count("step_cancelled") == 0
    check_replays(run)
    assert calls == []


def test_what_was_ready_in_the_same_burst_does_not_run() -> None:
    @workflow
    async def flow() -> None:
        async def other() -> None:
            calls.append("ran")
            await echo("never")

        task = asyncio.create_task(other())
        calls.append(str(task.done()))
        continue_as_new()

    run = drive(flow)
    assert run.types() == ["run_created", "run_started", "run_continued"]
    assert calls == ["False"]
    check_replays(run)


def test_commands_before_it_are_recorded() -> None:
    @workflow
    async def flow() -> None:
        _ = echo("kept")
        sleep("1h")
        continue_as_new()

    run = drive(flow)
    assert run.types()[2:] == ["step_created", "wait_created", "run_continued"]
    check_replays(run)


@pytest.mark.parametrize(
    "call",
    [
        lambda: echo(1),
        lambda: sleep(1),
        lambda: create_hook(),
        lambda: continue_as_new("again"),
        now,
        random,
        uuid4,
    ],
    ids=["step", "sleep", "hook", "continue", "now", "random", "uuid4"],
)
def test_every_call_after_it_raises_the_same(call: Any) -> None:
    @workflow
    async def flow(text: str = "") -> None:
        try:
            continue_as_new("first")
        finally:
            try:
                call()
            except Exception:
                calls.append("an ordinary error")
            except BaseException as error:
                calls.append(type(error).__name__)
                raise

    run = drive(flow)
    assert next_input(run) == ("first",)
    assert run.types() == ["run_created", "run_started", "run_continued"]
    assert calls == ["RunContinues"]


def test_swallowing_it_changes_nothing() -> None:
    @workflow
    async def flow(n: int) -> str:
        try:
            continue_as_new(n + 1)
        except BaseException:
            calls.append("swallowed")
        return "returned"

    run = drive(flow, 1)
    assert next_input(run) == (2,)
    assert calls == ["swallowed"]
    check_replays(run)


def test_swallowing_it_for_ever_ends_in_a_wait_that_never_ends() -> None:
    @workflow
    async def flow() -> None:
        while True:
            try:
                continue_as_new()
            except BaseException:
                calls.append("refused")
            try:
                await echo(1)
            except BaseException:
                calls.append("refused")

    run = drive(flow)
    assert run.types()[-1] == "run_continued"
    assert len(calls) < 1000


def test_clean_up_without_the_engine_runs() -> None:
    @workflow
    async def flow() -> None:
        async with asyncio.timeout(60):
            try:
                continue_as_new()
            finally:
                calls.append("clean")
                await asyncio.sleep(1)
                calls.append("never")

    run = drive(flow)
    assert run.types()[2:] == ["wait_created", "run_continued"]
    assert calls == ["clean"]
    check_replays(run)


def test_error_on_the_way_out_changes_nothing() -> None:
    @workflow
    async def flow() -> None:
        try:
            continue_as_new()
        finally:
            raise ValueError("on the way out")

    run = drive(flow)
    assert next_input(run) == ()
    check_replays(run)


def test_sagas_are_not_undone() -> None:
    @workflow
    async def flow(again: bool) -> None:
        async with saga() as s:
            s.compensate(undo, "a")
            await echo("a")
            continue_as_new(False)

    run = drive(flow, True).run()
    assert next_input(run) == (False,)
    assert run.count("step_created") == 1
    check_replays(run)


def test_flattened_workflow_continues_the_run_that_it_is_part_of() -> None:
    @workflow
    async def inner(left: int) -> None:
        await echo(left)
        continue_as_new(left, name="outer")

    @workflow
    async def flow(count: int, name: str = "") -> None:
        await inner(count + 1)

    run = drive(flow, 1).run()
    assert next_input(run) == (2, ("name", "outer"))
    check_replays(run)


def test_cancellation_in_the_same_burst_changes_nothing_any_more() -> None:
    @workflow
    async def flow(again: bool) -> None:
        try:
            await sleep("1d")
        except asyncio.CancelledError:
            await echo("clean")
            continue_as_new(False)

    run = drive(flow, True)
    run.cancel()
    run.run()
    assert next_input(run) == (False,)
    check_replays(run)


# -- refusals -----------------------------------------------------------------------


def test_arguments_that_do_not_fit_are_refused_at_the_call() -> None:
    @workflow
    async def flow(count: int) -> str:
        try:
            continue_as_new()
        except TypeError as error:
            calls.append(str(error))
        with pytest.raises(TypeError):
            continue_as_new(1, wrong=2)
        return await echo("went on")  # type: ignore[no-any-return]

    run = drive(flow, 1).run()
    assert run.result == "went on"
    assert "count" in calls[0]
    check_replays(run)


def test_arguments_that_cannot_be_stored_are_refused_at_the_call() -> None:
    @workflow
    async def flow(value: Any = None) -> str:
        try:
            continue_as_new({"a": [object()]})
        except SerializationError as error:
            return str(error)

    run = drive(flow)
    assert "args[0]['a'][0]" in run.result
    check_replays(run)


def test_outside_of_a_workflow_it_is_refused() -> None:
    with pytest.raises(RuntimeError, match="inside a workflow"):
        continue_as_new()


def test_outside_of_a_task_it_blocks_the_run() -> None:
    @workflow
    async def flow() -> None:
        asyncio.get_running_loop().call_soon(continue_as_new)
        await echo(1)

    with pytest.raises(RunBlocked, match="outside of the run's tasks"):
        drive(flow)


def test_history_that_continues_where_the_code_does_not_is_a_divergence() -> None:
    @workflow(name="forks")
    async def flow() -> None:
        await echo(1)
        continue_as_new()

    async def today() -> None:
        await echo(1)

    run = drive(flow).run()
    flow.func, before = today, flow.func
    try:
        with pytest.raises(RunBlocked, match="run_continued"):
            run.replay()
    finally:
        flow.func = before


def test_history_that_ends_otherwise_is_a_divergence() -> None:
    @workflow(name="forks too")
    async def flow() -> None:
        await echo(1)

    async def today() -> None:
        await echo(1)
        continue_as_new()

    run = drive(flow).run()
    flow.func, before = today, flow.func
    try:
        with pytest.raises(RunBlocked, match="run_completed"):
            run.replay()
    finally:
        flow.func = before


# -- hooks --------------------------------------------------------------------------


def test_what_hooks_have_not_given_out_is_left_for_the_successor() -> None:
    @workflow
    async def flow() -> None:
        with create_hook("in") as first, create_hook("out") as second:
            calls.append(await first)
            await second
            continue_as_new()

    run = drive(flow)
    for number in range(4):
        run.send("in", number)
    run.send("out", "go")
    assert next_input(run) == ()
    assert unread(run) == {"in": [1, 2, 3], "out": []}
    assert run.count("hook_disposed") == 0
    assert calls == [0]
    check_replays(run)


def test_payload_whose_reader_did_not_get_to_run_is_not_lost() -> None:
    @workflow
    async def flow() -> None:
        hook = create_hook("in")

        async def reader() -> None:
            calls.append(await hook)
            continue_as_new()

        async with asyncio.TaskGroup() as group:
            group.create_task(reader())
            group.create_task(reader())

    run = drive(flow)
    run.send("in", "a")
    assert calls == ["a"]
    assert unread(run) == {"in": []}


def test_carried_hook_is_the_same_hook_and_keeps_its_payloads() -> None:
    @workflow
    async def flow() -> list[Any]:
        await echo("first")
        hook = create_hook("in")
        assert await hook.get_conflict() is None
        return [await hook, await hook]

    run = Driver(flow, carried={"hook_old": "in"})
    run.begin()
    run.send("in", "early")
    run.run_step(run.step("echo"))
    created = run.log[-1]
    assert (created.type, created.correlation_id) == ("hook_created", "hook_old")
    assert created.detail["carried"] is True
    run.drop()
    run.send("in", "late")
    assert run.result == ["early", "late"]
    check_replays(run)


def test_carried_hook_is_taken_over_once() -> None:
    @workflow
    async def flow() -> Any:
        with create_hook("in"):
            pass
        second = create_hook("in")
        return await second

    run = Driver(flow, carried={"hook_old": "in"}).begin()
    first, second = [e for e in run.log if e.type == "hook_created"]
    assert first.correlation_id == "hook_old"
    assert second.correlation_id != "hook_old"
    assert "carried" not in second.detail
    run.send("in", 1)
    assert run.result == 1
    check_replays(run)


def test_two_claims_of_a_carried_token_conflict() -> None:
    @workflow
    async def flow() -> Any:
        first, second = create_hook("in"), create_hook("in")
        return [await first.get_conflict(), await second.get_conflict()]

    run = Driver(flow, carried={"hook_old": "in"}).begin()
    assert run.result == [None, "wrun_test"]
    check_replays(run)


def test_unclaimed_hook_is_carried_on() -> None:
    @workflow
    async def flow() -> None:
        await echo(1)
        continue_as_new()

    run = Driver(flow, carried={"hook_old": "in", "hook_other": "else"}).begin()
    run.send("in", "kept")
    run.run()
    assert unread(run) == {"in": ["kept"], "else": []}
    check_replays(run)
