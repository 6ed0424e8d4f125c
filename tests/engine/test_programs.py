"""Random workflows, with workers dying at random points: the same result."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from django_workflows import (
    FatalError,
    create_hook,
    first_success,
    get_step_metadata,
    get_workflow_metadata,
    race,
    resume_hook,
    sleep,
    start,
    start_child,
    step,
    uuid4,
    workflow,
)
from django_workflows.models import Event, Hook, Run
from django_workflows.testing import WorkflowTester
from tests.app.models import Ledger
from tests.engine.faults import run_with_crashes

Program = list[Any]


@step
def compute(value: int) -> int:
    return value * 3


@step
async def compute_async(value: int) -> int:
    await asyncio.sleep(0)
    return value * 5


@step(atomic=True)
def book(account: str) -> int:
    Ledger.objects.create(account=account)
    return Ledger.objects.filter(account=account).count()


@step
def flaky(failures: int) -> int:
    errors = get_step_metadata().attempt - 1
    if errors < failures:
        raise ValueError(errors)
    return failures


@step
def refuse(value: int) -> None:
    raise FatalError(str(value))


@workflow
async def offspring(path: str, value: int) -> list[Any]:
    """A child of a program: more of the same, with a log of its own."""
    await sleep(value)
    return [await compute(value), await book(path), await flaky(1)]


async def play(program: Program, path: str) -> list[Any]:
    return [await play_one(op, f"{path}.{n}") for n, op in enumerate(program)]


async def play_one(op: list[Any], path: str) -> Any:
    kind, argument = op
    if kind == "step":
        return await compute(argument)
    if kind == "async step":
        return await compute_async(argument)
    if kind == "atomic step":
        return await book(path)
    if kind == "flaky step":
        return await flaky(argument)
    if kind == "sleep":
        await sleep(argument)
        return "slept"
    if kind == "child":
        return await start_child(offspring, path, argument)
    if kind == "keyed child":
        keyed = offspring.options(key=get_workflow_metadata().run_id)
        return await start_child(keyed, "shared", 1)
    if kind == "hook":
        with create_hook(token=path) as hook:
            return [await hook, await hook]
    return await play_block(kind, argument, path)


async def play_block(kind: str, parts: list[Program], path: str) -> Any:
    played = [play(part, f"{path}/{n}") for n, part in enumerate(parts)]
    if kind == "gather":
        return await asyncio.gather(*played)
    if kind == "wait":
        tasks = [asyncio.ensure_future(one) for one in played]
        await asyncio.wait(tasks)
        return [task.result() for task in tasks]
    if kind == "failing group":
        try:
            async with asyncio.TaskGroup() as group:
                for one in played:
                    group.create_task(one)
                await refuse(len(parts))
        except ExceptionGroup as errors:
            return [str(error) for error in errors.exceptions]
        return "no failure"
    if kind == "race with a sleep":
        # Whatever the parts do, they take less than a week.
        return await race(asyncio.gather(*played), after_a_week())
    assert kind == "first success"
    return await first_success(refuse(1), asyncio.gather(*played))


async def after_a_week() -> None:
    await sleep("1w")


@workflow
async def playing(program: Program) -> list[Any]:
    uuid4()
    return await play(program, "p")


simple = st.one_of(
    st.tuples(st.sampled_from(["step", "async step"]), st.integers(0, 9)),
    st.tuples(st.just("atomic step"), st.none()),
    st.tuples(st.just("flaky step"), st.integers(1, 2)),
    st.tuples(st.just("sleep"), st.sampled_from([0, 1, 60, 60, 600])),
    st.tuples(st.just("hook"), st.none()),
    st.tuples(st.just("child"), st.integers(0, 1)),
    st.tuples(st.just("keyed child"), st.none()),
).map(list)
programs = st.recursive(
    st.lists(simple, min_size=1, max_size=3),
    lambda parts: st.lists(
        st.one_of(
            simple,
            st.tuples(
                st.sampled_from(
                    [
                        "gather",
                        "wait",
                        "failing group",
                        "race with a sleep",
                        "first success",
                    ]
                ),
                st.lists(parts, min_size=1, max_size=3),
            ).map(list),
        ),
        min_size=1,
        max_size=3,
    ),
    max_leaves=4,
)


def drive(workflows: WorkflowTester, run: Run) -> Callable[[], Any]:
    """Return a function that brings the run to its end, sending what it waits for."""

    def go_on() -> Any:
        for _ in range(100):
            workflows.run_until_idle()
            run.refresh_from_db()
            assert not run.blocked_reason, run.blocked_reason
            if run.is_closed:
                return run.result()
            for hook in list(Hook.objects.filter(run=run)):
                sent = Event.objects.filter(run=run, correlation_id=hook.pk)
                number = sent.filter(type="hook_received").count()
                resume_hook(hook.token, [hook.token, number])
            workflows.advance("1s")
            run.refresh_from_db()
            if run.wake_at is not None:
                workflows.advance(max(0, (run.wake_at - workflows.now).total_seconds()))
        raise AssertionError(f"stuck: {[str(event) for event in run.history()]}")

    return go_on


def play_with_crashes(
    workflows: WorkflowTester, program: Program, crashes: set[int]
) -> Any:
    Ledger.objects.all().delete()
    reached = [0]

    def crashing(point: str, visit: int) -> bool:
        reached[0] += 1
        return reached[0] in crashes

    run = start(playing, program)
    result, _ = run_with_crashes(workflows, crashing, drive(workflows, run))
    check(workflows, run)
    return result


def check(workflows: WorkflowTester, run: Run) -> None:
    """The log is whole and in order, atomic effects are there once."""
    workflows.run_until_idle()
    history = run.history()
    assert [event.seq for event in history] == list(range(1, len(history) + 1))
    times = [event.created_at for event in history]
    assert times == sorted(times)
    assert not Hook.objects.filter(run=run).exists()
    accounts = list(Ledger.objects.values_list("account", flat=True))
    assert len(accounts) == len(set(accounts))
    for each in (run, *run.children.all()):
        workflows.assert_replays(each)


@settings(max_examples=20)
@given(program=programs, crashes=st.sets(st.integers(1, 40), max_size=3))
def test_a_program_gives_the_same_result_whatever_crashes(
    workflows: WorkflowTester, program: Program, crashes: set[int]
) -> None:
    expected = play_with_crashes(workflows, program, set())
    assert play_with_crashes(workflows, program, crashes) == expected
