"""Generated workflows whose code changes under them: whenever that is, they go on."""

from __future__ import annotations

import random
from collections.abc import Iterator

import pytest
from hypothesis import event, given
from hypothesis import strategies as st

from django_workflows.replay.execution import RunBlocked
from tests.replay import driver
from tests.replay.driver import Driver, trace_of
from tests.replay.programs import (
    CHANGES,
    KEYS,
    LONGEST,
    TOKENS,
    Program,
    deliver_something,
    deployed,
    interpret,
)
from tests.replay.test_properties import leaves, shapes

changed: st.SearchStrategy[Program] = st.tuples(
    st.just("changed"), st.sampled_from(CHANGES)
)
#: One thing after the other, so that there is a before and an after.
programs = st.lists(
    st.recursive(st.one_of(changed, leaves), shapes, max_leaves=5),
    min_size=2,
    max_size=5,
).map(lambda parts: ("caught", ("sequence", tuple(parts)), ("changed", CHANGES[0])))


@pytest.fixture(autouse=True)
def _old_code() -> Iterator[None]:
    yield
    deployed.asks = False


def live(
    program: Program, seed: int, switch: int, drops: random.Random | None = None
) -> Driver:
    """A life with old code up to so many deliveries, and with new code from there."""
    chance = random.Random(seed)
    deployed.asks = switch < 0
    held, taken = {TOKENS[2]: "wrun_other"}, {KEYS[2]: "wrun_other"}
    run = Driver(interpret, program, tokens=held, keys=taken).begin()
    for number in range(LONGEST):
        if number == switch:
            deployed.asks = True
            run.drop()
        elif drops is not None and drops.random() < 0.3:
            run.drop()
        if not deliver_something(run, chance):
            break
    deployed.asks = True
    run.drop()
    return run


# A divergence in the middle of wait_for() leaves behind what was about to be awaited.
@pytest.mark.filterwarnings("ignore:coroutine .* was never awaited:RuntimeWarning")
@given(program=programs, seed=st.integers(0, 2**32), switch=st.integers(-1, 8))
def test_changed_at_any_point_it_goes_on(
    program: Program, seed: int, switch: int
) -> None:
    try:
        run = live(program, seed, switch)
        _, commands = run.replay()
        assert commands == []
        assert run.count("patch_recorded") <= len(CHANGES)
        if run.count("patch_recorded"):
            event("recorded")
            deployed.asks = False
            with pytest.raises(RunBlocked):
                run.replay()
    finally:
        driver.close_all()


@given(
    program=programs,
    seed=st.integers(0, 2**32),
    switch=st.integers(-1, 8),
    drops=st.integers(0, 2**32),
)
def test_dropped_at_any_point_it_goes_by_the_same_code(
    program: Program, seed: int, switch: int, drops: int
) -> None:
    try:
        calm = live(program, seed, switch)
        rough = live(program, seed, switch, random.Random(drops))
        assert trace_of(rough.log) == trace_of(calm.log)
    finally:
        driver.close_all()


@given(program=programs, seed=st.integers(0, 2**32))
def test_begun_with_new_code_it_never_goes_back(program: Program, seed: int) -> None:
    try:
        run = live(program, seed, -1)
        called = [e.payload or b"" for e in run.log if e.type == "step_created"]
        assert not any(b" old" in label for label in called)
        asked = {c for c in CHANGES if f'"{c}"'.encode() in (run.log[0].payload or b"")}
        assert run.count("patch_recorded") <= len(asked)
    finally:
        driver.close_all()
