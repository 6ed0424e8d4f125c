"""Limits of workflows: how many runs are open at once, how often one begins, by key."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime, timedelta
from itertools import pairwise
from typing import Any
from uuid import UUID

import pytest
from django.db import connection

from django_workflows import (
    continue_as_new,
    create_hook,
    resume_hook,
    sleep,
    start,
    start_child,
    start_many,
    step,
    workflow,
)
from django_workflows.errors import WorkflowRunCancelledError
from django_workflows.models import Limit, Run
from django_workflows.replay.registry import registry
from django_workflows.store import due
from django_workflows.store.limits import forget_idle
from django_workflows.testing import WorkflowTester

began: list[Any] = []
current: list[WorkflowTester] = []


@pytest.fixture(autouse=True)
def _fresh(workflows: WorkflowTester) -> Iterator[None]:
    settings = two.settings
    current.append(workflows)
    yield
    two.settings = settings
    began.clear()
    current.clear()


@step
def mark(value: Any) -> Any:
    began.append(value)
    return value


@step
def mark_time() -> None:
    began.append(current[-1].now)


@workflow(max_concurrency=2)
async def two(number: int) -> int:
    await mark(number)
    await sleep("1m")
    return number


def deploy(**options: Any) -> None:
    """From now on the code says something else."""
    registry.workflow(two.name).settings = two.settings.replaced(options)


def open_runs() -> int:
    return Run.objects.open().exclude(started_at=None).count()


# -- how many at once -----------------------------------------------------------------


def test_no_more_runs_are_open_than_the_limit(workflows: WorkflowTester) -> None:
    runs = [start(two, number) for number in range(5)]
    assert [run.queued_at is None for run in runs] == [False] * 5
    workflows.run_until_idle()
    assert began == [0, 1]
    assert open_runs() == 2
    workflows.advance("1m")
    assert began == [0, 1, 2, 3]
    workflows.advance("2m")
    assert [run.result() for run in runs] == [*range(5)]


def test_runs_started_in_bulk_wait_too(workflows: WorkflowTester) -> None:
    start_many(two, [(number,) for number in range(6)])
    workflows.run_until_idle()
    assert began == [0, 1]


def test_larger_priority_goes_first_then_the_older(workflows: WorkflowTester) -> None:
    for number, priority in enumerate([0, 5, 1, 5, -1]):
        start(two.options(priority=priority, max_concurrency=1), number)
    workflows.advance("10m")
    assert began == [1, 3, 2, 0, 4]


def test_unlimited_runs_go_by_priority_too(workflows: WorkflowTester) -> None:
    for number, priority in enumerate([0, 5, 1, 5, -1]):
        start(marking.options(priority=priority), number)
    workflows.run_until_idle()
    assert began == [1, 3, 2, 0, 4]


@workflow
async def marking(number: int) -> None:
    await mark(number)


def test_a_raised_limit_holds_for_those_who_wait(workflows: WorkflowTester) -> None:
    for number in range(6):
        start(two, number)
    workflows.run_until_idle()
    deploy(max_concurrency=4)
    workflows.run_until_idle()
    assert began == [0, 1, 2, 3]
    deploy(max_concurrency=None)
    workflows.run_until_idle()
    assert began == [*range(6)]


def test_a_lowered_limit_holds_for_those_who_wait(workflows: WorkflowTester) -> None:
    for number in range(4):
        start(two, number)
    workflows.run_until_idle()
    deploy(max_concurrency=1)
    workflows.advance("1m")
    assert began == [0, 1, 2]


def test_a_start_may_lift_the_limit(workflows: WorkflowTester) -> None:
    for number in range(3):
        start(two, number)
    start(two.options(max_concurrency=None), 9)
    workflows.run_until_idle()
    assert began == [9, 0, 1]


def test_a_limit_given_at_the_start(workflows: WorkflowTester) -> None:
    for number in range(3):
        start(marking_slowly.options(max_concurrency=1), number)
    workflows.run_until_idle()
    assert began == [0]


@workflow
async def marking_slowly(number: int) -> None:
    await mark(number)
    await sleep("1m")


# -- every way in which one ends lets the next begin ----------------------------------


@workflow(max_concurrency=1, timeout="1h")
async def ends(number: int, how: str = "") -> int:
    await mark(number)
    if how == "fails":
        raise ValueError(number)
    await create_hook(token=f"hook {number}")
    return number


@pytest.mark.parametrize("how", ["returns", "fails", "cancel", "terminate"])
def test_the_end_of_a_run_lets_the_next_begin(
    workflows: WorkflowTester, how: str
) -> None:
    first = start(ends, 0, how)
    start(ends, 1)
    workflows.run_until_idle()
    if how == "returns":
        assert began == [0]
        resume_hook("hook 0", None)
    elif how != "fails":
        assert began == [0]
        getattr(first, how)()
    workflows.run_until_idle()
    assert began == [0, 1]


def test_a_crash_keeps_the_place(workflows: WorkflowTester) -> None:
    start(ends, 0)
    start(ends, 1)
    workflows.run_until_idle()
    workflows.crash()
    workflows.run_until_idle()
    assert began == [0]
    resume_hook("hook 0", None)
    workflows.run_until_idle()
    assert began == [0, 1]


@pytest.mark.parametrize("how", ["cancel", "terminate"])
def test_a_run_that_waits_can_be_ended(workflows: WorkflowTester, how: str) -> None:
    start(ends, 0)
    second, third = start(ends, 1), start(ends, 2)
    workflows.run_until_idle()
    getattr(second, how)()
    assert second.is_closed
    resume_hook("hook 0", None)
    workflows.run_until_idle()
    assert began == [0, 2]
    third.terminate()


def test_a_cancelled_wait_says_so(workflows: WorkflowTester) -> None:
    start(ends, 0)
    second = start(ends, 1)
    workflows.run_until_idle()
    second.cancel()
    with pytest.raises(WorkflowRunCancelledError):
        second.result()


def test_a_run_paused_in_the_line_is_passed_over(workflows: WorkflowTester) -> None:
    start(ends, 0)
    second, third = start(ends, 1), start(ends, 2)
    workflows.run_until_idle()
    second.pause()
    resume_hook("hook 0", None)
    workflows.run_until_idle()
    assert began == [0, 2]
    second.resume()
    workflows.run_until_idle()
    assert began == [0, 2]
    third.terminate()
    workflows.run_until_idle()
    assert began == [0, 2, 1]


def test_a_run_paused_before_it_began_takes_no_place(
    workflows: WorkflowTester,
) -> None:
    first = start(ends, 0)
    first.pause()
    start(ends, 1)
    workflows.run_until_idle()
    assert began == [1]
    first.resume()
    workflows.run_until_idle()
    assert began == [1]


# -- by key ---------------------------------------------------------------------------


@workflow(max_concurrency=1, concurrency_key="customer")
async def by_customer(number: int, customer: str = "nobody") -> int:
    await mark((customer, number))
    await create_hook(token=f"{customer} {number}")
    return number


def test_a_full_key_holds_up_no_other(workflows: WorkflowTester) -> None:
    runs = [start(by_customer, number, "a") for number in range(3)]
    runs.append(start(by_customer, 3, customer="b"))
    workflows.run_until_idle()
    assert sorted(began) == [("a", 0), ("b", 3)]
    resume_hook("b 3", None)
    workflows.run_until_idle()
    assert runs[3].result() == 3
    for number in range(3):
        resume_hook(f"a {number}", None)
        workflows.run_until_idle()
    assert [run.result() for run in runs] == [0, 1, 2, 3]
    assert [value for value in began if value[0] == "a"] == [("a", n) for n in range(3)]


def test_the_default_of_the_named_argument_counts(workflows: WorkflowTester) -> None:
    start(by_customer, 0)
    start(by_customer, 1, "nobody")
    workflows.run_until_idle()
    assert began == [("nobody", 0)]


@workflow(max_concurrency=1, concurrency_key=lambda number, **rest: number % 2)
async def by_parity(number: int, *, extra: str = "") -> None:
    await mark(number)
    await sleep("1h")


def test_the_key_may_be_computed(workflows: WorkflowTester) -> None:
    for number in range(4):
        start(by_parity, number, extra="x")
    workflows.run_until_idle()
    assert began == [0, 1]


@workflow(concurrency_key="number")
async def one_each(number: Any) -> None:
    await mark(number)
    await sleep("1h")


def test_a_key_alone_means_one_at_a_time(workflows: WorkflowTester) -> None:
    for number in (1, 1, 2):
        start(one_each, number)
    workflows.run_until_idle()
    assert began == [1, 2]


def test_no_key_is_the_line_of_all_without_one(workflows: WorkflowTester) -> None:
    for number in (None, None, 2):
        start(one_each, number)
    workflows.run_until_idle()
    assert began == [None, 2]


@pytest.mark.parametrize(
    "key", ["text", 5, UUID(int=1), ("eu", 3), ["eu", 3], datetime(2026, 1, 1)]
)
def test_a_key_given_at_the_start(workflows: WorkflowTester, key: Any) -> None:
    keyed = marking_slowly.options(max_concurrency=1, concurrency_key=key)
    for number in range(2):
        start(keyed, number)
    start(marking_slowly.options(max_concurrency=1, concurrency_key="other"), 7)
    workflows.run_until_idle()
    assert began == [0, 7]


def test_a_key_that_is_none_is_refused(workflows: WorkflowTester) -> None:
    with pytest.raises(TypeError, match="concurrency key"):
        start(marking_slowly.options(concurrency_key={"a": 1}), 1)
    with pytest.raises(TypeError, match="concurrency_key"):
        workflow(concurrency_key=5)(two.func)
    with pytest.raises(ValueError, match="'customer' is no parameter of two"):
        workflow(concurrency_key="customer")(two.func)
    assert not Run.objects.exists()


@pytest.mark.parametrize("options", [{"max_concurrency": 0}, {"rate_limit": "often"}])
def test_nonsense_is_refused_at_once(options: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=repr(next(iter(options.values())))):
        workflow(**options)
    with pytest.raises(ValueError, match=repr(next(iter(options.values())))):
        two.options(**options)


# -- how often ------------------------------------------------------------------------


@workflow(rate_limit="5/10s")
async def paced() -> None:
    await mark_time()


def test_no_window_holds_more_beginnings_than_the_rate(
    workflows: WorkflowTester,
) -> None:
    for _ in range(12):
        start(paced)
    workflows.advance("1m")
    assert len(began) == 12
    for first in began:
        window = [t for t in began if first <= t < first + timedelta(seconds=10)]
        assert len(window) <= 5
    gaps = [(later - one).total_seconds() for one, later in pairwise(began)]
    assert gaps == pytest.approx([2.0] * 11, abs=0.01)


def test_runs_that_wait_for_a_rate_are_no_due_work(workflows: WorkflowTester) -> None:
    for _ in range(3):
        start(paced)
    workflows.run_until_idle()
    seen = due.look(["default"])
    assert not seen.now
    assert seen.wait == pytest.approx(2.0, abs=0.01)


def test_runs_that_wait_for_a_place_are_no_due_work(workflows: WorkflowTester) -> None:
    for number in range(20):
        start(ends, number)
    workflows.run_until_idle()
    seen = due.look(["default"])
    assert not seen.now
    assert seen.wait is None or seen.wait > 3000


# -- with a delay ---------------------------------------------------------------------


def test_a_delayed_run_joins_the_line_when_it_is_due(workflows: WorkflowTester) -> None:
    start(ends.options(delay="10m"), 0)
    start(ends, 1)
    workflows.run_until_idle()
    assert began == [1]
    workflows.advance("5m")
    start(ends, 2)
    workflows.advance("10m")
    start(ends, 3)
    for number in (1, 2, 0):
        resume_hook(f"hook {number}", None)
        workflows.run_until_idle()
    assert began == [1, 2, 0, 3]


def test_a_delay_is_waited_for(workflows: WorkflowTester) -> None:
    run = start(two.options(delay="10m"), 0)
    workflows.run_until_idle()
    assert due.look(["default"]).wait == pytest.approx(600, abs=0.01)
    workflows.advance("11m")
    assert run.result() == 0


def test_a_run_without_limits_is_not_queued(workflows: WorkflowTester) -> None:
    run = start(marking, 1)
    assert run.queued_at is None
    assert run.limit_key == ""
    with connection.cursor() as cursor:
        cursor.execute("SELECT COUNT(*) FROM django_workflows_limit")
        assert cursor.fetchone()[0] == 0


# -- beside everything else that is done to runs --------------------------------------


def test_the_deadline_holds_in_the_line_too(workflows: WorkflowTester) -> None:
    first, second = start(ends, 0), start(ends.options(timeout="10m"), 1)
    third = start(ends, 2)
    workflows.advance("11m")
    second.refresh_from_db()
    assert second.status == Run.Status.TIMED_OUT
    workflows.advance("1h")
    for run in (first, third):
        run.refresh_from_db()
    assert first.status == Run.Status.TIMED_OUT
    assert began == [0]


@workflow(max_concurrency=1)
async def once_more(number: int) -> None:
    await mark(number)
    if began == [0]:
        raise ValueError("the first of all")
    await create_hook(token=f"hook {number}")


def test_a_run_that_is_retried_joins_the_line(workflows: WorkflowTester) -> None:
    first = start(once_more, 0)
    workflows.run_until_idle()
    second = start(once_more, 1)
    workflows.run_until_idle()
    first.retry()
    workflows.run_until_idle()
    assert not first.hooks.exists()
    second.terminate()
    workflows.run_until_idle()
    assert first.hooks.exists()


def test_a_retried_run_in_the_line_can_be_cancelled(workflows: WorkflowTester) -> None:
    first = start(once_more, 0)
    workflows.run_until_idle()
    start(once_more, 1)
    workflows.run_until_idle()
    first.retry()
    workflows.run_until_idle()
    first.cancel()
    workflows.run_until_idle()
    first.refresh_from_db()
    assert first.status == Run.Status.CANCELLED


def test_a_replayed_and_a_forked_run_join_the_line(workflows: WorkflowTester) -> None:
    first = start(ends, 0)
    workflows.run_until_idle()
    hook = next(e for e in first.history() if e.type == "hook_created")
    for again in (first.replay(), first.fork(hook.seq or 0)):
        workflows.run_until_idle()
        again.refresh_from_db()
        assert again.queued_at is not None
        assert began == [0]


@workflow
async def parent(*numbers: int) -> list[int]:
    children = [start_child(ends, number) for number in numbers]
    return [await child for child in children]


def test_children_wait_for_their_limits(workflows: WorkflowTester) -> None:
    run = start(parent, 0, 1)
    workflows.run_until_idle()
    assert began == [0]
    resume_hook("hook 0", None)
    workflows.run_until_idle()
    assert began == [0, 1]
    resume_hook("hook 1", None)
    workflows.run_until_idle()
    assert run.result() == [0, 1]


def test_children_in_the_line_end_with_their_parent(workflows: WorkflowTester) -> None:
    run = start(parent, 0, 1)
    workflows.run_until_idle()
    run.terminate()
    workflows.run_until_idle()
    assert began == [0]
    assert not Run.objects.open().exists()


@workflow(max_concurrency=1)
async def continues(number: int) -> int:
    await mark(number)
    if number < 3:
        continue_as_new(number + 1)
    return number


def test_a_chain_keeps_its_place(workflows: WorkflowTester) -> None:
    first, other = start(continues, 0), start(continues, 3)
    workflows.run_until_idle()
    assert (first.result(), other.result()) == (3, 3)
    assert began == [0, 1, 2, 3, 3]


# -- what is left over ----------------------------------------------------------------


@workflow(rate_limit="1/h")
async def hourly() -> None:
    await mark("hourly")


def test_limits_that_nobody_needs_are_forgotten(workflows: WorkflowTester) -> None:
    """With a key for each customer they would grow for ever."""
    for customer in range(3):
        workflows.run(two.options(concurrency_key=customer), customer)
    waiting = start(two.options(concurrency_key="still open"), 7)
    workflows.run(hourly)
    workflows.run_until_idle()
    assert Limit.objects.count() == 5
    assert forget_idle(connection) == 3
    workflows.advance("1m")
    assert waiting.result() == 7
    assert forget_idle(connection) == 1
    workflows.advance("367d")
    assert forget_idle(connection) == 1
    assert not Limit.objects.exists()
    assert workflows.run(two.options(concurrency_key=1), 8) == 8
