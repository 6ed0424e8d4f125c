"""Two callers do one thing each to the same run, in the same moment, many times.

Meanwhile a worker goes on with the runs. Whoever wins, each of the two is told what has
become of his request, and the log of the run agrees with it.
"""

from __future__ import annotations

import random
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from django.db import connections

from django_workflows import create_hook, resume_hook, sleep, start, step, workflow
from django_workflows.errors import (
    HookNotFoundError,
    InvalidRunStateError,
    WorkflowRunNotFoundError,
)
from django_workflows.models import Event, Hook, Run, Step
from django_workflows.replay import events as log
from django_workflows.store import sweep
from django_workflows.store.checking import check_history
from django_workflows.store.database import connection
from django_workflows.store.exports import History
from django_workflows.store.replays import stored_log
from django_workflows.store.retention import prune
from tests.app.models import Ledger
from tests.cluster.harness import DEADLINE
from tests.faults import workflows
from tests.faults.driver import World
from tests.faults.sampling import unless_all

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.timeout(600)]

#: Rounds of each duel, and how many runs there are at a time.
ROUNDS = unless_all(20, 1000)
AT_ONCE = 20
#: Microseconds by which one caller may be late, at most.
LATE_US = 3000

#: What a caller was told: "done", or the error he got.
Told = str
Action = Callable[[Run], Any]


@workflow(name="faults.door")
async def door(account: str) -> list[object]:
    """Closes a hook when told to, and says what had come until then."""
    with create_hook(token=f"{account}/inbox") as inbox:
        await create_hook(token=f"{account}/go")
    return [payload async for payload in inbox]


@workflow(name="faults.nap")
async def nap(account: str) -> str:
    """Sleeps for an hour."""
    await sleep("1h")
    return account


@step(name="faults.fails_at_first", max_retries=0)
def fails_at_first(account: str) -> str:
    """Fails until its account has an entry."""
    if not Ledger.objects.filter(account=f"{account}/paid").exists():
        raise LookupError(account)
    return account


@workflow(name="faults.unpaid")
async def unpaid(account: str) -> str:
    """Fails when it is run for the first time."""
    return await fails_at_first(account)


