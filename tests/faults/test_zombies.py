"""A worker stands still, is taken for dead, and goes on: it changes nothing."""

from __future__ import annotations

import pytest

from django_workflows import start
from django_workflows.models import Run
from tests.faults import checks, workflows
from tests.faults.driver import Crash, Node, World
from tests.faults.sampling import sample

pytestmark = pytest.mark.django_db(transaction=True)


class Freeze:
    """Suspends whoever comes to the point numbered `at`, while others take `turns`."""

    def __init__(self, world: World, run: Run, at: int, turns: int) -> None:
        self._world = world
        self._run = run
        self._at = at
        self._turns = turns
        self._passed = 0
        self.frozen: Node | None = None

    def __call__(self, node: Node, name: str) -> None:
        number, self._passed = self._passed, self._passed + 1
        if self.frozen is None and number >= self._at and not node.is_in_transaction:
            self.frozen = node
            self._world.suspend(node, self._meanwhile)

    def _meanwhile(self) -> None:
        if self._turns == 0:
            self._world.run(self._run)
        for _ in range(self._turns):
            for node in list(self._world.nodes):
                self._world.turn(node)


@pytest.mark.parametrize("turns", [0, 1, 2], ids=["all", "one", "two"])
@pytest.mark.parametrize("short_slices", [False, True], ids=["long", "short"])
def test_worker_declared_dead_goes_on(turns: int, short_slices: bool) -> None:
    with World(short_slices=short_slices) as world:
        world.on_point = counted = Crash()
        world.answers["good/approval"] = ["approved"]
        run = start(workflows.everything, "good")
        world.run(run)
        good = checks.shape(run)
        for number in sample(len(counted.passed), 160):
            account = f"zombie{number}"
            world.answers[f"{account}/approval"] = ["approved"]
            run = start(workflows.everything, account)
            world.on_point = freeze = Freeze(world, run, number, turns)
            world.run(run)
            zombie = freeze.frozen
            if zombie is None:
                break
            # It takes its time to notice: until its next heartbeat.
            for _ in range(3):
                world.turn(zombie)
            zombie.die()
            world.zombies.clear()
            world.run(run)
            assert run.result() == workflows.RESULT
            checks.check_log(run)
            checks.check_effects(run, account, workflows.BOOKED)
            checks.check_replays(run)
            assert checks.shape(run) == good
