"""Retries in place among crashes, zombies, and others who act at the same time."""

from __future__ import annotations

import asyncio
import math
import threading
import time
from collections import Counter
from collections.abc import Callable
from functools import partial
from typing import Any

import pytest
from django.db import connections

from django_workflows import (
    create_hook,
    get_step_metadata,
    sleep,
    start,
    step,
    workflow,
)
from django_workflows.errors import InvalidRunStateError, WorkflowRunNotFoundError
from django_workflows.models import Run
from django_workflows.replay import events as log
from django_workflows.store import sweep
from django_workflows.store.database import connection
from django_workflows.store.retention import prune
from tests.app.models import Ledger
from tests.cluster.harness import DEADLINE
from tests.faults import checks
from tests.faults.driver import Crash, Node, World
from tests.faults.sampling import sample, unless_all
from tests.faults.test_control_races import Contest, Handicap, _seed

pytestmark = pytest.mark.django_db(transaction=True)

ROUNDS = unless_all(10, 1000)

#: Accounts whose service is down.
down: set[str] = set()


@step(max_retries=0)
def call_service(account: str) -> str:
    if account in down:
        raise ConnectionError(f"{account} is down")
    return "answer"


@step(atomic=True)
def book(account: str, amount: int) -> int:
    Ledger.objects.create(account=account, amount=amount)
    return amount


@step
async def ask(account: str) -> str:
    await asyncio.sleep(0)
    return account


@step(atomic=True)
def undo(account: str) -> None:
    Ledger.objects.create(account=account, amount=-1)


@workflow
async def shopping(account: str) -> list[object]:
    hook = create_hook(f"{account}/door")
    found: list[object] = [await book(account, 1)]
    beside = [book(account, 2), ask(account)]
    nap = sleep(1)
    try:
        found.append(await call_service(account))
    except ConnectionError:
        await undo(account)
        raise
    found += [await each for each in beside]
    await nap
    found.append(await hook)
    found.append(await book(account, 3))
    return found


def result(account: str) -> list[object]:
    return [1, "answer", 2, account, "payload", 3]


def failed(world: World, account: str) -> Run:
    """A run whose service was down."""
    down.add(account)
    world.answers[f"{account}/door"] = ["payload"]
    run = start(shopping, account)
    world.run(run)
    run.refresh_from_db()
    assert run.status == "failed"
    down.discard(account)
    # The hook's payload was sent while the run was cleaning up, or is sent now.
    return run


def check(run: Run, account: str, *, undone: int = 1) -> None:
    run.refresh_from_db()
    assert run.result() == result(account)
    checks.check_log(run)
    checks.check_replays(run)
    amounts = Ledger.objects.filter(account=account).values_list("amount", flat=True)
    assert sorted(amounts) == [*[-1] * undone, 1, 2, 3]


@pytest.mark.parametrize("short_slices", [False, True], ids=["long", "short"])
def test_crash_at_each_point_of_a_retried_run(short_slices: bool) -> None:
    with World(short_slices=short_slices) as world:
        run = failed(world, "good")
        world.on_point = counted = Crash()
        run.retry()
        world.run(run)
        check(run, "good")
        for number in sample(len(counted.passed), 80):
            world.on_point = lambda node, name: None
            account = f"crash{number}"
            run = failed(world, account)
            world.on_point = Crash(number)
            run.retry()
            world.run(run)
            check(run, account)
        assert world.deaths > 0


class Outlive:
    """Suspends a worker at a point; meanwhile the run fails, is retried, and ends."""

    def __init__(self, world: World, run: Run, account: str, at: int) -> None:
        self._world = world
        self._run = run
        self._account = account
        self._at = at
        self._passed = 0
        self.frozen: Node | None = None

    def __call__(self, node: Node, name: str) -> None:
        number, self._passed = self._passed, self._passed + 1
        if self.frozen is None and number >= self._at and not node.is_in_transaction:
            self.frozen = node
            self._world.suspend(node, self._meanwhile)

    def _meanwhile(self) -> None:
        self._world.run(self._run)
        self._run.refresh_from_db()
        assert self._run.status == "failed"
        down.discard(self._account)
        self._run.retry()
        self._world.run(self._run)


