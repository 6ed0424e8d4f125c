"""What a step call returns: issued at once, awaitable again and again."""

from __future__ import annotations

import asyncio
import collections.abc
import gc
import logging
from typing import Any

import pytest

from django_workflows.errors import SerializationError, StepFailedError
from django_workflows.replay.definitions import workflow
from tests.replay.driver import check_replays, drive
from tests.replay.steps import boom, echo


def test_call_is_issued_at_once_in_the_order_of_calls() -> None:
    @workflow
    async def flow() -> Any:
        second, first = echo(2), echo(1)
        return [await first, await second]

    run = drive(flow)
    assert [call.args for call in run.steps] == [
        run.step("echo", 2).args,
        run.step("echo", 1).args,
    ]
    assert run.run().result == [1, 2]
    check_replays(run)


def test_call_awaited_twice() -> None:
    @workflow
    async def flow() -> Any:
        call = echo(1)
        return [await call, await call]

    run = drive(flow).run()
    assert run.result == [1, 1]
    assert run.count("step_created") == 1


def test_call_is_a_coroutine_for_everybody() -> None:
    @workflow
    async def flow() -> Any:
        call = echo(1)
        kinds = [isinstance(call, collections.abc.Coroutine), asyncio.iscoroutine(call)]
        return [*kinds, await call]

    assert drive(flow).run().result == [True, True, 1]


def test_call_given_to_two_tasks() -> None:
    @workflow
    async def flow() -> Any:
        call = echo(1)
        one, two = asyncio.create_task(call), asyncio.create_task(call)
        found = [await one, await two]
        return [*found, await asyncio.create_task(call)]

    run = drive(flow).run()
    assert run.result == [1, 1, 1]
    check_replays(run)


def test_call_driven_by_hand_again_and_again() -> None:
    @workflow
    async def flow() -> Any:
        call = echo(1)
        await call
        found = []
        for _ in range(2):
            try:
                call.send(None)
            except StopIteration as stop:
                found.append(stop.value)
        call.close()
        return found

    assert drive(flow).run().result == [1, 1]


def test_cancelling_one_waiter_cancels_the_operation_for_both() -> None:
    @workflow
    async def flow() -> Any:
        call = echo(1)
        one, two = asyncio.create_task(call), asyncio.create_task(call)
        await asyncio.sleep(0)
        one.cancel()
        found = await asyncio.gather(one, two, return_exceptions=True)
        return [type(value).__name__ for value in found]

    run = drive(flow)
    assert run.result == ["CancelledError", "CancelledError"]
    assert run.count("step_cancelled") == 1
    check_replays(run)


def test_cancelled_call_stays_cancelled() -> None:
    @workflow
    async def flow() -> Any:
        call = echo(1)
        task = asyncio.create_task(call)
        await asyncio.sleep(0)
        task.cancel()
        try:
            await call
        except asyncio.CancelledError:
            return await echo("after")

    run = drive(flow).run()
    assert run.result == "after"
    assert run.count("step_cancelled") == 1


def test_task_cancelled_before_it_began_leaves_the_step() -> None:
    @workflow
    async def flow() -> Any:
        call = echo(1)
        asyncio.create_task(call).cancel()
        return await call

    run = drive(flow).run()
    assert run.result == 1
    check_replays(run)


def test_failed_call_raises_at_each_await(caplog: pytest.LogCaptureFixture) -> None:
    @workflow
    async def flow() -> list[Any]:
        call = boom("no")
        nobodys = boom("nobody awaits this one")
        found: list[Any] = []
        for _ in range(2):
            try:
                await call
            except ValueError as error:
                cause = error.__cause__
                assert isinstance(cause, StepFailedError)
                found.append([str(error), cause.attempts, cause.step_name])
        await echo(1)
        del nobodys
        return found

    with caplog.at_level(logging.DEBUG):
        run = drive(flow).run()
        run.close()
        gc.collect()
    assert [entry[:2] for entry in run.result] == [["no", 1], ["no", 1]]
    assert "never retrieved" not in caplog.text
    check_replays(run)


def test_argument_that_cannot_be_encoded_is_refused_at_the_call() -> None:
    @workflow
    async def flow() -> str:
        try:
            await echo({"deep": [object()]})
        except SerializationError as error:
            return str(error)
        return ""

    run = drive(flow)
    assert "args[0]['deep'][0]" in run.result
    assert run.count("step_created") == 0


def test_arguments_that_do_not_fit_raise_type_error() -> None:
    @workflow
    async def flow() -> str:
        try:
            await echo()  # type: ignore[call-arg]
        except TypeError as error:
            return str(error)
        return ""

    assert "value" in drive(flow).result


def test_argument_changed_after_the_call_is_as_it_was() -> None:
    @workflow
    async def flow() -> Any:
        values = [1]
        call = echo(values)
        values.append(2)
        return await call

    assert drive(flow).run().result == [1]


def test_results_are_never_shared_with_the_step() -> None:
    shared = {"n": [1]}

    @workflow
    async def flow() -> Any:
        one = await echo(1)
        one["n"].append(2)
        return one

    run = drive(flow)
    run.complete(run.steps[0], shared)
    assert run.result == {"n": [1, 2]}
    assert shared == {"n": [1]}


def test_calls_in_a_set_keep_one_order() -> None:
    @workflow
    async def flow() -> list[Any]:
        return [await call for call in {echo(n) for n in range(40)}]

    results = {tuple(drive(flow).run().result) for _ in range(20)}
    assert len(results) == 1


def test_issued_and_not_awaited_is_in_the_log_before_the_end() -> None:
    @workflow
    async def flow() -> str:
        _ = echo(1)
        return "end"

    run = drive(flow)
    assert run.types() == [
        "run_created",
        "run_started",
        "step_created",
        "run_completed",
    ]
    check_replays(run)


def test_call_from_a_callback_is_refused() -> None:
    from django_workflows.replay.execution import RunBlocked

    @workflow
    async def flow() -> None:
        asyncio.get_running_loop().call_soon(lambda: echo(1))
        await asyncio.sleep(5)

    with pytest.raises(RunBlocked, match="callback"):
        drive(flow)


def test_flattened_workflow_runs_in_the_same_log() -> None:
    @workflow
    async def inner(n: int) -> Any:
        return await echo(n)

    @workflow
    async def outer() -> Any:
        return [await inner(1), await inner(2)]

    run = drive(outer).run()
    assert run.result == [1, 2]
    check_replays(run)


def test_return_value_that_cannot_be_encoded_fails_the_run() -> None:
    @workflow
    async def flow() -> Any:
        return object()

    run = drive(flow)
    assert run.status == "run_failed"
    assert isinstance(run.error, SerializationError)
