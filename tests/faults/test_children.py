"""Workers die at every point of a family's life: each child is there exactly once."""

from __future__ import annotations

import pytest
from django.db import connection

from django_workflows import ChildWorkflowError, start, start_child, workflow
from django_workflows.models import Event, Run
from django_workflows.store import sweep
from tests.app.models import Ledger
from tests.faults import checks
from tests.faults.driver import Crash, World
from tests.faults.race import Race
from tests.faults.sampling import sample, unless_all
from tests.faults.user import User
from tests.faults.workflows import book, plain

pytestmark = pytest.mark.django_db(transaction=True)

SEEDS = range(unless_all(2, 100))


@workflow(name="faults.leaf")
async def leaf(account: str, number: int) -> int:
    if number == 3:
        raise ValueError(account)
    return await book(account, number) + await plain(account, number)


@workflow(name="faults.branch")
async def branch(account: str, number: int) -> int:
    result: int = await start_child(leaf, account, number)
    return result


@workflow(name="faults.family")
async def family(account: str) -> list[object]:
    """Children, a grandchild, keys of its own and of others, a failure, a goodbye."""
    keyed = leaf.options(key=f"{account}/key")
    taken = leaf.options(key=f"{account}/taken")
    handles = [
        start_child(leaf, account, 1),
        start_child(branch, account, 2),
        start_child(keyed, account, 4),
        start_child(keyed, account, 4),
    ]
    found: list[object] = [await handle for handle in handles]
    for child, number in ((leaf, 3), (taken, 5)):
        try:
            await start_child(child, account, number)
        except ChildWorkflowError as error:
            found.append(type(error.cause).__name__)
    patient = leaf.options(delay="1h")
    unwanted = start_child(patient, account, 6)
    unwanted.cancel()
    start_child(patient, account, 7)
    abandon = patient.options(parent_close_policy="abandon")
    start_child(abandon, account, 8)
    return found


RESULT = [2, 4, 8, 8, "ValueError", "DuplicateRunError"]
STATUSES = [
    *["cancelled"] * 2,  # the unwanted one, and one that its parent leaves behind
    *["completed"] * 5,
    "failed",
]


def begin(account: str) -> Run:
    start(leaf.options(key=f"{account}/taken", delay="9d"), "somebody else", 0)
    return start(family, account)


def check(run: Run, account: str) -> None:
    assert run.result() == RESULT
    sweep.delete_strays(connection)  # asked to stop twice: the second time for nothing
    checks.check_log(run)
    checks.check_replays(run)
    children = list(Run.objects.filter(root=run))
    assert sorted(child.status for child in children) == STATUSES
    for child in children:
        checks.check_log(child)
        checks.check_replays(child)
    started = [e.data for e in run.history() if e.type == "child_created"]
    rows = {child.pk for child in children if child.parent_id == run.pk}
    assert {data.get("held_by", data["run_id"]) for data in started} >= rows
    assert len(rows) == 7
    ids = [run.pk, *(child.pk for child in children)]
    assert not Event.objects.filter(run__in=ids, seq=None).exists()
    booked = Ledger.objects.filter(account=account).values_list("amount", flat=True)
    assert sorted(booked) == [1, 2, 4, 8]


def everybody(world: World, run: Run) -> None:
    world.run(run)
    world.run(*Run.objects.filter(root=run))


@pytest.mark.timeout(unless_all(300, 1800))
@pytest.mark.parametrize("short_slices", [False, True], ids=["long", "short"])
def test_crash_at_each_point_of_a_family(short_slices: bool) -> None:
    with World(short_slices=short_slices) as world:
        world.on_point = counted = Crash()
        run = begin("good")
        everybody(world, run)
        check(run, "good")
        tried = sample(len(counted.passed), 120)
        for number in tried:
            world.on_point = Crash(number)
            deaths = world.deaths
            run = begin(f"crash{number}")
            everybody(world, run)
            if world.deaths == deaths:
                break  # this run passed fewer points than the first
            check(run, f"crash{number}")
        assert world.deaths > 0.8 * len(tried)


@pytest.mark.parametrize("crashes", [0, 3])
def test_workers_race_for_a_family(crashes: int) -> None:
    for seed in SEEDS:
        with World(nodes=3) as world:
            account = f"family{seed}-{crashes}"
            run = begin(account)
            Race(world, seed, crashes=crashes).run(run)
            everybody(world, run)
            check(run, account)


def test_holder_of_a_key_that_is_locked_is_not_waited_for() -> None:
    if connection.vendor == "sqlite":
        pytest.skip("has no row locks; a writer excludes all others")
    with World() as world:
        holder = start(leaf.options(key="k", delay="9d"), "holder", 0)
        waiting = start(replacing, "k")
        other = start(leaf, "other", 1)
        with User() as user:
            user.lock(holder)
            for _ in range(10):
                world.turn(world.nodes[0])
                world.pass_time(0.1)
            assert Run.objects.get(pk=other.pk).status == "completed"
            assert not Run.objects.filter(parent=waiting).exists()
        everybody(world, waiting)
        assert waiting.result() == 0
        holder.refresh_from_db()
        assert holder.status == "terminated"


@workflow(name="faults.replacing")
async def replacing(key: str) -> int:
    child = leaf.options(key=key, on_conflict="terminate_existing")
    result: int = await start_child(child, key, 0)
    return result
