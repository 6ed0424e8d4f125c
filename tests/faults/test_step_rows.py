"""Steps between a run's memory, their row, and other workers."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from django.db.utils import OperationalError

from django_workflows import start, step, workflow
from django_workflows.models import Run, Step
from django_workflows.store import step_claims
from django_workflows.store.database import to_datetime
from tests.app.models import Marker
from tests.faults import checks, workflows
from tests.faults.driver import Crash, Node, SimulatedCrash, World

pytestmark = pytest.mark.django_db(transaction=True)


@step(name="rows.limited", max_concurrency=3)
def limited(key: str) -> str:
    return key


@workflow(name="rows.calls_limited")
async def calls_limited(key: str) -> str:
    return await limited(key)


def _round(world: World, node: Node, seconds: float = 0.0) -> None:
    """A round of the reactor alone: submitted attempts stay in flight."""
    world.pass_time(seconds)
    node.reactor.agenda.looks_due = True
    node.reactor.round(node.reactor.wait(0))


def _has_work(node: Node) -> bool:
    """Whether attempts have been submitted and not been run."""
    return node.executor.has_work


@pytest.mark.parametrize("seconds", [0.5, 0.9, 1.0, 1.05, 1.1, 1.5, 2.0])
def test_step_cancelled_as_its_row_is_written_never_runs_again(seconds: float) -> None:
    """Rows of long steps are written after a second; this time-out is about as long."""
    with World() as world:
        run = start(workflows.timed, "a", seconds)
        (node,) = world.nodes
        _round(world, node)
        # The round that shows the step is the one in which its time-out falls due.
        _round(world, node, max(seconds, 1.1))
        world.bury(node)
        world.run(run)
    assert run.result() == "too late"
    checks.check_log(run)
    assert not Marker.objects.exists(), "a cancelled step was run"


@pytest.mark.parametrize("when", ["before", "after"])
def test_database_fails_as_rows_of_long_steps_are_written(when: str) -> None:
    """Nothing else is written then: no number in the log tells whether it was."""
    failed: list[str] = []

    def fail(node: Node, name: str) -> None:
        if name == f"{when} commit" and not failed:
            failed.append(name)
            raise OperationalError("on purpose")

    with World() as world:
        run = start(workflows.short, "a")
        (node,) = world.nodes
        _round(world, node)
        rows = Step.objects.count()
        world.on_point = fail
        _round(world, node, 1.1)
        assert failed
        assert Step.objects.count() == rows + 1
        world.run(run)
    assert run.result() == [1, 5, 2]
    checks.check_log(run)
    checks.check_effects(run, "a", [5])


def test_step_offered_and_cancelled_in_one_round_never_runs() -> None:
    with World() as world:
        run = start(workflows.timed, "a", 0.3)
        (node,) = world.nodes
        node.executor.room = lambda kind: 0  # type: ignore[method-assign]
        _round(world, node)
        _round(world, node, 0.4)
        del node.executor.room
        world.run(run)
    assert run.result() == "too late"
    checks.check_log(run)
    assert not Marker.objects.exists()


def test_step_that_waits_for_a_slot_begins_when_a_foreign_one_frees_it() -> None:
    """Nothing happens to the run meanwhile, nor to any other of this worker."""
    with World() as world:
        run = start(workflows.short, "a")
        (node,) = world.nodes
        room = [0]
        node.executor.room = lambda kind: room[0]  # type: ignore[method-assign]
        _round(world, node)
        assert not _has_work(node)
        room[0] = 5
        _round(world, node, 0.05)
        assert _has_work(node)
        world.run(run)
    checks.check_log(run)


def test_step_that_waits_for_a_slot_is_offered_to_others() -> None:
    with World(nodes=2) as world:
        run = start(workflows.short, "a")
        busy, free = world.nodes
        busy.executor.room = lambda kind: 0  # type: ignore[method-assign]
        _round(world, busy)
        for _ in range(3):
            _round(world, busy, 0.15)
        assert Step.objects.filter(status="pending").count() == 2
        world.turn(free)
        world.run(run)
    assert run.result() == [1, 5, 2]
    workers = {e.data.get("worker") for e in run.history() if e.type == "step_started"}
    assert free.id in workers
    checks.check_log(run)
    checks.check_effects(run, "a", [5])


def test_step_that_has_failed_since_the_look_waits_for_its_time(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Another worker was faster: it has taken the step, which is to be tried again."""
    looks: list[bool] = []
    steps_on_offer = step_claims.steps_on_offer

    def look(*args: Any) -> step_claims.Offer:
        offer = steps_on_offer(*args)
        if offer.free and not looks:
            looks.append(True)
            due_at = to_datetime(world.now_us()) + timedelta(minutes=1)
            Step.objects.filter(status="pending").update(due_at=due_at)
        return offer

    with World(nodes=2) as world:
        run = start(workflows.short, "a")
        busy, free = world.nodes
        busy.executor.room = lambda kind: 0  # type: ignore[method-assign]
        for _ in range(4):
            _round(world, busy, 0.15)
        monkeypatch.setattr(step_claims, "steps_on_offer", look)
        world.turn(free)
        assert looks
        assert not Step.objects.filter(status="running").exists()
        world.run(run)
    checks.check_log(run)


