"""Runs begun with old code and runs begun with new code, whatever is deployed."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import pytest

from django_workflows.errors import NonDeterminismError, WorkflowGuardError
from django_workflows.replay.api import create_hook, deprecate_patch, patched, sleep
from django_workflows.replay.definitions import Workflow, workflow
from django_workflows.replay.execution import RunBlocked
from tests.replay.driver import Driver, drive
from tests.replay.steps import echo, undo


def flow_of(code: Callable[[], Any], name: str = "flow") -> Workflow[..., Any]:
    return workflow(name=f"tests.patches.{name}.{code.__qualname__}")(code)


def deploy(run: Driver, code: Callable[[], Any]) -> Driver:
    """Put other code in the place of a run's, and continue it from its log."""
    run.workflow = flow_of(code)
    run.drop()
    return run


def names(run: Driver) -> list[str]:
    """The steps called and the changes recorded, in order."""
    return [
        event.detail["name"].rpartition(".")[2]
        for event in run.log
        if event.type in ("step_created", "patch_recorded")
    ]


def blocked(run: Driver, code: Callable[[], Any]) -> NonDeterminismError:
    with pytest.raises(RunBlocked) as caught:
        deploy(run, code)
    assert isinstance(caught.value.error, NonDeterminismError)
    return caught.value.error


async def v1() -> Any:
    await sleep(1)
    await echo(1)
    await sleep(2)
    return 1


async def v2() -> Any:
    await sleep(1)
    if patched("two"):
        await undo(2)
    else:
        await echo(1)
    await sleep(2)
    return 2


async def v3() -> Any:
    await sleep(1)
    if patched("three"):
        await echo(3)
    elif patched("two"):
        await undo(2)
    else:
        await echo(1)
    await sleep(2)
    return 3


async def v2_deprecated() -> Any:
    await sleep(1)
    deprecate_patch("two")
    await undo(2)
    await sleep(2)
    return 2


async def v2_plain() -> Any:
    await sleep(1)
    await undo(2)
    await sleep(2)
    return 2


def test_new_run_goes_by_the_change_and_records_it_once() -> None:
    run = drive(flow_of(v2)).run()
    assert run.types() == [
        "run_created",
        "run_started",
        "wait_created",
        "wait_completed",
        "patch_recorded",
        "step_created",
        "step_completed",
        "wait_created",
        "wait_completed",
        "run_completed",
    ]
    assert names(run) == ["two", "undo"]
    _, commands = run.replay()
    assert commands == []


def test_run_that_passed_the_point_goes_on_as_before() -> None:
    run = drive(flow_of(v1))
    run.fire()
    deploy(run, v2).run()
    assert (run.result, names(run)) == (2, ["echo"])


def test_run_that_has_not_reached_the_point_goes_by_the_change() -> None:
    run = deploy(drive(flow_of(v1)), v2)
    assert names(run) == []
    run.run()
    assert (run.result, names(run)) == (2, ["two", "undo"])


def test_every_prefix_of_a_patched_log_leads_on_to_the_same() -> None:
    whole = drive(flow_of(v2)).run()
    for stop in (2, 3, 4):
        run = drive(flow_of(v2))
        for _ in range(stop - 2):
            if run.steps:
                run.run_step(run.steps[0])
            else:
                run.fire()
            run.drop()
        assert run.run().trace == whole.trace


def test_burst_of_the_log_that_recorded_nothing_has_passed_the_point() -> None:
    """The event was delivered to the old code, which then only waited."""

    async def old() -> Any:
        event = asyncio.Event()
        await sleep(1)
        await asyncio.gather(event.wait(), _set_after(event, 5))

    async def new() -> Any:
        event = asyncio.Event()
        await sleep(1)
        later = patched("later")
        await asyncio.gather(event.wait(), _set_after(event, 5))
        return later

    run = drive(flow_of(old))
    run.fire()
    deploy(run, new).run()
    assert run.result is False


async def _set_after(event: asyncio.Event, seconds: float) -> None:
    await sleep(seconds)
    event.set()


def test_first_answer_holds_in_a_loop_that_began_before() -> None:
    async def old() -> Any:
        for _ in range(3):
            await sleep(1)
            await echo("old")

    async def new() -> Any:
        answers = []
        for _ in range(3):
            await sleep(1)
            answers.append(patched("loop"))
            await echo("new" if answers[-1] else "old")
        return answers

    run = drive(flow_of(old))
    run.fire()
    deploy(run, new).run()
    assert run.result == [False] * 3
    assert names(run) == ["echo"] * 3

    fresh = drive(flow_of(new))
    fresh.fire()
    fresh.drop()
    fresh.run()
    assert fresh.result == [True] * 3
    assert names(fresh) == ["loop", "echo", "echo", "echo"]