@pytest.mark.parametrize("short_slices", [False, True], ids=["long", "short"])
def test_a_zombie_of_the_epoch_before_changes_nothing(short_slices: bool) -> None:
    with World(short_slices=short_slices) as world:
        frozen = 0
        for number in sample(400, 40):
            account = f"zombie{number}"
            down.add(account)
            world.answers[f"{account}/door"] = ["payload"]
            run = start(shopping, account)
            world.on_point = outlive = Outlive(world, run, account, number)
            world.run(run)
            zombie = outlive.frozen
            if zombie is None:
                down.discard(account)
                break
            frozen += 1
            for _ in range(3):
                world.turn(zombie)
            zombie.die()
            world.zombies.clear()
            world.run(run)
            check(run, account)
        assert frozen > 2


# -- races -----------------------------------------------------------------------------


def test_retry_against_retry() -> None:
    """One of the two retries it; the other one is refused."""
    with World(nodes=2) as world:
        for number in range(ROUNDS):
            account = f"twice{number}"
            run = failed(world, account)
            contest = Contest(world, run, _seed("twice", number))
            contest.play(one=lambda run: run.retry(), two=lambda run: run.retry())
            assert sorted(contest.heard.values()) == [False, True]
            world.run(run)
            check(run, account)
            assert contest.types().count(log.RUN_RETRIED) == 1


def test_retry_against_retention() -> None:
    """It is retried and kept, or deleted with all that belongs to it."""
    outcomes: Counter[bool] = Counter()
    handicap = Handicap()
    with World() as world:
        for number in range(ROUNDS):
            account = f"gone{number}"
            run = failed(world, account)
            world.pass_time(3600)
            found = against(
                run,
                handicap,
                partial(prune, older_than=60),
                run.retry,
            )
            handicap.adjust(found is None)
            outcomes[found is None] += 1
            if found is None:
                world.run(run)
                check(run, account)
            else:
                assert isinstance(found, WorkflowRunNotFoundError)
                assert not Run.objects.filter(pk=run.pk).exists()
                assert not run.events.exists()
            Run.objects.all().delete()
    assert len(outcomes) == 2


def test_retry_against_a_start_with_its_key() -> None:
    """Either goes on, as the run that holds the key; the other one is told."""
    outcomes: Counter[bool] = Counter()
    handicap = Handicap()
    with World() as world:
        for number in range(ROUNDS):
            account = f"key{number}"
            keyed = shopping.options(key=account, on_conflict="restart_closed")
            down.add(account)
            world.answers[f"{account}/door"] = ["payload"]
            run = keyed.start(account)
            world.run(run)
            down.discard(account)
            started: list[Run] = []
            found = against(
                run,
                handicap,
                partial(start_into, started, keyed, account),
                run.retry,
            )
            handicap.adjust(found is None)
            outcomes[found is None] += 1
            (other,) = started
            assert (found is None) == (other == run)
            if found is not None:
                assert isinstance(found, InvalidRunStateError)
                assert account in str(found)
            holders = Run.objects.filter(key=account, key_held__isnull=False)
            assert list(holders) == [other]
            world.answers[f"{account}/door"].append("payload")
            world.run(other)
            assert other.result() == result(account)
            assert Run.objects.filter(key=account).open().count() == 0
    assert len(outcomes) == 2


def start_into(started: list[Run], keyed: Any, account: str) -> None:
    started.append(keyed.start(account))