@pytest.mark.parametrize("when", ["before", "after"])
def test_step_in_flight_beside_a_blocked_run_is_not_waited_for_in_vain(
    when: str,
) -> None:
    """It ends before the run goes on elsewhere, or after; its worker lives on."""
    workflows.misbehaves.append(True)
    with World() as world:
        run = start(workflows.blocked_beside_a_step, "a")
        (node,) = world.nodes
        _round(world, node)
        held, node.executor._queued = node.executor._queued, []
        slow = [a for a in held if a.step.name == "faults.slow_on_paper"]
        node.executor._queued = [a for a in held if a not in slow]
        ended = node.executor.run_next()
        assert ended is not None
        node.executor._queued += slow
        node.reactor.report(ended)
        _round(world, node)
        run.refresh_from_db()
        assert run.blocked_reason
        workflows.misbehaves.clear()
        if when == "before":
            while (ended := node.executor.run_next()) is not None:
                node.reactor.report(ended)
            _round(world, node)
        other = world.add_node()
        Run.objects.update(blocked_code="other code")
        world.pass_time(120)
        _round(world, other)
        world.run(run)
    assert run.result() == ["slow", 2]
    checks.check_log(run)
    checks.check_effects(run, "a", [])


def test_end_that_waits_while_the_slice_is_over_is_reported() -> None:
    """The run's row is locked as the step ends: the end is kept for later."""
    with World() as world:
        run = start(workflows.timed, "a", 100)
        (node,) = world.nodes
        _round(world, node)
        ended = node.executor.run_next()
        assert ended is not None
        owned = node.reactor.owned[run.pk]
        owned.to_write()
        owned.is_frozen = True
        node.reactor.report(ended)
        _round(world, node)
        assert owned.held == [ended]
        while not node.reactor.let_go():
            pass
        for left in node.reactor.take_ends():
            node.report_directly(left)
        other = world.add_node()
        world.nodes.remove(node)
        world.zombies.append(node)
        world.turn(other)
        world.run(run)
    assert run.result() == "slow"
    assert Marker.objects.count() == 1
    checks.check_log(run)


def _end_in_one_round(world: World, crash: Crash) -> list[Run]:
    """Three attempts with rows end between two rounds, one terminated before."""
    runs = [start(calls_limited, key) for key in "abc"]
    (node,) = world.nodes
    while Step.objects.filter(run__in=runs, attempt=1).count() < len(runs):
        _round(world, node)
    runs[1].terminate()
    while (ended := node.executor.run_next()) is not None:
        node.reactor.report(ended)
    world.on_point = crash
    try:
        _round(world, node)
    except SimulatedCrash:
        world.bury(node)
    return runs


def test_ends_that_come_together_are_stored_in_one_commit() -> None:
    """But for one that is not the worker's any more. A crash there loses nothing."""
    with World() as world:
        crash = Crash()
        _end_in_one_round(world, crash)
        commit = crash.passed.index("after COMMIT")
        assert crash.passed[:commit].count("after UPDATE step") == 3
        points = range(1, commit + 1, 2)  # after each statement, and the commit
        for point in points:
            world.on_point = lambda node, name: None
            runs = _end_in_one_round(world, Crash(point))
            world.run(*runs)
            for run in runs:
                checks.check_log(run)
            assert [run.status for run in runs] == [
                "completed",
                "terminated",
                "completed",
            ]
        assert world.deaths == len(points)
