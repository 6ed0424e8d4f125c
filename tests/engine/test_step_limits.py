"""Limits of steps: how many at once, and how often, over all workers."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable, Iterator
from datetime import datetime, timedelta
from itertools import pairwise
from typing import Any

import pytest
from django.db import connection

from django_workflows import FatalError, sleep, start, step, workflow
from django_workflows.models import Run, Step
from django_workflows.replay.registry import registry
from django_workflows.store import due
from django_workflows.testing import WorkflowTester
from django_workflows.testing.inline import InlineExecutor

began: list[Any] = []
most: list[int] = []
meanwhile: list[Callable[[], Any]] = []


@pytest.fixture(autouse=True)
def _fresh() -> Iterator[None]:
    settings = narrow.settings
    yield
    narrow.settings = settings
    began.clear()
    most.clear()
    meanwhile.clear()


def running() -> int:
    return Step.objects.filter(status="running", name=narrow.name).count()


@step(max_concurrency=2)
def narrow(number: int) -> int:
    began.append(number)
    most.append(running())
    if meanwhile:
        meanwhile.pop()()
    return number


@workflow
async def narrow_all(*numbers: int) -> list[int]:
    return await asyncio.gather(*[narrow(number) for number in numbers])


@workflow
async def narrow_one(number: int) -> int:
    return await narrow(number)


@workflow
async def narrowed(at_once: int | None, *numbers: int) -> list[int]:
    other = narrow.options(max_concurrency=at_once)
    return await asyncio.gather(*[other(number) for number in numbers])


def deploy(**options: Any) -> None:
    """From now on the code says something else."""
    registry.find_step(narrow.name).settings = narrow.settings.replaced(options)  # type: ignore[union-attr]


# -- how many at once -----------------------------------------------------------------


def test_no_more_run_at_once_than_the_limit(workflows: WorkflowTester) -> None:
    assert workflows.run(narrow_all, *range(7)) == [*range(7)]
    assert began == [*range(7)]
    assert max(most) == 2


def test_the_limit_counts_over_all_runs(workflows: WorkflowTester) -> None:
    runs = [start(narrow_one, number) for number in range(6)]
    workflows.run_until_idle()
    assert [run.result() for run in runs] == [*range(6)]
    assert began == [*range(6)]
    assert max(most) == 2


def test_a_raised_limit_holds_from_the_next_claim(workflows: WorkflowTester) -> None:
    meanwhile.append(lambda: deploy(max_concurrency=5))
    workflows.run(narrow_all, *range(12))
    assert most[0] == 2
    assert max(most) == 5


def test_a_lowered_limit_holds_from_the_next_claim(workflows: WorkflowTester) -> None:
    meanwhile.append(lambda: deploy(max_concurrency=1))
    workflows.run(narrow_all, *range(8))
    assert most[0] == 2
    assert set(most[2:]) == {1}


def test_a_lifted_limit_lets_all_go(workflows: WorkflowTester) -> None:
    meanwhile.append(lambda: deploy(max_concurrency=None))
    workflows.run(narrow_all, *range(8))
    assert max(most) == 6


@pytest.mark.parametrize(("at_once", "expected"), [(1, 1), (4, 4)])
def test_a_call_may_have_a_limit_of_its_own(
    workflows: WorkflowTester, at_once: int, expected: int
) -> None:
    meanwhile.append(lambda: deploy(max_concurrency=3))
    workflows.run(narrowed, at_once, *range(6))
    assert max(most) == expected


def test_a_call_without_the_limit_does_not_count(workflows: WorkflowTester) -> None:
    start(narrowed, None, *range(6))
    assert workflows.run(narrow_all, *range(6)) == [*range(6)]
    assert most[:6] == [0] * 6
    assert max(most) == 2


def test_calls_with_different_limits_are_counted_together(
    workflows: WorkflowTester,
) -> None:
    """The first in line is judged by its own limit; those behind it wait with it."""
    start(narrow_all, 1, 2, 3)
    start(narrowed, 3, 4, 5, 6)
    workflows.run_until_idle()
    assert began == [1, 4, 2, 5, 3, 6]
    assert most == [2, 2, 2, 2, 2, 2]
    start(narrowed, 3, 7, 8, 9)
    workflows.run_until_idle()
    assert most[6:] == [3, 3, 3]


# -- every way in which one ends lets the next begin ----------------------------------


@step(max_concurrency=1, max_retries=1)
def tried(number: int) -> int:
    began.append(number)
    if began.count(number) == 1:
        raise ValueError("at first")
    return number


@workflow
async def try_all(*numbers: int) -> list[int]:
    return await asyncio.gather(*[tried(number) for number in numbers])


def test_a_retry_does_not_hold_the_limit(workflows: WorkflowTester) -> None:
    run = start(try_all, 1, 2, 3)
    workflows.run_until_idle()
    assert began == [1, 2, 3]
    workflows.advance("10s")
    assert run.result() == [1, 2, 3]
    assert began == [1, 2, 3, 1, 2, 3]


@step(max_concurrency=1)
def fails(number: int) -> None:
    began.append(number)
    raise FatalError("for good")


@workflow
async def fail_all(*numbers: int) -> int:
    calls = [fails(number) for number in numbers]
    return len(await asyncio.gather(*calls, return_exceptions=True))


def test_a_failure_lets_the_next_begin(workflows: WorkflowTester) -> None:
    assert workflows.run(fail_all, 1, 2, 3) == 3
    assert began == [1, 2, 3]


@step(max_concurrency=1, atomic=True)
def booked(number: int) -> int:
    began.append(number)
    return number


@workflow
async def book_all(*numbers: int) -> list[int]:
    return await asyncio.gather(*[booked(number) for number in numbers])


def test_an_atomic_step_lets_the_next_begin(workflows: WorkflowTester) -> None:
    assert workflows.run(book_all, 1, 2, 3) == [1, 2, 3]


def test_a_crash_lets_the_next_begin(workflows: WorkflowTester) -> None:
    def crash() -> None:
        raise KeyboardInterrupt

    run = start(narrow_all, *range(4))
    meanwhile.append(crash)
    with pytest.raises(KeyboardInterrupt):
        workflows.run_until_idle()
    assert running() == 2
    workflows.crash()
    workflows.run_until_idle()
    assert run.result() == [0, 1, 2, 3]
    assert max(most) == 2


@pytest.mark.parametrize("how", ["cancel", "terminate"])
def test_the_end_of_a_run_lets_others_begin(
    workflows: WorkflowTester, how: str
) -> None:
    """Two are running in a run that is ended while they do."""
    first = start(narrow_all, 0, 1, 2, 3)
    second = start(narrow_one, 4)
    meanwhile.append(lambda: getattr(first, how)())
    workflows.run_until_idle()
    assert second.result() == 4
    assert began == [0, 4]


@workflow
async def gives_up() -> str:
    waits = asyncio.gather(narrow(0), narrow(1), narrow(2))
    await sleep("1s")
    waits.cancel()
    await sleep("1h")
    return "done"


def test_a_cancelled_step_leaves_the_line(workflows: WorkflowTester) -> None:
    deploy(rate_limit="1/m")
    start(gives_up)
    workflows.advance("2s")
    other = start(narrow_one, 9)
    workflows.advance("2m")
    assert other.result() == 9
    assert began == [0, 9]


# -- nobody polls ---------------------------------------------------------------------


def test_a_full_limit_is_no_due_work(
    workflows: WorkflowTester, monkeypatch: pytest.MonkeyPatch
) -> None:
    """While two are at work, a hundred others are nothing to look for."""
    run = start(narrow_all, *range(102))
    with monkeypatch.context() as patch:
        patch.setattr(InlineExecutor, "run_queued", lambda self: [])
        workflows.run_until_idle()
        assert running() == 2
        assert Step.objects.filter(status="pending").count() == 100
        assert due.look(["default"]) == due.Due(False, None)
    workflows.run_until_idle()
    assert run.result() == [*range(102)]


# -- how often ------------------------------------------------------------------------


@step(rate_limit="5/10s")
def paced(number: int) -> int:
    began.append((number, now()))
    return number


current: list[WorkflowTester] = []


def now() -> datetime:
    return current[-1].now


@workflow
async def pace_all(*numbers: int) -> list[int]:
    return await asyncio.gather(*[paced(number) for number in numbers])


@pytest.fixture
def timed(workflows: WorkflowTester) -> Iterator[WorkflowTester]:
    current.append(workflows)
    yield workflows
    current.clear()


def test_no_window_holds_more_starts_than_the_rate(timed: WorkflowTester) -> None:
    assert timed.run(pace_all, *range(12)) == [*range(12)]
    assert [number for number, _ in began] == [*range(12)]
    times = [time for _, time in began]
    for first in times:
        window = [t for t in times if first <= t < first + timedelta(seconds=10)]
        assert len(window) <= 5
    gaps = [(later - one).total_seconds() for one, later in pairwise(times)]
    assert gaps == pytest.approx([2.0] * 11, abs=0.01)


def test_waiting_for_a_rate_is_no_due_work(timed: WorkflowTester) -> None:
    start(pace_all, *range(5))
    timed.run_until_idle()
    seen = due.look(["default"])
    assert not seen.now
    assert seen.wait == pytest.approx(2.0, abs=0.01)
    assert len(began) == 1


@step(rate_limit="1/m", max_retries=2)
def paced_and_failing() -> int:
    began.append(now())
    if len(began) < 3:
        raise ValueError("not yet")
    return len(began)


@workflow
async def retried_at_a_pace() -> int:
    return await paced_and_failing()


def test_retries_keep_to_the_rate(timed: WorkflowTester) -> None:
    assert timed.run(retried_at_a_pace) == 3
    gaps = [(later - one).total_seconds() for one, later in pairwise(began)]
    assert all(gap >= 60 for gap in gaps)


@pytest.mark.parametrize(
    "options",
    [
        {"rate_limit": "often"},
        {"rate_limit": 5},
        {"max_concurrency": 0},
        {"max_concurrency": True},
        {"max_concurrency": "5"},
        {"priority": "high"},
        {"queue": ""},
    ],
)
def test_nonsense_is_refused_at_once(options: dict[str, Any]) -> None:
    (value,) = options.values()
    with pytest.raises(ValueError, match=re.escape(repr(value))):
        step(**options)
    with pytest.raises(ValueError, match=re.escape(repr(value))):
        narrow.options(**options)


# -- who is first ---------------------------------------------------------------------


@step(max_concurrency=1)
def single(number: int) -> int:
    began.append(number)
    return number


@workflow
async def single_one(number: int, priority: int | None = None) -> int:
    if priority is None:
        return await single(number)
    return await single.options(priority=priority)(number)


@workflow
async def single_all(*numbers: int) -> None:
    await asyncio.gather(*[single.options(priority=n)(n) for n in numbers])


def test_larger_priority_goes_first_then_the_older(workflows: WorkflowTester) -> None:
    for number, priority in enumerate([0, 5, 1, 5, -1]):
        start(single_one.options(priority=priority), number)
    workflows.run_until_idle()
    assert began == [1, 3, 2, 0, 4]


def test_priority_of_the_step_beats_that_of_its_run(workflows: WorkflowTester) -> None:
    start(single_one.options(priority=9), 1, 0)
    start(single_one, 2, 3)
    start(single_all, 4, 8, 6)
    workflows.run_until_idle()
    assert began == [8, 6, 4, 2, 1]


def test_priority_counts_among_those_who_wait_for_a_slot(
    workflows: WorkflowTester, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A worker with one slot owns all the runs, whose steps have no limits."""
    monkeypatch.setattr(
        InlineExecutor, "room", lambda self, kind: 1 - len(self._queued)
    )
    for number, priority in enumerate([5, 1, 3, 5]):
        start(free_one.options(priority=priority), number)
    workflows.run_until_idle()
    assert began == [0, 3, 2, 1]
    began.clear()
    workflows.run(free_all, 0, 2, 1)
    assert began == [2, 1, 0]


