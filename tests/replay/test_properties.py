"""Generated workflows, answered in random order: each prefix replays as recorded."""

from __future__ import annotations

import random

from hypothesis import example, given
from hypothesis import strategies as st

from django_workflows.replay import events as log
from django_workflows.replay.execution import Execution
from tests.replay import driver
from tests.replay.driver import check_replays, trace_of
from tests.replay.programs import KEYS, TOKENS, Program, drive_randomly


def shapes(children: st.SearchStrategy[Program]) -> st.SearchStrategy[Program]:
    several = st.lists(children, min_size=1, max_size=4).map(tuple)
    delays = st.sampled_from([0.5, 1.0, 2.5])
    shapes = [
        st.tuples(st.just(name), several)
        for name in (
            "sequence",
            "gather",
            "gather_all",
            "race",
            "first_success",
            "group",
            "as_completed",
            "wait_first",
            "eager",
            "queue",
        )
    ]
    return st.one_of(
        *shapes,
        st.tuples(st.just("timeout"), delays, children),
        st.tuples(st.just("wait_for"), delays, children),
        st.tuples(st.just("caught"), children, children),
        st.tuples(st.just("finally"), children, children),
        st.tuples(st.just("shield"), children),
        st.tuples(st.just("cancelled"), children, children),
        st.tuples(st.just("hook"), st.sampled_from(TOKENS), children),
        st.tuples(st.just("generator"), several),
        st.tuples(st.just("semaphore"), several),
    )


leaves: st.SearchStrategy[Program] = st.one_of(
    st.just(("step",)),
    st.just(("step",)),
    st.just(("fail",)),
    st.tuples(st.just("sleep"), st.sampled_from([0, 0.5, 1, 2, 3])),
    st.tuples(st.just("asyncio_sleep"), st.sampled_from([0, 0.5, 1, 2])),
    st.tuples(st.just("door"), st.sampled_from(TOKENS)),
    st.just(("child",)),
    st.just(("cancelled_child",)),
    st.tuples(st.just("keyed_child"), st.sampled_from(KEYS)),
    st.just(("chance",)),
    st.just(("background",)),
)
programs = st.recursive(leaves, shapes, max_leaves=14)


EXAMPLES: list[Program] = [
    ("group", (("fail",), ("step",), ("sleep", 2))),
    ("timeout", 1.0, ("gather", (("step",), ("door", "door a")))),
    ("finally", ("race", (("step",), ("sleep", 1))), ("group", (("fail",),))),
]


@given(program=programs, seed=st.integers(0, 2**32))
@example(EXAMPLES[0], 1)
@example(EXAMPLES[1], 2)
@example(EXAMPLES[2], 3)
def test_any_prefix_replays_as_recorded(program: Program, seed: int) -> None:
    try:
        run = drive_randomly(program, seed)
        waiting = sorted(run.execution.steps)

        def same_state(execution: Execution) -> None:
            assert sorted(execution.steps) == waiting
            assert list(execution.timers.open) == list(run.execution.timers.open)
            assert list(execution.children.open) == list(run.execution.children.open)
            assert {i: h.unread for i, h in execution.hooks.items()} == {
                i: h.unread for i, h in run.execution.hooks.items()
            }
            assert execution.loop.now_us == run.execution.loop.now_us

        check_replays(run, same_state)
    finally:
        driver.close_all()


@given(program=programs, seed=st.integers(0, 2**32), drops=st.integers(0, 2**32))
def test_dropped_at_any_point_ends_the_same(
    program: Program, seed: int, drops: int
) -> None:
    try:
        calm = drive_randomly(program, seed)
        rough = drive_randomly(program, seed, random.Random(drops))
        assert trace_of(rough.log) == trace_of(calm.log)
        assert [event.time for event in rough.log] == [e.time for e in calm.log]
    finally:
        driver.close_all()


@given(program=programs, seed=st.integers(0, 2**32))
def test_commands_of_a_burst_cut_off_are_issued_again(
    program: Program, seed: int
) -> None:
    """The round of the last event was not stored: delivered again, it causes the same
    commands."""
    try:
        run = drive_randomly(program, seed)
        bursts = [n for n, event in enumerate(run.log) if event.type in log.INPUTS]
        for position in bursts[-3:]:
            event = driver.stored(run.log[position])
            execution, _ = run.replay(position)
            commands = execution.deliver(event)
            recorded = run.log[position + 1 : position + 1 + len(commands)]
            expected = [
                (log.HOOK_CREATED if e.type == log.HOOK_CONFLICT else e.type)
                for e in recorded
            ]
            assert [c.type for c in commands] == expected
            assert [c.correlation_id for c in commands] == [
                e.correlation_id for e in recorded
            ]
    finally:
        driver.close_all()
