"""Forks: a log cut at the edge of a burst, and gone on with. Lists alone."""

from __future__ import annotations

import asyncio
import random as random_module
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from django_workflows.core import serialization
from django_workflows.replay import events as log
from django_workflows.replay.api import (
    create_hook,
    get_workflow_metadata,
    random,
    sleep,
    uuid4,
)
from django_workflows.replay.definitions import step, workflow
from django_workflows.replay.epochs import effective
from django_workflows.replay.events import LogEvent
from django_workflows.replay.forks import cut_before
from tests.replay import driver
from tests.replay.driver import Driver, check_replays, drive
from tests.replay.programs import LONGEST, Program, deliver_something
from tests.replay.test_properties import programs
from tests.replay.test_retry_properties import drive_with_retries

SEED = b"s" * 32


@step
def work(label: str) -> Any:
    raise NotImplementedError


@workflow
async def in_sequence() -> list[str]:
    return [await work("a"), await work("b"), await work("c")]


def args_of(call: Any) -> Any:
    return serialization.loads_call(call.args)[0][0]


def succeed(run: Driver, label: str) -> None:
    run.complete(run.step("work", label), label.upper())


def finished() -> Driver:
    run = drive(in_sequence, seed=SEED)
    for label in "abc":
        succeed(run, label)
    return run


def created(run: Driver, label: str) -> LogEvent:
    for event in run.log:
        if event.type == log.STEP_CREATED:
            args, _ = serialization.loads_call(event.payload or b"")
            if args == (label,):
                return event
    raise AssertionError(label)


def test_goes_on_anew_from_a_step() -> None:
    run = finished()
    before = [*run.log]
    fork = run.fork(created(run, "b").correlation_id)
    assert [args_of(call) for call in fork.steps] == ["b"]
    fork.complete(fork.steps[0], "other")
    succeed(fork, "c")
    assert fork.result == ["A", "other", "C"]
    assert run.log == before
    check_replays(fork)


def test_a_step_by_its_number_is_the_same() -> None:
    run = finished()
    b = created(run, "b")
    events = effective(run.log)
    by_id = cut_before(events, run.log, b.correlation_id)
    assert cut_before(events, run.log, b.seq or 0) == by_id
    assert events[by_id].type == log.STEP_COMPLETED  # the burst that called it


def test_steps_that_run_again_have_ids_of_their_own() -> None:
    run = finished()
    fork = run.fork(created(run, "b").correlation_id)
    assert fork.steps[0].id != created(run, "b").correlation_id
    assert fork.steps[0].attempt == 0


@pytest.mark.parametrize("seq", [1, 2, 3])
def test_from_the_first_step_is_all_over_again(seq: int) -> None:
    fork = finished().fork(seq)
    assert [args_of(call) for call in fork.steps] == ["a"]
    assert fork.count(log.RUN_STARTED) == 1


@pytest.mark.parametrize("wrong", ["step_none", "", 0, -1, 99, True, 2.5])
def test_what_there_is_no_forking_from(wrong: Any) -> None:
    run = finished()
    with pytest.raises(ValueError, match=r"step_|1 to") as refusal:
        run.fork(wrong)
    if not isinstance(wrong, int) or isinstance(wrong, bool):
        assert created(run, "b").correlation_id in str(refusal.value)


def test_void_events_are_none_to_fork_from() -> None:
    run = drive(in_sequence, seed=SEED)
    run.fail(run.steps[0], ValueError())
    void = run.log[-1].seq or 0
    run.retry()
    with pytest.raises(ValueError, match="void"):
        run.fork(void)


@workflow
async def beside() -> list[Any]:
    nap = sleep(3600)
    first = await work("a")
    rest = [work("b"), work("c")]
    return [first, await rest[0], await rest[1], await work("d"), await nap]


def test_what_has_no_outcome_there_is_issued_anew() -> None:
    run = drive(beside, seed=SEED)
    for label in "acbd":
        succeed(run, label)
    due = run.execution.timers.first()
    fork = run.fork(created(run, "d").correlation_id)
    # c had its result when d was called; b's was what made the code call d.
    assert [args_of(call) for call in fork.steps] == ["d"]
    timer = fork.execution.timers.first()
    assert due is not None
    assert timer is not None
    assert (timer.due_us, timer.kind) == (due.due_us, "sleep")
    assert timer.id != due.id
    run = drive(beside, seed=SEED)
    succeed(run, "a")
    fork = run.fork(run.log[-1].seq or 0)
    assert sorted(args_of(call) for call in fork.steps) == ["b", "c"]


@workflow
async def in_time() -> Any:
    async with asyncio.timeout(60):
        return [await work("a"), await work("b")]


