"""A worker may die at any point: the result is the same, and nothing is lost."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable
from typing import Any

import pytest

from django_workflows import (
    FatalError,
    create_hook,
    get_step_metadata,
    race,
    resume_hook,
    sleep,
    start,
    step,
    workflow,
)
from django_workflows.errors import HookNotFoundError
from django_workflows.models import Event, Run, Step
from django_workflows.testing import WorkflowTester
from tests.app.models import Ledger
from tests.engine.faults import POINTS, Crash, run_with_crashes

bodies: list[str] = []


@pytest.fixture(autouse=True)
def _fresh() -> None:
    bodies.clear()


@step
def work(name: str) -> str:
    bodies.append(name)
    return name


@step
async def work_async(name: str) -> str:
    bodies.append(name)
    return name


@step(atomic=True)
def book(account: str) -> int:
    bodies.append(account)
    Ledger.objects.create(account=account)
    return Ledger.objects.filter(account=account).count()


@step
def flaky() -> int:
    bodies.append("flaky")
    if not flaky_failed:
        flaky_failed.append(1)
        raise ValueError("once")
    return len(flaky_failed)


@step
def fatal() -> None:
    bodies.append("fatal")
    raise FatalError("for good")


flaky_failed: list[int] = []


@workflow
async def everything() -> Any:
    found: list[Any] = [await work("first")]
    found += await asyncio.gather(work("a"), work_async("b"), book("c"))
    hook = create_hook(token="door")
    found.append(await race(hook, sleep("10m")))
    found.append(await book("d"))
    try:
        await fatal()
    except FatalError as error:
        found.append(str(error))
    await sleep("1h")
    found.append(await flaky())
    hook.dispose()
    return found


EXPECTED = ["first", "a", "b", 1, "payload", 1, "for good", 1]


def drive(workflows: WorkflowTester, run: Run) -> Callable[[], Any]:
    """Return a function that brings `everything` to its end, from wherever it is."""

    def go_on() -> Any:
        for _ in range(20):
            workflows.run_until_idle()
            run.refresh_from_db()
            if "killed" in run.blocked_reason:
                run.resume()  # it looks as if its code had done that
            sent = Event.objects.filter(run=run, type="hook_received").exists()
            if not sent:
                try:
                    resume_hook("door", "payload")
                except HookNotFoundError:
                    continue
                continue
            run.refresh_from_db()
            if run.is_closed:
                return run.result()
            assert not run.blocked_reason
            workflows.advance("1h")
        raise AssertionError(f"stuck: {[str(e) for e in run.history()]}")

    return go_on


def crashing_at(point: str, visit: int) -> Callable[[str, int], bool]:
    return lambda found, number: (found, number) == (point, visit)


def check_log(run: Run) -> None:
    seqs = [event.seq for event in run.history()]
    assert seqs == list(range(1, len(seqs) + 1))
    assert not Event.objects.filter(run=run, seq=None).exists()
    times = [event.created_at for event in run.history()]
    assert times == sorted(times)
    for name in ("c", "d"):
        assert Ledger.objects.filter(account=name).count() == 1


def visits_of(workflows: WorkflowTester) -> dict[str, int]:
    flaky_failed.clear()
    run = start(everything)
    result, points = run_with_crashes(
        workflows, lambda point, visit: False, drive(workflows, run)
    )
    assert result == EXPECTED
    check_log(run)
    return {point: points.visits(point) for point in POINTS}


def test_without_a_crash(workflows: WorkflowTester) -> None:
    visits = visits_of(workflows)
    assert visits["step.before_body"] == visits["step.after_body"] == 8
    assert len(bodies) == 8


@pytest.mark.parametrize("point", POINTS)
def test_a_crash_at_every_visit_of_a_point(
    workflows: WorkflowTester, point: str
) -> None:
    total = visits_of(workflows)[point]
    assert total > 3
    for visit in range(1, total + 1):
        Ledger.objects.all().delete()
        bodies.clear()
        flaky_failed.clear()
        run = start(everything)
        where = (point, visit)
        result, _ = run_with_crashes(
            workflows, crashing_at(*where), drive(workflows, run)
        )
        assert result == EXPECTED, f"crashed at {where}"
        check_log(run)
        workflows.assert_replays(run)
        # Nothing that was recorded has run again; at most what was in flight has.
        assert len(bodies) <= 8 + 3, f"crashed at {where}: {bodies}"


@pytest.mark.parametrize("seed", range(5))
def test_many_crashes_in_one_run(workflows: WorkflowTester, seed: int) -> None:
    flaky_failed.clear()
    chance = random.Random(seed)
    left = [12]

    def crashes(point: str, visit: int) -> bool:
        if left[0] and chance.random() < 0.3:
            left[0] -= 1
            return True
        return False

    run = start(everything)
    result, _ = run_with_crashes(workflows, crashes, drive(workflows, run))
    assert result == EXPECTED
    check_log(run)
    workflows.assert_replays(run)


def test_recorded_results_are_not_computed_again(workflows: WorkflowTester) -> None:
    run = start(sequence)
    for _ in range(6):
        workflows.run_until_idle()
        workflows.crash()
        workflows.advance("1h")
    assert run.result() == ["0", "1", "2", "3", "4"]
    assert bodies == ["0", "1", "2", "3", "4"]


@workflow
async def sequence() -> list[str]:
    found = []
    for number in range(5):
        found.append(await work(str(number)))
        await sleep("1h")
    return found


def test_a_crash_in_a_body_grows_the_attempt_not_the_errors(
    workflows: WorkflowTester,
) -> None:
    run = start(attempts_of_one)
    for _ in range(2):
        with Crash.at("step.after_body"):
            workflows.run_until_idle()
        workflows.crash()
    workflows.run_until_idle()
    assert run.result() == 3
    row = Step.objects.get(run=run)
    assert (row.attempt, row.errors, row.status) == (3, 0, "completed")
    types = [event.type for event in run.history()]
    assert types.count("step_started") == 3
    assert types.count("step_retrying") == 2


@step(max_retries=0)
def number_of_attempt() -> int:
    return get_step_metadata().attempt


@workflow
async def attempts_of_one() -> int:
    return await number_of_attempt()


def test_a_run_lost_before_it_began_begins_elsewhere(
    workflows: WorkflowTester,
) -> None:
    runs = [start(attempts_of_one) for _ in range(3)]
    with Crash.at("round.before_commit"):
        workflows.run_until_idle()
    workflows.crash()
    workflows.run_until_idle()
    assert [run.result() for run in runs] == [1, 1, 1]


def test_a_payload_sent_while_the_worker_is_dead_arrives(
    workflows: WorkflowTester,
) -> None:
    run = start(one_payload)
    workflows.run_until_idle()
    workflows.crash()
    resume_hook("t", "kept")
    workflows.crash()
    workflows.run_until_idle()
    assert run.result() == "kept"


@workflow
async def one_payload() -> Any:
    return await create_hook(token="t")


def test_many_runs_survive_crashes_together(workflows: WorkflowTester) -> None:
    runs = [start(sequence) for _ in range(10)]
    chance = random.Random(1)
    left = [15]

    def crashes(point: str, visit: int) -> bool:
        if left[0] and chance.random() < 0.2:
            left[0] -= 1
            return True
        return False

    def go_on() -> Any:
        workflows.advance("10h")
        return [run.result() for run in runs]

    results, _ = run_with_crashes(workflows, crashes, go_on)
    assert results == [["0", "1", "2", "3", "4"]] * 10
    for run in runs:
        seqs = [event.seq for event in run.history()]
        assert seqs == list(range(1, len(seqs) + 1))
