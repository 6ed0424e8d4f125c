"""People start runs, send to them and steer them while workers race for them."""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Callable

import pytest
from django.db import connections, transaction
from django.db.utils import OperationalError

from django_workflows import resume_hook, start
from django_workflows.errors import HookNotFoundError, InvalidRunStateError
from django_workflows.models import Run
from django_workflows.store import control
from tests.app.models import Ledger
from tests.faults import checks, workflows
from tests.faults.driver import Node, World, state

pytestmark = pytest.mark.django_db(transaction=True)

RUNS = 24
#: Seconds, for all of them on a busy machine.
LONGEST = 240
#: What people do, and how often.
WEIGHTS = {
    "send": 6,
    "send two": 3,
    "cancel": 1,
    "terminate": 1,
    "pause": 2,
    "resume": 4,
    "wake": 1,
    "wait": 3,
}


def _in_threads(*jobs: Callable[[], None]) -> None:
    """Run jobs at once; raise what the first of them raised."""
    errors: list[BaseException] = []

    def work(job: Callable[[], None]) -> None:
        try:
            job()
        except BaseException as error:
            errors.append(error)
        finally:
            connections.close_all()

    threads = [threading.Thread(target=work, args=(job,)) for job in jobs]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(LONGEST)
        assert not thread.is_alive()
    if errors:
        raise errors[0]


def _steer(world: World, runs: list[Run], seed: int) -> None:
    """Do something to runs at random until all have ended."""
    dice = random.Random(seed)
    deadline = time.monotonic() + LONGEST
    while not world.ended(runs):
        assert time.monotonic() < deadline, state(runs)
        run = dice.choice(runs)
        (what,) = dice.choices(list(WEIGHTS), list(WEIGHTS.values()))
        try:
            if what == "send":
                resume_hook(f"{run.args[0]}/approval", "approved")
            elif what == "send two":
                # In any order: two transactions that want the same two hooks.
                with transaction.atomic():
                    for other in dice.sample(runs, 2):
                        resume_hook(f"{other.args[0]}/approval", "approved")
                        time.sleep(0.001)
            elif what == "cancel":
                Run.objects.get(pk=run.pk).cancel()
            elif what == "terminate":
                control.terminate(Run.objects.get(pk=run.pk))
            elif what == "pause":
                Run.objects.get(pk=run.pk).pause()
            elif what == "resume":
                Run.objects.get(pk=run.pk).resume()
            elif what == "wake":
                Run.objects.get(pk=run.pk).wake()
            else:
                time.sleep(0.005)
        except (HookNotFoundError, InvalidRunStateError):
            continue


def _work(node: Node, done: Callable[[], bool]) -> None:
    while not done():
        node.turn()


def _pass_time(world: World, done: Callable[[], bool]) -> None:
    while not done():
        world.pass_time(0.01)
        time.sleep(0.01)


@pytest.mark.parametrize("seed", range(3))
def test_steering_and_working_do_not_get_in_each_others_way(seed: int) -> None:
    """No deadlock, no error for the callers, one end for each run, and it is last."""
    over = threading.Event()
    with World(nodes=2) as world:
        accounts = [f"s{seed}-{number}" for number in range(RUNS)]
        runs = [start(workflows.busy, account) for account in accounts]

        def steer(number: int) -> None:
            try:
                _steer(world, runs, seed * 10 + number)
            finally:
                over.set()

        _in_threads(
            lambda: steer(1),
            lambda: steer(2),
            lambda: _work(world.nodes[0], over.is_set),
            lambda: _work(world.nodes[1], over.is_set),
            lambda: _pass_time(world, over.is_set),
        )
        world.idle()
    ends = set()
    for run, account in zip(runs, accounts, strict=True):
        run.refresh_from_db()
        ends.add(run.status)
        events = run.history()
        assert [e.seq for e in events] == list(range(1, len(events) + 1))
        assert [e.type for e in events].count(f"run_{run.status}") == 1
        assert events[-1].type == f"run_{run.status}"
        assert not run.hooks.exists()
        assert not run.steps.filter(status__in=("pending", "running")).exists()
        checks.check_stands_still(run)
        checks.check_replays(run)
        booked = Ledger.objects.filter(account=account).count()
        if run.status == "completed":
            assert run.result() == workflows.BUSY_RESULT
            assert booked == 3
        completed = [
            e for e in events if e.type == "step_completed" and _is_booking(run, e)
        ]
        assert len(completed) <= booked <= 3
    assert len(ends) > 1


def _is_booking(run: Run, event: object) -> bool:
    step_id = event.correlation_id  # type: ignore[attr-defined]
    return run.steps.filter(pk=step_id, name="faults.book").exists()


def test_two_callers_that_resume_two_hooks_in_both_orders_do_not_deadlock() -> None:
    with World() as world:
        runs = [start(workflows.listener, name, 20) for name in ("a", "b")]
        world.idle()
        barrier = threading.Barrier(2)

        def resume(*tokens: str) -> None:
            barrier.wait(LONGEST)
            for number in range(10):
                with transaction.atomic():
                    for token in tokens:
                        resume_hook(token, number)

        try:
            _in_threads(
                lambda: resume("a/inbox", "b/inbox"),
                lambda: resume("b/inbox", "a/inbox"),
            )
        except OperationalError as error:
            pytest.fail(str(error))
        world.run(*runs)
    for run in runs:
        assert sorted(run.result()) == sorted([*range(10), *range(10)])
        checks.check_log(run)
