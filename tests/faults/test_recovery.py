"""A worker that goes on after its database has failed: nothing is left lying about."""

from __future__ import annotations

import json

import pytest
from django.db.utils import OperationalError

from django_workflows import start
from django_workflows.models import Step
from tests.faults import checks, workflows
from tests.faults.driver import Node, World

pytestmark = pytest.mark.django_db(transaction=True)


def _round(world: World, node: Node, seconds: float = 0.0) -> None:
    world.pass_time(seconds)
    node.reactor.agenda.looks_due = True
    node.reactor.round(node.reactor.wait(0))


def _lose_answer_of_commit(node: Node, name: str) -> None:
    if name == "after COMMIT":
        raise OperationalError("on purpose")


def test_step_claimed_without_an_answer_goes_back_on_offer() -> None:
    """The claim is stored, and the worker lives: nobody else would ever run it."""
    with World() as world:
        run = start(workflows.timed, "a", 100.0)
        (node,) = world.nodes
        node.executor.room = lambda kind: 0  # type: ignore[method-assign]
        _round(world, node)
        _round(world, node, 0.3)
        assert Step.objects.get().status == "pending"
        del node.executor.room
        world.on_point = _lose_answer_of_commit
        with pytest.raises(OperationalError):
            _round(world, node, 0.3)
        assert Step.objects.get().status == "running"
        world.on_point = lambda node, name: None
        node.reactor.recover()
        assert Step.objects.get().status == "pending"
        world.run(run)
        assert world.deaths == 0
    assert run.result() == "slow"
    checks.check_log(run)
    (again,) = [e for e in run.history() if e.type == "step_retrying"]
    assert json.loads(again.detail) == {"attempt": 1, "reason": "lost"}
    assert Step.objects.get().errors == 0


def test_attempts_in_flight_go_on_after_a_failure() -> None:
    with World() as world:
        run = start(workflows.timed, "a", 100.0)
        (node,) = world.nodes
        _round(world, node)
        _round(world, node, 1.1)  # its row is written: people see it running
        assert Step.objects.get().status == "running"
        node.reactor.recover()
        ended = node.executor.run_next()
        assert ended is not None
        node.reactor.report(ended)
        node.reactor.recover()
        world.run(run)
    checks.check_log(run)
    assert run.result() == "slow"
    types = [event.type for event in run.history()]
    assert types.count("step_started") == 1
    assert "step_retrying" not in types