def test_loop_reached_only_later_goes_by_the_change() -> None:
    async def new() -> Any:
        answers = []
        for number in range(3):
            await sleep(1)
            if number:
                answers.append(patched("loop"))
            await echo(number)
        return answers

    async def old() -> Any:
        for number in range(3):
            await sleep(1)
            await echo(number)

    run = drive(flow_of(old))
    run.fire()
    run.run_step(run.steps[0])
    deploy(run, new).run()
    assert run.result == [True, True]


@pytest.mark.parametrize("order", [[0, 1, 2], [2, 0, 1], [1, 2, 0]])
def test_asked_by_concurrent_tasks(order: list[int]) -> None:
    async def one(number: int) -> Any:
        await echo(number)
        answer = patched("gathered")
        await undo((number, answer))
        return answer

    async def new() -> Any:
        return await asyncio.gather(*[one(number) for number in range(3)])

    async def old_one(number: int) -> Any:
        await echo(number)
        await undo((number, False))

    async def old() -> Any:
        await asyncio.gather(*[old_one(number) for number in range(3)])

    def finish(run: Driver, order: list[int]) -> Driver:
        for number in order:
            run.run_step(run.step("echo", number))
        return run.run()

    fresh = finish(drive(flow_of(new)), order)
    assert fresh.result == [True] * 3
    assert fresh.count("patch_recorded") == 1
    assert fresh.replay()[1] == []
    # One of the three has passed the point with the old code: all stay with it.
    run = drive(flow_of(old))
    run.run_step(run.step("echo", order[0]))
    deploy(run, new)
    assert run.run().result == [False] * 3
    assert run.count("patch_recorded") == 0


def test_three_versions_each_resume_on_their_own_branch() -> None:
    codes = {"echo": v1, "two": v2, "three": v3}
    expected = {"echo": ["echo"], "two": ["two", "undo"], "three": ["three", "echo"]}
    for name, code in codes.items():
        run = drive(flow_of(code))
        run.fire()
        deploy(run, v3).run()
        assert (run.result, names(run)) == (3, expected[name])


def test_two_changes_of_one_burst_are_told_apart() -> None:
    async def new() -> Any:
        return [patched("b"), patched("a"), patched("b"), await echo(1)]

    async def only_a() -> Any:
        return [patched("b"), patched("a"), patched("b"), await echo(1)]

    async def before() -> Any:
        return [patched("a"), await echo(1)]

    run = drive(flow_of(new)).run()
    assert run.result == [True, True, True, 1]
    assert names(run) == ["b", "a", "echo"]
    run = deploy(drive(flow_of(before)), only_a).run()
    assert run.result == [False, True, False, 1]


# -- taking it out again --------------------------------------------------------------


def test_deprecated_change_lets_patched_runs_go_on_and_records_nothing() -> None:
    run = drive(flow_of(v2))
    run.fire()
    deploy(run, v2_deprecated).run()
    assert names(run) == ["two", "undo"]
    fresh = drive(flow_of(v2_deprecated)).run()
    assert names(fresh) == ["undo"]
    fresh = deploy(fresh, v2_plain)
    assert fresh.replay()[1] == []


def test_deprecated_change_blocks_runs_that_need_the_old_branch() -> None:
    run = drive(flow_of(v1))
    run.fire()
    error = blocked(run, v2_deprecated)
    assert "step_created tests.replay.steps.echo" in str(error)
    assert deploy(run, v2).run().result == 2


def test_deprecated_once_at_the_beginning_counts_for_all_that_follows() -> None:
    async def new() -> Any:
        deprecate_patch("two")
        deprecate_patch("two")
        await sleep(1)
        await undo(2)
        await sleep(2)
        return "new"

    run = drive(flow_of(v2))
    run.fire()
    deploy(run, new).run()
    assert run.result == "new"


def test_asking_for_a_deprecated_change_says_true() -> None:
    async def new() -> Any:
        await sleep(1)
        deprecate_patch("two")
        if patched("two"):
            await undo(2)
        await sleep(2)

    run = drive(flow_of(v2))
    run.fire()
    deploy(run, new).run()
    assert names(run) == ["two", "undo"]
    assert names(drive(flow_of(new)).run()) == ["undo"]


