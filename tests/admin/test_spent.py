"""Where the time of a run went."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from hypothesis import given
from hypothesis import strategies as st

from django_workflows.admin.run_page.spent import longest_steps, shares
from django_workflows.replay import events as log
from django_workflows.store.operations import Attempt, Mark, Operation

BEGIN = datetime(2026, 1, 1, tzinfo=UTC)


def at(seconds: float) -> datetime:
    return BEGIN + timedelta(seconds=seconds)


def op(kind: str, begin: float, end: float | None, *attempts: Attempt) -> Operation:
    finished = None if end is None else at(end)
    return Operation(
        kind,
        f"{kind}_{begin}",
        kind,
        1,
        at(begin),
        finished_at=finished,
        attempts=list(attempts),
    )


def attempt(
    number: int, begin: float, end: float | None, retry: float | None = None
) -> Attempt:
    return Attempt(
        number,
        at(begin),
        None if end is None else at(end),
        retry_at=None if retry is None else at(retry),
    )


def seconds(
    *operations: Operation,
    marks: list[Mark] | None = None,
    end: float = 100,
    started: float | None = 0,
) -> dict[str, float]:
    began = None if started is None else at(started)
    found = shares(operations, marks or [], BEGIN, began, at(end))
    return {share.kind: share.seconds for share in found}


def test_a_run_that_has_not_begun_only_waited() -> None:
    assert seconds(started=None) == {"before": 100}


def test_what_is_nothing_else_is_its_own_code() -> None:
    assert seconds(op("wait", 10, 90)) == {"wait": 80, "own": 20}


def test_no_time_has_no_shares() -> None:
    assert seconds(end=0) == {}
    assert seconds(end=-5) == {}


def test_attempts_delays_and_waits_for_workers() -> None:
    step = op("step", 0, 100, attempt(1, 10, 20, 50), attempt(2, 60, 100))
    assert seconds(step) == {"step": 50, "retry": 30, "worker": 20}


def test_an_open_step_goes_on_until_now() -> None:
    assert seconds(op("step", 0, None, attempt(1, 40, None))) == {
        "worker": 40,
        "step": 60,
    }
    assert seconds(op("step", 0, None, attempt(1, 0, 10, 500))) == {
        "step": 10,
        "retry": 90,
    }


def test_what_goes_on_at_once_counts_once_for_the_foremost() -> None:
    step = op("step", 20, 60, attempt(1, 20, 60))
    assert seconds(op("wait", 0, 100), op("hook", 50, 80), step) == {
        "step": 40,
        "hook": 20,
        "wait": 40,
    }


def test_pauses_count_while_no_step_is_at_work() -> None:
    marks = [
        Mark(log.RUN_PAUSED, at(20), 4),
        Mark(log.RUN_RESUMED, at(70), 5),
        Mark(log.RUN_PAUSED, at(90), 6),
        Mark(log.RUN_RESUMED, at(95), None),
    ]
    step = op("step", 10, 30, attempt(1, 10, 30))
    assert seconds(step, op("wait", 0, 100), marks=marks) == {
        "step": 20,
        "paused": 50,
        "wait": 30,
    }


def test_what_a_retry_made_void_is_told_apart() -> None:
    marks = [Mark(log.RUN_RETRIED, at(60), 9, 5, at(10))]
    step = op("step", 5, 80, attempt(4, 60, 80))
    assert seconds(step, marks=marks) == {
        "void": 50,
        "step": 20,
        "own": 25,
        "worker": 5,
    }


def test_a_blocked_run_is_blocked_since_something_last_happened() -> None:
    step = op("step", 0, 10, attempt(1, 0, 10))
    timer = op("wait", 10, None)
    timer.due_at = at(40)
    found = shares([step, timer], [], BEGIN, BEGIN, at(100), is_blocked=True)
    assert {share.kind: share.seconds for share in found} == {
        "step": 10,
        "wait": 30,
        "blocked": 60,
    }


def test_a_run_that_was_blocked_at_once_is_so_since_it_began() -> None:
    found = shares([], [], BEGIN, at(10), at(100), is_blocked=True)
    assert {share.kind: share.seconds for share in found} == {
        "before": 10,
        "blocked": 90,
    }


_time = st.integers(-10, 110)


@given(
    st.lists(
        st.tuples(st.sampled_from(["step", "wait", "hook", "child"]), _time, _time)
    ),
    st.one_of(st.none(), st.integers(0, 100)),
)
def test_the_shares_are_all_of_the_time(
    drawn: list[tuple[str, int, int]], started: int | None
) -> None:
    operations = [op(kind, min(a, b), max(a, b)) for kind, a, b in drawn]
    began = None if started is None else at(started)
    found = shares(operations, [], BEGIN, began, at(100))
    assert sum(share.seconds for share in found) == 100
    assert abs(sum(share.percent for share in found) - 100) < 1e-6
    assert found == sorted(found, key=lambda share: -share.seconds)


def test_steps_of_one_name_are_added_up() -> None:
    first = op("step", 0, 10, attempt(1, 0, 4), attempt(2, 5, 10))
    second = op("step", 50, None, attempt(1, 60, None))
    other = op("child", 0, 100)
    assert longest_steps([first, second, other], at(100)) == [
        {"name": "step", "took": "49 s", "attempts": 3}
    ]