def against(
    run: Run,
    handicap: Handicap,
    other: Callable[[], object],
    retry: Callable[[], None],
) -> Exception | None:
    """Let both happen at about the same time. Returns how the retry was refused."""
    one_by_one = math.isinf(handicap.seconds)
    ready = threading.Barrier(1 if one_by_one else 2)
    refused: list[Exception] = []
    errors: list[BaseException] = []

    def act(action: Callable[[], object], late: float) -> None:
        try:
            ready.wait(DEADLINE)
            time.sleep(max(0.0, late))
            action()
        except (InvalidRunStateError, WorkflowRunNotFoundError) as error:
            refused.append(error)
        except BaseException as error:
            errors.append(error)
        finally:
            connections.close_all()

    late = 0.0 if one_by_one else handicap.seconds
    threads = [
        threading.Thread(target=act, args=(retry, late)),
        threading.Thread(target=act, args=(other, -late)),
    ]
    for thread in threads if handicap.seconds < 0 else reversed(threads):
        thread.start()
        if one_by_one:
            thread.join(DEADLINE)
    for thread in threads:
        thread.join(DEADLINE)
        assert not thread.is_alive()
    if errors:
        raise errors[0]
    return refused[0] if refused else None


# -- attempts that outlive their epoch -------------------------------------------------


@step(max_retries=0)
def first_attempt_fails() -> int:
    attempt = get_step_metadata().attempt
    if attempt == 1:
        raise ValueError("the first time")
    return attempt


@step
def tell_attempt() -> int:
    return get_step_metadata().attempt


@workflow
async def pair() -> list[int]:
    return [*await asyncio.gather(first_attempt_fails(), tell_attempt())]


@pytest.mark.parametrize("has_row", [False, True])
def test_an_attempt_that_outlives_its_epoch_in_the_same_worker(has_row: bool) -> None:
    """Its worker still runs it, although its run has failed and been retried there."""
    with World() as world:
        (node,) = world.nodes
        run = start(pair)
        node.reactor.agenda.looks_due = True
        node.reactor.round([])
        if has_row:
            world.pass_time(10)  # longer than anybody is kept from seeing a step
            node.reactor.round([])
        assert run.steps.exists() == has_row
        failure = node.executor.run_next()
        assert failure is not None
        assert failure.error is not None
        node.reactor.round([failure])
        run.refresh_from_db()
        assert run.status == "failed"

        run.retry()
        node.reactor.agenda.looks_due = True
        node.reactor.round([])
        late = node.executor.run_next()
        assert late is not None
        assert late.attempt.number == 1
        node.reactor.round([late])
        assert log.STEP_COMPLETED not in [event.type for event in run.history()]

        world.run(run)
        assert run.result() == [2, 2]
        checks.check_log(run)
        checks.check_replays(run)


@workflow
async def booking(account: str) -> list[int]:
    return [await book(account, 1), await book(account, 2)]


def test_a_result_that_came_before_a_deadline_is_not_computed_again() -> None:
    """Nobody had read it when the run timed out: an atomic step is still once."""
    with World(short_slices=True) as world:
        (node,) = world.nodes
        run = booking.options(timeout="1h").start("late")
        node.turn()
        assert list(run.events.filter(seq=None).values_list("type", flat=True)) == [
            log.STEP_COMPLETED
        ]
        world.pass_time(2 * 3600)
        world.idle()
        run.refresh_from_db()
        assert run.status == "timed_out"
        assert not run.events.filter(seq=None).exists()
        run.retry()
        world.run(run)
        assert run.result() == [1, 2]
        amounts = Ledger.objects.filter(account="late").values_list("amount", flat=True)
        assert sorted(amounts) == [1, 2]
        checks.check_log(run)
        checks.check_replays(run)


def test_a_result_that_nobody_read_is_kept_for_a_retry() -> None:
    """It came in the moment between the last look into the inbox and the end."""
    with World(short_slices=True) as world:
        (node,) = world.nodes
        run = start(booking, "stray")
        node.turn()
        # As the round leaves it whose own step failed meanwhile.
        unread = run.events.get(seq=None)
        Run.objects.filter(pk=run.pk).update(
            status="cancelled", finished_at=run.created_at, wake_at=None, last_seq=5
        )
        run.events.create(
            seq=5, type=log.RUN_CANCELLED, created_at=run.created_at, detail=""
        )
        sweep.delete_strays(connection())
        assert run.events.filter(seq=None).get() == unread
        run.retry()
        world.run(run)
        assert run.result() == [1, 2]
        assert Ledger.objects.filter(account="stray").count() == 2
        checks.replay(run)
