"""Generated workflows whose runs fail and are retried, again and again."""

from __future__ import annotations

import random

from hypothesis import given
from hypothesis import strategies as st

from django_workflows.core import serialization
from django_workflows.replay import events as log
from django_workflows.replay.execution import Execution
from tests.replay import driver
from tests.replay.driver import Driver, check_replays, trace_of
from tests.replay.programs import LONGEST, TOKENS, Program, deliver_something, interpret
from tests.replay.test_properties import programs

RETRIES = 3


def drive_with_retries(
    program: Program,
    seed: int,
    drop: random.Random | None = None,
    seed_bytes: bytes = b"seed",
) -> Driver:
    """A life of a run that is retried when it ends badly; with `drop`, with crashes."""
    chance = random.Random(seed)
    run = Driver(interpret, program, tokens={TOKENS[2]: "wrun_other"}, seed=seed_bytes)
    run.begin()
    for _ in range(LONGEST):
        if not deliver_something(run, chance):
            if not run.ended or run.status == log.RUN_COMPLETED:
                break
            if run.count(log.RUN_RETRIED) == RETRIES:
                break
            run.now_us += chance.randrange(10_000_000)
            run.retry()
        if drop and not run.ended and drop.random() < 0.3:
            run.drop()
    return run


@given(program=programs, seed=st.integers(0, 2**32))
def test_any_prefix_of_a_log_with_epochs_replays_as_recorded(
    program: Program, seed: int
) -> None:
    try:
        run = drive_with_retries(program, seed)
        waiting = sorted(run.execution.steps)

        def same_state(execution: Execution) -> None:
            assert sorted(execution.steps) == waiting
            assert {t.id: t.due_us for t in execution.timers.open.values()} == {
                t.id: t.due_us for t in run.execution.timers.open.values()
            }
            assert {i: h.unread for i, h in execution.hooks.items()} == {
                i: h.unread for i, h in run.execution.hooks.items()
            }
            assert execution.info.attempt == 1 + run.count(log.RUN_RETRIED)

        check_replays(run, same_state)
    finally:
        driver.close_all()


@given(program=programs, seed=st.integers(0, 2**32), drops=st.integers(0, 2**32))
def test_retried_and_dropped_at_any_point_ends_the_same(
    program: Program, seed: int, drops: int
) -> None:
    try:
        calm = drive_with_retries(program, seed)
        rough = drive_with_retries(program, seed, random.Random(drops))
        assert trace_of(rough.log) == trace_of(calm.log)
    finally:
        driver.close_all()


def _plain(children: st.SearchStrategy[Program]) -> st.SearchStrategy[Program]:
    several = st.lists(children, min_size=1, max_size=4).map(tuple)
    names = ("sequence", "gather", "group", "semaphore")
    return st.one_of(
        *(st.tuples(st.just(name), several) for name in names),
        st.tuples(st.just("shield"), children),
        st.tuples(st.just("finally"), children, children),
        st.tuples(st.just("timeout"), st.just(100_000.0), children),
    )


#: Programs whose result does not depend on when and in which order things happen.
calm_programs = st.recursive(
    st.one_of(
        st.just(("step",)),
        st.tuples(st.just("asyncio_sleep"), st.sampled_from([0, 0.5, 1])),
    ),
    _plain,
    max_leaves=12,
)


def answer(run: Driver, chance: random.Random, failing: float) -> bool:
    """Let one open step, or a timer, have its end. Every step's answer is its label."""
    if run.ended:
        return False
    timer = run.execution.timers.first()
    short = timer is not None and timer.due_us < run.now_us + 50_000 * driver.SECOND
    if run.steps and (not short or chance.random() < 0.7):
        call = chance.choice(run.steps)
        if chance.random() < failing:
            run.fail(call, ValueError(call.id))
        else:
            args, _ = serialization.loads_call(call.args)
            run.complete(call, f"done {args[0]}")
        return True
    if short:
        run.fire()
    return short


@given(program=calm_programs, seed=st.integers(0, 2**32))
def test_retried_until_it_succeeds_gives_what_it_gives_without_failures(
    program: Program, seed: int
) -> None:
    try:
        calm = Driver(interpret, program).begin()
        while answer(calm, random.Random(seed), 0):
            pass
        assert calm.status == log.RUN_COMPLETED

        run = Driver(interpret, program).begin()
        chance = random.Random(seed)
        for number in range(500):
            if not answer(run, chance, 0.3 if number < 40 else 0):
                if run.status == log.RUN_COMPLETED:
                    break
                assert run.ended
                run.now_us += chance.randrange(10_000_000)
                run.retry()
        assert run.result == calm.result
        completed = [e.correlation_id for e in run.log if e.type == log.STEP_COMPLETED]
        assert run.count(log.RUN_RETRIED) or len(completed) == len(set(completed))
    finally:
        driver.close_all()
