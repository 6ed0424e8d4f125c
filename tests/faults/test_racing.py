"""Workers race for the same runs in random interleavings, and some of them die."""

from __future__ import annotations

import pytest

from django_workflows import start
from tests.faults import checks, workflows
from tests.faults.driver import World
from tests.faults.race import Race
from tests.faults.sampling import unless_all

pytestmark = pytest.mark.django_db(transaction=True)

SEEDS = range(unless_all(2, 200))


@pytest.mark.parametrize("crashes", [0, 3])
@pytest.mark.parametrize("short_slices", [False, True], ids=["long", "short"])
def test_workers_race_for_runs(short_slices: bool, crashes: int) -> None:
    for seed in SEEDS:
        with World(nodes=3, short_slices=short_slices) as world:
            accounts = [f"race{seed}-{crashes}-{number}" for number in range(3)]
            for account in accounts:
                world.answers[f"{account}/approval"] = ["approved"]
            runs = [start(workflows.everything, account) for account in accounts]
            Race(world, seed, crashes=crashes).run(*runs)
            for run, account in zip(runs, accounts, strict=True):
                assert run.result() == workflows.RESULT, f"seed {seed}"
                checks.check_log(run)
                checks.check_effects(run, account, workflows.BOOKED)
                checks.check_replays(run)