def test_a_time_out_stood_still_meanwhile() -> None:
    run = drive(in_time, seed=SEED)
    run.pass_time(20)
    succeed(run, "a")
    run.pass_time(600)
    fork = run.fork(created(run, "b").correlation_id)
    fork.pass_time(39)
    assert not fork.ended
    fork.pass_time(2)
    assert isinstance(fork.error, TimeoutError)


@workflow
async def with_secrets() -> list[Any]:
    hook = create_hook()
    first = [str(uuid4()), random().random(), hook.token]
    await work(str(first))
    second = [str(uuid4()), random().random(), create_hook().token]
    await work(str(second))
    return [*first, *second]


def calls(run: Driver) -> list[str]:
    """The ids of all steps called, in order."""
    return [e.correlation_id for e in run.log if e.type == log.STEP_CREATED]


def test_chance_is_copied_and_then_its_own() -> None:
    run = drive(with_secrets, seed=SEED)
    run.complete(run.steps[0])
    run.complete(run.steps[0])
    fork = run.fork(calls(run)[1])
    fork.complete(fork.steps[0])
    # A token opens the run that has it only; what chance gave before the cut is kept.
    assert fork.result[:2] == run.result[:2]
    assert not {*fork.result[2:]} & {*run.result[2:]}
    check_replays(fork)


def test_an_open_step_is_given_its_own_token() -> None:
    run = drive(telling_its_token, seed=SEED)
    original = args_of(run.steps[0])
    fork = run.fork(run.log[-1].seq or 0)
    assert args_of(fork.steps[0]) != original
    fork = run.fork(2)
    assert args_of(fork.steps[0]) == next(iter(fork.execution.hooks.values())).token


@workflow
async def telling_its_token() -> None:
    hook = create_hook()
    await hook.get_conflict()
    await work(hook.token)


@workflow
async def by_its_id() -> list[Any]:
    run_id = get_workflow_metadata().run_id
    door = create_hook(f"door of {run_id}")
    await work(f"for {run_id}")
    return [door.token, await work("b"), await door]


def test_what_was_made_of_its_id() -> None:
    run = drive(by_its_id, seed=SEED)
    run.complete(run.steps[0])
    fork = run.fork(created(run, "b").correlation_id)
    succeed(fork, "b")
    token = "door of wrun_fork_1"
    fork.send(token, "knock")
    assert fork.result == [token, "B", "knock"]
    check_replays(fork)


def test_a_fork_of_a_fork() -> None:
    run = drive(drawing, seed=SEED)
    while run.steps:
        run.complete(run.steps[0], "run")
    fork = run.fork(calls(run)[1])
    while fork.steps:
        fork.complete(fork.steps[0], "fork")
    again = fork.fork(calls(fork)[2])
    while again.steps:
        again.complete(again.steps[0], "again")
    assert same(run, fork) == [True, False, False, False]
    assert same(fork, again) == [True, True, False, False]
    assert len(again.execution.info.seed) == 96
    check_replays(again)
    early = again.fork(calls(again)[1])
    early.complete(early.steps[0], "early")
    assert len(early.execution.info.seed) == 64
    check_replays(early)
    assert len(again.fork(2).execution.info.seed) == 32


def same(one: Driver, other: Driver) -> list[bool]:
    return [a == b for a, b in zip(one.result, other.result, strict=True)]


@workflow
async def drawing() -> list[str]:
    found = []
    for _ in range(4):
        found.append(str(uuid4()))
        await work("draw")
    return found


def test_a_fork_can_be_retried() -> None:
    fork = finished().fork(created(finished(), "b").correlation_id)
    fork.fail(fork.steps[0], ValueError("b"))
    assert fork.status == log.RUN_FAILED
    fork.retry()
    succeed(fork, "b")
    succeed(fork, "c")
    assert fork.result == ["A", "B", "C"]
    check_replays(fork)


@given(
    program=programs,
    seed=st.integers(0, 2**32),
    place=st.integers(0, 200),
    more=st.integers(0, 2**32),
)
def test_any_fork_replays_as_it_went(
    program: Program, seed: int, place: int, more: int
) -> None:
    """Whatever a run has been through, a fork of it goes its own way from anywhere."""
    try:
        run = drive_with_retries(program, seed, seed_bytes=SEED)
        events = effective(run.log)
        before = [*run.log]
        fork = run.fork(events[place % len(events)].seq or 0)
        check_replays(fork)
        chance = random_module.Random(more)
        for _ in range(LONGEST):
            if not deliver_something(fork, chance):
                break
            if chance.random() < 0.2:
                fork.drop()
        check_replays(fork)
        assert run.log == before
    finally:
        driver.close_all()
