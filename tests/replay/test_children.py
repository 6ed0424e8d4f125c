"""Children: results, failures, cancellation, keys; driven by lists."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import pytest

from django_workflows.core import serialization
from django_workflows.errors import (
    ChildWorkflowError,
    DuplicateRunError,
    NonDeterminismError,
    SerializationError,
    WorkflowNotRegisteredError,
    WorkflowRunCancelledError,
    WorkflowRunTerminatedError,
    WorkflowRunTimedOutError,
)
from django_workflows.replay.api import now, race, sleep, start_child
from django_workflows.replay.definitions import workflow
from django_workflows.replay.execution import RunBlocked
from tests.replay.driver import START_US, Driver, check_replays, drive
from tests.replay.steps import echo


@workflow
async def child(number: int, factor: int = 2) -> int:
    return number * factor


@workflow
async def other_child(number: int) -> int:
    return number


@workflow(name="replay.parent")
async def parent(number: int) -> Any:
    handle = start_child(child, number)
    return [await handle, await handle]


def test_result_comes_to_each_await() -> None:
    run = drive(parent, 3)
    (handle,) = run.children
    assert serialization.loads_call(handle.start.input) == ((3,), {})
    run.complete_child(handle, 6)
    assert run.result == [6, 6]
    assert run.types()[-4:] == [
        "run_started",
        "child_created",
        "child_completed",
        "run_completed",
    ]
    check_replays(run)


def test_run_id_is_known_at_the_call_and_the_same_in_replay() -> None:
    @workflow
    async def flow() -> Any:
        handles = [start_child(child, 1), start_child(child, 1)]
        return [await echo([h.run_id for h in handles]), now().isoformat()]

    run = drive(flow)
    ids = serialization.loads_call(run.step("echo").args)[0][0]
    assert ids == [e.detail["run_id"] for e in run.log if e.type == "child_created"]
    assert len(set(ids)) == 2
    assert all(each.startswith("wrun_") and len(each) == 31 for each in ids)
    others = Driver(flow, seed=b"another seed").begin()
    (other_ids,), _ = serialization.loads_call(others.step("echo").args)
    assert not set(ids) & set(other_ids)
    # The time comes first, as in every run's id.
    assert ids[0][:15] == other_ids[0][:15]
    check_replays(run)


def test_failure_is_the_cause_of_what_the_await_raises() -> None:
    @workflow
    async def flow() -> Any:
        handle = start_child(child, 1)
        found = []
        for _ in range(2):
            try:
                await handle
            except ChildWorkflowError as error:
                found.append(
                    [
                        type(error.cause).__name__,
                        str(error.cause),
                        error.cause is error.__cause__,
                        error.run_id == handle.run_id,
                        "ValueError: no such number" in str(error),
                    ]
                )
        return found

    run = drive(flow)
    run.fail_child(run.children[0], ValueError("no such number"))
    assert run.result == [["ValueError", "no such number", True, True, True]] * 2
    check_replays(run)


@pytest.mark.parametrize(
    ("status", "cause"),
    [
        ("cancelled", WorkflowRunCancelledError),
        ("terminated", WorkflowRunTerminatedError),
        ("timed_out", WorkflowRunTimedOutError),
    ],
)
def test_child_that_did_not_end_by_itself(status: str, cause: type[Exception]) -> None:
    run = drive(parent, 1)
    (handle,) = run.children
    run.end_child(handle, status)
    assert isinstance(run.error, ChildWorkflowError)
    assert type(run.error.cause) is cause
    assert run.error.run_id == handle.run_id
    assert vars(run.error.cause)["run_id"] == handle.run_id
    check_replays(run)


def test_cancelling_the_await_asks_the_child_and_does_not_wait() -> None:
    @workflow
    async def flow() -> Any:
        try:
            await asyncio.wait_for(start_child(child, 1), 5)
        except TimeoutError:
            return await echo("gone on")

    run = drive(flow)
    (handle,) = run.children
    run.fire()
    assert run.count("child_cancel_requested") == 1
    run.end_child(handle, "cancelled")  # whenever it comes, nobody waits for it
    run.run_step(run.steps[0])
    assert run.result == "gone on"
    check_replays(run)


def test_cancelled_handle_gives_what_becomes_of_the_child() -> None:
    @workflow
    async def flow() -> Any:
        handle = start_child(child, 1)
        handle.cancel()
        handle.cancel()
        result = await handle
        handle.cancel()
        return result

    run = drive(flow)
    assert run.count("child_cancel_requested") == 1
    run.complete_child(run.children[0], 7)
    assert run.result == 7
    assert run.count("child_cancel_requested") == 1
    check_replays(run)


def test_shield_keeps_the_child_from_being_asked() -> None:
    @workflow
    async def flow() -> Any:
        handle = start_child(child, 1)
        try:
            await asyncio.wait_for(asyncio.shield(handle), 5)
        except TimeoutError:
            return await handle

    run = drive(flow)
    run.fire()
    run.complete_child(run.children[0], 2)
    assert run.result == 2
    assert run.count("child_cancel_requested") == 0
    check_replays(run)


def test_cancelled_parent_asks_the_child_it_waits_for() -> None:
    run = drive(parent, 1)
    run.cancel()
    assert run.types()[-3:] == [
        "cancel_requested",
        "child_cancel_requested",
        "run_cancelled",
    ]
    check_replays(run)


def test_losers_of_a_race_are_asked() -> None:
    @workflow
    async def flow() -> Any:
        return await race(start_child(child, 1), start_child(child, 2), sleep("1h"))

    run = drive(flow)
    first, second = run.children
    run.complete_child(second, "won")
    assert run.result == "won"
    asked = [e for e in run.log if e.type == "child_cancel_requested"]
    assert [e.correlation_id for e in asked] == [first.id]
    check_replays(run)


def test_thousand_children_in_any_order() -> None:
    @workflow
    async def flow() -> Any:
        return sum(await asyncio.gather(*(start_child(child, n) for n in range(1000))))

    run = drive(flow)
    for handle in reversed(run.children):
        (number,), _ = serialization.loads_call(handle.start.input)
        run.complete_child(handle, number)
    assert run.result == sum(range(1000))
    assert len(run.log) == 2003
    run.replay()[0].close()


def test_wrong_arguments_are_refused_at_the_call() -> None:
    begin: Any = start_child  # as for code that nobody checks

    @workflow
    async def flow() -> Any:
        found: list[Any] = []
        calls: list[Callable[[], Any]] = [
            lambda: begin(child),
            lambda: begin(child, 1, 2, 3),
            lambda: begin(child, 1, unknown=2),
            lambda: begin(child, {"items": [1, object()]}),
            lambda: begin("nobody.knows"),
            lambda: begin(sum),
            lambda: begin(child.options(queue=""), 1),
            lambda: begin(child.options(priority=2**40), 1),
            lambda: begin(child.options(attributes={"a": object()}), 1),
            lambda: begin(child.options(delay="soon"), 1),
        ]
        for call in calls:
            try:
                call()
            except Exception as error:
                found.append([type(error).__name__, str(error)])
        return found

    run = drive(flow)
    assert [name for name, _ in run.result] == [
        *["TypeError"] * 3,
        SerializationError.__name__,
        *[WorkflowNotRegisteredError.__name__] * 2,
        *["ValueError"] * 4,
    ]
    assert "args[0]['items'][1]" in run.result[3][1]
    assert run.count("child_created") == 0
    check_replays(run)


def test_outside_of_a_workflow_it_is_refused() -> None:
    with pytest.raises(RuntimeError, match="inside a workflow function"):
        start_child(child, 1)


def test_other_arguments_do_not_replay() -> None:
    run = drive(parent, 3)

    @workflow(name="replay.parent", version="2")
    async def changed(number: int) -> Any:
        return await start_child(child, number + 1)

    with pytest.raises(RunBlocked) as blocked:
        run.replay(workflow=changed)
    assert isinstance(blocked.value.error, NonDeterminismError)
    assert "child_created" in str(blocked.value.error)


def test_another_workflow_as_the_child_does_not_replay() -> None:
    run = drive(parent, 3)

    @workflow(name="replay.parent", version="3")
    async def changed(number: int) -> Any:
        return await start_child(other_child, number)

    with pytest.raises(RunBlocked):
        run.replay(workflow=changed)


def test_end_of_a_child_that_was_never_started_blocks() -> None:
    from django_workflows.replay import events as log
    from django_workflows.replay.events import LogEvent

    run = drive(parent, 3)
    with pytest.raises(RunBlocked):
        run.execution.deliver(LogEvent(log.CHILD_COMPLETED, "child_x", time=START_US))


def test_second_end_of_a_child_changes_nothing() -> None:
    @workflow
    async def flow() -> Any:
        return [await start_child(child, 1), await echo("done")]

    run = drive(flow)
    (handle,) = run.children
    run.complete_child(handle, 1)
    run.complete_child(handle, 2)
    run.run_step(run.steps[0])
    assert run.result == [1, "done"]
    check_replays(run)


# -- keys ------------------------------------------------------------------------------


def test_key_of_a_child_of_this_run_gives_the_same_child() -> None:
    @workflow
    async def flow() -> Any:
        keyed = child.options(key="one")
        first = start_child(keyed, 1)
        await echo("between")
        second = start_child(keyed, 1)
        results = [await second, await first]
        return [*results, first.run_id == second.run_id]

    run = drive(flow)
    run.run_step(run.steps[0])
    run.complete_child(run.children[0], "only once")
    assert run.result == ["only once", "only once", True]
    check_replays(run)


def test_key_held_by_anybody_else_is_a_failed_child() -> None:
    @workflow
    async def flow() -> Any:
        try:
            await start_child(child.options(key="theirs"), 1)
        except ChildWorkflowError as error:
            return [type(error.cause).__name__, error.cause.run_id]  # type: ignore[union-attr]

    run = Driver(flow, keys={"theirs": "wrun_other"}).begin()
    assert run.result == [DuplicateRunError.__name__, "wrun_other"]
    assert run.count("child_created") == run.count("child_failed") == 1
    check_replays(run)


def test_cancelling_a_follower_names_the_call_it_follows() -> None:
    @workflow
    async def flow() -> Any:
        keyed = child.options(key="one")
        first, second = start_child(keyed, 1), start_child(keyed, 1)
        await echo("between")
        second.cancel()
        return await first

    run = drive(flow)
    (handle,) = run.children
    run.run_step(run.steps[0])
    (asked,) = [e for e in run.log if e.type == "child_cancel_requested"]
    assert asked.detail == {"follows": handle.id}
    run.complete_child(handle, 1)
    assert run.result == 1
    check_replays(run)