@pytest.mark.parametrize("reached", ["suspended", "ended"])
def test_code_that_no_longer_asks_is_told_which_change(reached: str) -> None:
    run = drive(flow_of(v2))
    run.fire()
    if reached == "ended":
        run.run()
    error = blocked(run, v2_plain)
    assert "patch_recorded two (event 5)" in str(error)
    assert "deprecate_patch('two')" in str(error)
    assert error.seq == 5
    assert error.file == __file__
    assert f"{error.file}:{error.line}" in str(error)


def test_code_that_does_something_else_there_is_told_so() -> None:
    run = drive(flow_of(v2))
    run.fire()
    error = blocked(run, v1)
    assert "step_created tests.replay.steps.echo" in str(error)
    assert "patch_recorded two (event 5)" in str(error)
    assert "patched('two')" in str(error)


# -- hooks: a burst of their own for the outcome of a claim ---------------------------


async def hook_v1() -> Any:
    hook = create_hook("door")
    if await hook.get_conflict():
        return "taken"
    await echo(1)
    return await hook


async def hook_v2() -> Any:
    hook = create_hook("door")
    if await hook.get_conflict():
        return "taken"
    if patched("door"):
        await undo(2)
    else:
        await echo(1)
    return await hook


def test_outcome_of_a_claim_that_the_old_code_has_seen() -> None:
    run = deploy(drive(flow_of(hook_v1)), hook_v2)
    run.run_step(run.steps[0])
    run.send("door", "open")
    assert (run.result, names(run)) == ("open", ["echo"])


def test_outcome_of_a_claim_that_nobody_has_seen() -> None:
    """Its worker was gone between the commit of the claim and the outcome's burst."""
    run = drive(flow_of(hook_v1))
    claimed = run.types().index("hook_created") + 1
    del run.log[claimed:]
    deploy(run, hook_v2)
    assert names(run) == ["door", "undo"]
    run.drop()
    run.run_step(run.steps[0])
    run.send("door", "open")
    run.drop()
    assert run.result == "open"


def test_one_outcome_of_a_round_shows_that_the_others_were_seen() -> None:
    """Only the first of two outcomes led to a command; the second came with it."""

    async def first() -> None:
        hook = create_hook("first")
        await hook.get_conflict()
        await echo("first")

    async def second_old() -> None:
        await create_hook("second")

    async def second_new() -> Any:
        hook = create_hook("second")
        await hook.get_conflict()
        answer = patched("second")
        await hook
        return answer

    async def old() -> Any:
        await asyncio.gather(first(), second_old())

    async def new() -> Any:
        return (await asyncio.gather(first(), second_new()))[1]

    run = deploy(drive(flow_of(old)), new)
    run.send("second", 1)
    run.run_step(run.steps[0])
    assert run.result is False


def test_point_before_the_claim_was_passed_with_it() -> None:
    async def old() -> Any:
        return await create_hook("door")

    async def new() -> Any:
        hook = create_hook("door")
        before = patched("before")
        return [before, await hook]

    run = deploy(drive(flow_of(old)), new)
    run.send("door", 1)
    assert run.result == [False, 1]


# -- where it cannot be asked ---------------------------------------------------------


@pytest.mark.parametrize("ask", [patched, deprecate_patch])
def test_asking_outside_of_a_workflow(ask: Callable[[str], Any]) -> None:
    with pytest.raises(RuntimeError, match="inside a workflow"):
        ask("x")


@pytest.mark.parametrize("ask", [patched, deprecate_patch])
@pytest.mark.parametrize("wrong", ["", " ", "a\0b", "x" * 256, 3, None])
def test_unusable_id(ask: Callable[[Any], Any], wrong: Any) -> None:
    async def code() -> str:
        try:
            ask(wrong)
        except ValueError:
            return "refused"
        return "taken"

    run = drive(flow_of(code))
    assert run.result == "refused"


@pytest.mark.parametrize("ask", [patched, deprecate_patch])
def test_asking_from_a_callback_is_refused(ask: Callable[[str], Any]) -> None:
    async def code() -> None:
        asyncio.get_running_loop().call_soon(ask, "x")
        await asyncio.Event().wait()

    with pytest.raises(RunBlocked) as caught:
        drive(flow_of(code))
    assert isinstance(caught.value.error, WorkflowGuardError)


def test_clean_up_code_of_a_dropped_run_records_nothing() -> None:
    async def code() -> None:
        try:
            await sleep(1)
        finally:
            if patched("clean"):
                await echo("cleaned")

    run = drive(flow_of(code))
    before = run.trace
    run.drop()
    assert run.trace == before
    run.cancel()
    assert names(run) == ["clean", "echo"]