class Duels:
    """Runs of one workflow, each with two callers and a worker after it."""

    def __init__(
        self,
        definition: Any,
        *args: Any,
        prepare: Callable[[World, list[Run]], None] = lambda world, runs: None,
        options: Callable[[int], dict[str, Any]] = lambda number: {},
        each_round: Callable[[World], None] = lambda world: None,
    ) -> None:
        self._definition = definition
        self._args = args
        self._prepare = prepare
        self._options = options
        self._each_round = each_round

    def fight(
        self, first: Action, second: Action
    ) -> Iterator[tuple[World, list[tuple[Run, Told, Told]]]]:
        """Yield batches of runs, with what the two callers were told about each."""
        for batch in range(ROUNDS // AT_ONCE):
            with World() as world:
                runs = [
                    start(
                        self._definition.options(**self._options(number)),
                        f"duel{batch}-{number}",
                        *self._args,
                    )
                    for number in range(AT_ONCE)
                ]
                world.idle()
                self._prepare(world, runs)
                told = self._fight(world, runs, (first, second), batch)
                world.idle()
                yield (
                    world,
                    [(run, *both) for run, both in zip(runs, told, strict=True)],
                )

    def _fight(
        self, world: World, runs: list[Run], actions: tuple[Action, Action], seed: int
    ) -> list[tuple[Told, Told]]:
        barrier = threading.Barrier(2, action=lambda: self._each_round(world))
        over = threading.Event()
        told: tuple[list[Told], list[Told]] = ([], [])
        errors: list[BaseException] = []

        def call(side: int) -> None:
            dice = random.Random(f"{seed}/{side}")
            for run in runs:
                mine = Run.objects.get(pk=run.pk)
                barrier.wait(DEADLINE)
                time.sleep(dice.uniform(0, LATE_US) / 1e6)
                told[side].append(_told(actions[side], mine))

        def work() -> None:
            while not over.is_set():
                world.turn(world.nodes[0])

        def guarded(job: Callable[[], None]) -> None:
            try:
                job()
            except BaseException as error:
                errors.append(error)
                barrier.abort()
            finally:
                connections.close_all()

        jobs: list[Callable[[], None]] = [lambda: call(0), lambda: call(1)]
        callers = [threading.Thread(target=guarded, args=(job,)) for job in jobs]
        worker = threading.Thread(target=guarded, args=(work,))
        for thread in (worker, *callers):
            thread.start()
        for caller in callers:
            caller.join(4 * DEADLINE)
        over.set()
        worker.join(DEADLINE)
        assert not errors, errors
        return list(zip(*told, strict=True))


def _told(action: Action, run: Run) -> Told:
    try:
        action(run)
    except (
        HookNotFoundError,
        InvalidRunStateError,
        WorkflowRunNotFoundError,
    ) as error:
        return type(error).__name__
    return "done"


def send(door: str, payload: object) -> Action:
    """Sends a payload to one of a run's hooks."""
    return lambda run: resume_hook(f"{run.args[0]}/{door}", payload)


def types(run: Run) -> Counter[str]:
    return Counter(event.type for event in run.history())


def payloads(run: Run, token: str) -> list[Any]:
    """The payloads that a hook of the run was sent by its log."""
    events = run.history()
    (created,) = (
        e.correlation_id
        for e in events
        if e.type == log.HOOK_CREATED and e.data["token"] == f"{run.args[0]}/{token}"
    )
    received = [e for e in events if e.type == log.HOOK_RECEIVED]
    return [e.data["payload"] for e in received if e.correlation_id == created]


def check(run: Run) -> None:
    """One end for each life of the run, at the end of a log without holes that replays;
    and nothing of it is left over."""
    sweep.delete_strays(connection())
    run.refresh_from_db()
    events = run.history()
    assert [e.seq for e in events] == list(range(1, len(events) + 1))
    assert run.last_seq == len(events)
    lives = 1 + types(run)[log.RUN_RETRIED]
    assert sum(types(run)[kind] for kind in log.TERMINAL) == lives
    assert events[-1].type == f"run_{run.status}"
    assert not run.events.filter(seq=None).exists()
    assert not run.hooks.exists()
    assert not run.steps.filter(status__in=("pending", "running")).exists()
    assert check_history(History(run, stored_log(run))) is None


def test_two_payloads_for_a_run_that_wants_one() -> None:
    outcomes: Counter[Any] = Counter()
    duels = Duels(workflows.listener, 1)
    for world, rounds in duels.fight(send("inbox", "a"), send("inbox", "b")):
        world.run(*(run for run, *_ in rounds))
        for run, first, second in rounds:
            accepted = [
                p for p, told in (("a", first), ("b", second)) if told == "done"
            ]
            assert sorted(payloads(run, "inbox")) == accepted
            assert run.result() == payloads(run, "inbox")[:1]
            check(run)
            outcomes[first, second] += 1
    assert set(outcomes) <= {
        ("done", "done"),
        ("done", "HookNotFoundError"),
        ("HookNotFoundError", "done"),
    }


def test_payload_against_the_end_of_its_hook() -> None:
    for world, rounds in Duels(door).fight(send("go", None), send("inbox", "a")):
        world.run(*(run for run, *_ in rounds))
        for run, first, second in rounds:
            assert first == "done"
            accepted = ["a"] if second == "done" else []
            assert payloads(run, "inbox") == accepted
            # What came too late for the code is in the log nevertheless.
            assert run.result() in ([], accepted)
            check(run)


def test_cancel_against_completion() -> None:
    ends: Counter[str] = Counter()
    duels = Duels(workflows.listener, 1)
    for world, rounds in duels.fight(send("inbox", "a"), Run.cancel):
        world.run(*(run for run, *_ in rounds))
        for run, first, second in rounds:
            check(run)
            ends[run.status] += 1
            if run.status == "completed":
                assert run.result() == ["a"]
                assert first == "done"
            else:
                assert run.status == "cancelled"
                assert second == "done"
                assert types(run)[log.CANCEL_REQUESTED] == 1
    assert sum(ends.values()) == ROUNDS


def test_termination_against_completion() -> None:
    duels = Duels(workflows.listener, 1)
    for world, rounds in duels.fight(send("inbox", "a"), Run.terminate):
        world.run(*(run for run, *_ in rounds))
        for run, first, second in rounds:
            check(run)
            assert (run.status == "terminated") == (second == "done")
            if run.status == "completed":
                assert run.result() == ["a"]
            assert len(payloads(run, "inbox")) == (first == "done")


def _fall_due(world: World, runs: list[Run]) -> None:
    world.pass_time(3600)


def test_pause_against_a_timer() -> None:
    duels = Duels(nap, prepare=_fall_due)
    for world, rounds in duels.fight(Run.pause, lambda run: None):
        for run, first, _ in rounds:
            run.refresh_from_db()
            assert run.status in ("paused", "completed")
            assert (types(run)[log.RUN_PAUSED] == 1) == (run.status == "paused")
            if run.status == "paused":
                assert first == "done"
                assert types(run)[log.WAIT_COMPLETED] == 0
                run.resume()
        world.run(*(run for run, *_ in rounds))
        for run, *_ in rounds:
            assert run.result() == run.args[0]
            assert types(run)[log.WAIT_COMPLETED] == 1
            check(run)


def _pause(world: World, runs: list[Run]) -> None:
    for run in runs:
        run.pause()
    world.idle()


def test_two_who_resume_a_paused_run() -> None:
    duels = Duels(nap, prepare=_pause)
    for world, rounds in duels.fight(Run.resume, Run.resume):
        for run, *told in rounds:
            assert "done" in told
            assert set(told) <= {"done", "InvalidRunStateError"}
            # Both may have come before the run went on; the second changes nothing.
            assert 1 <= types(run)[log.RUN_RESUMED] <= told.count("done")
        world.run(*(run for run, *_ in rounds))
        for run, *_ in rounds:
            assert run.result() == run.args[0]
            check(run)


def test_pause_against_resume() -> None:
    """Nobody can say who was first; but the run is in one of the two states."""
    duels = Duels(nap, prepare=_pause)
    for world, rounds in duels.fight(Run.resume, Run.pause):
        for run, first, second in rounds:
            assert first == "done"
            run.refresh_from_db()
            assert run.status == ("paused" if second == "done" else "running")
            if run.status == "paused":
                run.resume()
        world.run(*(run for run, *_ in rounds))
        for run, *_ in rounds:
            assert run.result() == run.args[0]
            found = types(run)
            assert found[log.RUN_PAUSED] == found[log.RUN_RESUMED]
            check(run)


def _pay(world: World, runs: list[Run]) -> None:
    for run in runs:
        run.refresh_from_db()
        assert run.status == "failed"
        Ledger.objects.create(account=f"{run.args[0]}/paid")
    world.pass_time(1000 * 3600)


def test_retry_against_retention() -> None:
    """The run is there, open, with all its rows; or nothing of it is."""
    kept: Counter[bool] = Counter()
    duels = Duels(
        unpaid,
        prepare=_pay,
        # The time of one more run is over in each round.
        options=lambda number: {"retention": f"{1000 + number}h"},
        each_round=lambda world: world.pass_time(3600),
    )
    for world, rounds in duels.fight(Run.retry, lambda run: prune()):
        told = {run.pk: first for run, first, _ in rounds}
        left = list(Run.objects.filter(pk__in=told))
        world.run(*left)
        for run in left:
            assert told[run.pk] == "done"
            assert run.result() == run.args[0]
            assert types(run)[log.RUN_RETRIED] == 1
            check(run)
        gone = set(told) - {run.pk for run in left}
        for pk in gone:
            assert told[pk] == "WorkflowRunNotFoundError"
        for model in (Event, Step, Hook):
            assert not model.objects.filter(run_id__in=gone).exists()
        kept.update(pk in gone for pk in told)
    assert kept.total() == ROUNDS


def test_two_who_retry_a_run() -> None:
    duels = Duels(unpaid, prepare=_pay)
    for world, rounds in duels.fight(Run.retry, Run.retry):
        for _, *told in rounds:
            assert sorted(told) == ["InvalidRunStateError", "done"]
        world.run(*(run for run, *_ in rounds))
        for run, *_ in rounds:
            assert run.result() == run.args[0]
            assert types(run)[log.RUN_RETRIED] == 1
            check(run)
