"""A worker dies at every point there is; the run comes out as on a good day."""

from __future__ import annotations

from collections import Counter
from datetime import timedelta
from decimal import Decimal

import pytest

from django_workflows import start
from django_workflows.models import Run
from tests.faults import checks, workflows
from tests.faults.driver import Crash, World
from tests.faults.sampling import sample

pytestmark = pytest.mark.django_db(transaction=True)

#: Of a run with everything in it, this point and every n-th after it is tried.
EVERY = 100


def _run(world: World, account: str) -> Run:
    world.answers[f"{account}/approval"] = ["approved"]
    run = start(workflows.everything, account)
    world.run(run)
    return run


def _check(run: Run, account: str, good: Counter[tuple[str, str]]) -> None:
    assert run.result() == workflows.RESULT
    checks.check_log(run)
    checks.check_effects(run, account, workflows.BOOKED)
    checks.check_replays(run)
    assert checks.shape(run) == good


@pytest.mark.parametrize("short_slices", [False, True], ids=["long", "short"])
def test_crash_at_each_point_changes_nothing(short_slices: bool) -> None:
    with World(short_slices=short_slices) as world:
        world.on_point = counted = Crash()
        run = _run(world, "good")
        good = checks.shape(run)
        _check(run, "good", good)
        tried = sample(len(counted.passed), EVERY)
        for number in tried:
            world.on_point = Crash(number)
            deaths = world.deaths
            run = _run(world, f"crash{number}")
            if world.deaths == deaths:
                break  # this run passed fewer points than the first
            _check(run, f"crash{number}", good)
        assert world.deaths > 0.8 * len(tried)


@pytest.mark.parametrize("short_slices", [False, True], ids=["long", "short"])
def test_crash_at_each_point_loses_no_time_out(short_slices: bool) -> None:
    with World(short_slices=short_slices) as world:
        world.on_point = counted = Crash()
        run = start(workflows.takes_too_long, "good")
        world.run(run)
        assert run.result() == workflows.TOOK_TOO_LONG
        points = len(counted.passed)
        for number in sample(points, max(1, points // 3)):
            world.on_point = Crash(number)
            run = start(workflows.takes_too_long, f"crash{number}")
            world.run(run)
            assert run.result() == workflows.TOOK_TOO_LONG
            checks.check_log(run)
            checks.check_replays(run)
        assert world.deaths > 1


def _interrupt(world: World, account: str) -> Run:
    """Two steps side by side and one after them, paused while the first are at work."""
    run = start(workflows.short, account)
    (node, *_) = world.nodes
    world.turn(node)
    run.pause()
    world.idle()
    run.refresh_from_db()
    if run.status == "paused":  # a turn may do all there is to do
        checks.check_stands_still(run)
        run.resume()
    world.run(run)
    return run


@pytest.mark.parametrize("short_slices", [False, True], ids=["long", "short"])
def test_crash_at_each_point_of_a_pause_changes_nothing(short_slices: bool) -> None:
    with World(short_slices=short_slices) as world:
        world.on_point = counted = Crash()
        run = _interrupt(world, "good")
        assert "run_paused" in [event.type for event in run.history()]
        points = len(counted.passed)
        for number in sample(points, points // 4):
            world.on_point = Crash(number)
            run = _interrupt(world, f"crash{number}")
            assert run.result() == [1, 5, 2]
            checks.check_log(run)
            checks.check_stands_still(run)
            checks.check_replays(run)
            checks.check_effects(run, f"crash{number}", [Decimal(5)])
        assert world.deaths > 1


@pytest.mark.parametrize("short_slices", [False, True], ids=["long", "short"])
def test_crash_at_each_point_moves_no_deadline(short_slices: bool) -> None:
    with World(short_slices=short_slices) as world:
        world.on_point = counted = Crash()

        def run_out(account: str) -> Run:
            run: Run = workflows.tidy.options(timeout="30m").start(account)
            world.run(run)
            run.refresh_from_db()
            return run

        run_out("good")
        points = len(counted.passed)
        for number in sample(points, points // 4):
            world.on_point = Crash(number)
            run = run_out(f"crash{number}")
            assert run.status == "timed_out"
            assert run.deadline_at == run.created_at + timedelta(minutes=30)
            assert run.finished_at == run.deadline_at
            checks.check_log(run)
            checks.check_replays(run)
        assert world.deaths > 1
