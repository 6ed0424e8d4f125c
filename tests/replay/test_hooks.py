"""Hooks: claims, payloads in order, disposal."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from django_workflows.errors import HookConflictError, HookDisposedError
from django_workflows.replay.api import create_hook, race, sleep
from django_workflows.replay.definitions import workflow
from tests.replay.driver import Driver, check_replays, drive
from tests.replay.steps import echo


def test_payload_comes_to_the_await() -> None:
    @workflow
    async def flow() -> Any:
        hook = create_hook("door", metadata={"for": "tests"})
        return [hook.token, await hook, await hook]

    run = drive(flow)
    run.send("door", 1)
    run.send("door", {"two": 2})
    assert run.result == ["door", 1, {"two": 2}]
    check_replays(run)


def test_payloads_before_the_await_keep_their_order() -> None:
    @workflow
    async def flow() -> Any:
        hook = create_hook("door")
        first = await echo("x")
        return [first, await hook, await hook, await hook]

    run = drive(flow)
    for n in range(4):
        run.send("door", n)
    run.run_step(run.steps[0])
    assert run.result == ["x", 0, 1, 2]
    check_replays(run)


def test_generated_token_is_secret_and_the_same_in_replay() -> None:
    @workflow
    async def flow() -> Any:
        one, two = create_hook(), create_hook()
        await echo([one.token, two.token])

    tokens = [drive(flow).step("echo").args for _ in range(2)]
    assert tokens[0] == tokens[1]
    other = Driver(flow, seed=b"another seed").begin()
    assert other.step("echo").args != tokens[0]
    run = drive(flow)
    one, two = run.execution.hooks.values()
    assert one.token != two.token
    assert len(one.token) >= 20
    check_replays(run)


def test_conflict_is_raised_at_each_await() -> None:
    @workflow
    async def flow() -> Any:
        hook = create_hook("door")
        found: list[Any] = []
        for _ in range(2):
            try:
                await hook
            except HookConflictError as error:
                found.append([error.token, error.run_id])
        found.append(await hook.get_conflict())
        hook.dispose()
        return found

    run = Driver(flow, tokens={"door": "wrun_other"}).begin()
    assert run.result == [["door", "wrun_other"]] * 2 + ["wrun_other"]
    assert run.count("hook_conflict") == 1
    assert run.count("hook_disposed") == 0
    check_replays(run)


def test_conflict_ends_the_run_if_not_caught() -> None:
    @workflow
    async def flow() -> Any:
        async for payload in create_hook("door"):
            await echo(payload)

    run = Driver(flow, tokens={"door": "wrun_other"}).begin()
    assert isinstance(run.error, HookConflictError)
    assert run.error.run_id == "wrun_other"


def test_get_conflict_of_a_free_token() -> None:
    @workflow
    async def flow() -> Any:
        hook = create_hook("door")
        owner = await hook.get_conflict()
        return [owner, await echo("mine"), await hook.get_conflict()]

    run = drive(flow)
    check_replays(run)
    assert run.run().result == [None, "mine", None]
    check_replays(run)


def test_two_hooks_in_one_burst_one_in_conflict() -> None:
    """The outcomes of one burst's claims are delivered in the order of the claims,
    whatever order the store has inserted them in."""

    @workflow
    async def flow() -> Any:
        found: list[Any] = []

        async def claim(token: str) -> None:
            hook = create_hook(token)
            found.append([token, await hook.get_conflict()])
            await echo(token)

        async with asyncio.TaskGroup() as group:
            for token in ("c", "b", "a"):
                group.create_task(claim(token))
        return found

    run = Driver(flow, tokens={"b": "wrun_other"}).begin()
    check_replays(run)
    run.run()
    assert run.result == [["c", None], ["b", "wrun_other"], ["a", None]]
    check_replays(run)


def test_claims_made_by_the_outcome_of_a_claim() -> None:
    @workflow
    async def flow() -> Any:
        for n in range(3):
            hook = create_hook(f"door-{n}")
            if await hook.get_conflict() is None:
                break
        return [hook.token, await hook]

    run = Driver(flow, tokens={"door-0": "x", "door-1": "y"}).begin()
    assert run.types()[2:] == ["hook_conflict", "hook_conflict", "hook_created"]
    run.send("door-2", "in")
    assert run.result == ["door-2", "in"]
    check_replays(run)


@pytest.mark.parametrize("position", [3, 4, 5])
def test_log_that_ends_before_the_outcome_of_a_claim(position: int) -> None:
    """The worker died between the commit that decided a claim and the next one."""

    @workflow
    async def flow() -> Any:
        first = create_hook("one")
        await first.get_conflict()
        second = create_hook("two")
        await second.get_conflict()
        return await echo("claimed")

    run = drive(flow)
    assert run.types()[2:] == ["hook_created", "hook_created", "step_created"]
    execution, commands = run.replay(position)
    expected = run.log[position : position + 1]
    assert [(c.type, c.correlation_id) for c in commands] == [
        (e.type, e.correlation_id) for e in expected
    ]
    assert not execution.is_replaying


def test_iteration_until_disposed() -> None:
    @workflow
    async def flow() -> Any:
        found = []
        with create_hook("door") as hook:
            async for payload in hook:
                found.append(await echo(payload))
                if payload == "last":
                    break
        return found

    run = drive(flow)
    for payload in ("one", "last"):
        run.send("door", payload)
        run.run_step(run.steps[0])
    assert run.result == ["one", "last"]
    assert run.types()[-2:] == ["hook_disposed", "run_completed"]
    check_replays(run)


def test_iteration_ends_with_disposal_from_another_task() -> None:
    @workflow
    async def flow() -> Any:
        hook = create_hook("door")
        found = []

        async def read() -> None:
            async for payload in hook:
                found.append(payload)

        reader = asyncio.create_task(read())
        await echo("pause")
        hook.dispose()
        hook.dispose()
        await reader
        return found

    run = drive(flow)
    run.send("door", 1)
    run.send("door", 2)
    run.run_step(run.steps[0])
    assert run.result == [1, 2]
    assert run.count("hook_disposed") == 1
    check_replays(run)


def test_received_before_disposal_can_be_read_after() -> None:
    @workflow
    async def flow() -> Any:
        hook = create_hook("door")
        await echo("pause")
        hook.dispose()
        found = [await hook]
        try:
            await hook
        except HookDisposedError:
            found.append("disposed")
        return found

    run = drive(flow)
    run.send("door", 1)
    run.run_step(run.steps[0])
    assert run.result == [1, "disposed"]
    check_replays(run)


def test_dispose_and_recreate_in_one_burst() -> None:
    @workflow
    async def flow() -> Any:
        first = create_hook("door")
        await echo("pause")
        first.dispose()
        second = create_hook("door")
        return [await second.get_conflict(), await second]

    run = drive(flow)
    run.send("door", "unread")
    run.run_step(run.steps[0])
    run.send("door", "new")
    assert run.result == [None, "new"]
    check_replays(run)


def test_claim_and_dispose_and_claim_in_one_burst() -> None:
    @workflow
    async def flow() -> Any:
        first = create_hook("door")
        first.dispose()
        second = create_hook("door")
        found = [await first.get_conflict(), await second.get_conflict()]
        try:
            await first
        except HookDisposedError:
            found.append("disposed")
        return [*found, await second]

    run = drive(flow)
    run.send("door", "new")
    assert run.result == [None, None, "disposed", "new"]
    check_replays(run)


def test_second_claim_of_the_same_run_is_a_conflict() -> None:
    @workflow
    async def flow() -> Any:
        create_hook("door")
        return await create_hook("door").get_conflict()

    run = drive(flow)
    assert run.result == "wrun_test"
    check_replays(run)


def test_cancelled_wait_loses_no_payload() -> None:
    @workflow
    async def flow() -> Any:
        hook = create_hook("door")
        found = []
        for _ in range(3):
            found.append(await race(hook, sleep(10)))
        return found

    run = drive(flow)
    run.send("door", 1)
    run.pass_time(10)
    run.send("door", 2)
    assert run.result == [1, None, 2]
    assert run.count("hook_disposed") == 0
    check_replays(run)


def test_wait_cancelled_when_its_payload_is_there_passes_it_on() -> None:
    """The waiter has been woken but has not resumed when it is cancelled."""

    @workflow
    async def flow() -> Any:
        hook = create_hook("door")
        tasks = [asyncio.create_task(hook, name=name) for name in ("one", "two")]
        return await tasks[1]

    run = drive(flow)
    loop = run.execution.loop
    (first,) = (task for task in loop.tasks if task.get_name() == "one")
    loop.call_soon(first.cancel)
    run.send("door", "kept")
    assert first.cancelled()
    assert run.result == "kept"


def test_two_waiters_get_one_payload_each_in_order() -> None:
    @workflow
    async def flow() -> Any:
        hook = create_hook("door")
        return await asyncio.gather(hook_value(hook, "a"), hook_value(hook, "b"))

    async def hook_value(hook: Any, name: str) -> Any:
        return [name, await hook]

    run = drive(flow)
    run.send("door", 1)
    run.send("door", 2)
    assert run.result == [["a", 1], ["b", 2]]
    check_replays(run)


def test_hook_against_sleep_and_step() -> None:
    @workflow
    async def flow() -> Any:
        hook, limit = create_hook("door"), sleep("1h")
        found: list[Any] = []
        while True:
            done = await race(asyncio.shield(limit), hook)
            if done is None:
                return found
            found.append(await echo(done))

    run = drive(flow)
    for n in range(3):
        run.send("door", n + 1)
        run.run_step(run.steps[0])
    run.pass_time(3600)
    assert run.result == [1, 2, 3]
    check_replays(run)


def test_unread_payloads_are_known() -> None:
    @workflow
    async def flow() -> None:
        create_hook("door")
        await sleep(1)

    run = drive(flow)
    run.send("door", 1)
    (hook,) = run.execution.hooks.values()
    assert hook.unread == [b"1"]


@pytest.mark.parametrize("token", ["", "  ", "x" * 1001, "a\0b", 7])
def test_token_that_cannot_be_kept_is_refused(token: Any) -> None:
    @workflow
    async def flow() -> str:
        try:
            create_hook(token)
        except ValueError:
            return "refused"
        return ""

    assert drive(flow).result == "refused"


def test_create_hook_outside() -> None:
    with pytest.raises(RuntimeError, match="inside a workflow function"):
        create_hook("door")