@step
def free(number: int) -> None:
    began.append(number)


@workflow
async def free_one(number: int) -> None:
    await free(number)


@workflow
async def free_all(*numbers: int) -> None:
    await asyncio.gather(*[free.options(priority=n)(n) for n in numbers])


def test_a_step_of_another_queue_is_left_to_its_workers(
    workflows: WorkflowTester,
) -> None:
    run = start(elsewhere)
    workflows.run_until_idle()
    assert run.result() == 1
    assert Step.objects.get(run=run).queue == "eu"
    assert Run.objects.get(pk=run.pk).queue == "default"


@workflow
async def elsewhere() -> int:
    return await single.options(queue="eu")(1)


def test_limits_cost_unlimited_steps_no_statement(workflows: WorkflowTester) -> None:
    """Neither the rows of limits nor runs that wait for one are looked at."""
    seen: list[str] = []

    def listen(execute: Any, sql: str, params: Any, many: bool, context: Any) -> Any:
        seen.append(sql)
        return execute(sql, params, many, context)

    with connection.execute_wrapper(listen):
        workflows.run(plain)
    assert not [sql for sql in seen if "UPDATE django_workflows_limit" in sql]
    assert not [sql for sql in seen if "limit_keys" in sql]


@step
def unlimited() -> int:
    return 1


@workflow
async def plain() -> int:
    return await unlimited() + await unlimited()
