"""Whole workers, with their threads, come and go in all ways while runs are under way.

Nothing here is simulated but the deaths: a worker that vanishes stops its heartbeat and
forgets all, and another one declares it dead.
"""

from __future__ import annotations

import random
import sys
import threading
import time
from collections.abc import Iterator

import pytest
from django.conf import settings
from django.db import connections

from django_workflows import resume_hook, start
from django_workflows.errors import HookNotFoundError
from django_workflows.models import Run, Worker
from django_workflows.store import sweep
from django_workflows.store.database import private_connection
from django_workflows.worker.process import WorkerProcess
from tests.cluster.harness import DEADLINE, until
from tests.faults import checks, workflows
from tests.faults.driver import state
from tests.faults.sampling import unless_all

pytestmark = [
    pytest.mark.slow,
    pytest.mark.django_db(transaction=True),
    pytest.mark.timeout(300),
    # Workers that give up do not tidy up; in a real process their end does.
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
]

RUNS = unless_all(20, 1000)
#: All workers share one process here, and so their bursts one interpreter.
SETTINGS = {
    "SLICE": "150ms",
    "LINGER": "20ms",
    "THREADS": 3,
    "LEASE": "60s",
    "BURST_TIMEOUT": "60s",
    # However many of them die before a step comes to its end on a busy machine.
    "MAX_STEP_CRASHES": 1000,
}


@pytest.fixture(autouse=True)
def _worker_settings(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    # Not overridden in Django's way, which hides the settings module from isolated
    # steps' processes.
    monkeypatch.setattr(settings, "WORKFLOWS", SETTINGS, raising=False)
    monkeypatch.setattr(sweep, "MAX_RUN_CRASHES", 1000)
    before = sys.getswitchinterval()
    # Some that serve requests stay until the process ends.
    others = set(threading.enumerate())
    yield
    sys.setswitchinterval(before)
    names = ("workflows", "employer")
    until(
        lambda: (
            not any(
                thread.name.startswith(names)
                for thread in set(threading.enumerate()) - others
            )
        ),
        "the end of all threads",
    )


class Employer(threading.Thread):
    """Hires one worker after the other and lets each go in a way of its own."""

    def __init__(self, seed: int, done: threading.Event) -> None:
        super().__init__(name=f"employer-{seed}", daemon=True)
        self._random = random.Random(seed)
        self._done = done
        self.ways: list[str] = []
        self.error: BaseException | None = None

    def run(self) -> None:
        try:
            while not self._done.is_set():
                self._employ()
        except BaseException as error:
            self.error = error
        finally:
            connections.close_all()

    def _employ(self) -> None:
        worker = WorkerProcess(("default",))
        # Longer and longer: a step whose worker died begins in a process of its own,
        # and on a busy machine that takes its time.
        life = self._random.uniform(0.2, 1.5) * 1.1 ** len(self.ways)
        end = time.monotonic() + life
        while time.monotonic() < end and not self._done.is_set():
            worker.work()
        way = self._random.choice(["retires", "is cut off", "gives up", "vanishes"])
        self.ways.append(way)
        if way == "retires":
            worker.shutdown(60)
        elif way == "is cut off":
            worker.shutdown(0)
        elif way == "gives up":
            worker.give_up()
        else:
            worker.reactor.forget_all()
            worker.abandon()
            _declare_dead(worker.id)


def _declare_dead(worker_id: str) -> None:
    """As a sweep does that has watched it for long enough: its last beat may come."""
    database = private_connection()
    try:
        until(
            lambda: sweep.declare_dead(
                database, worker_id, Worker.objects.get(pk=worker_id).beat
            ),
            "the death of the worker",
        )
    finally:
        database.close()


def _outside(accounts: list[str], employers: list[Employer]) -> None:
    """What the world does: sends each run its payload once it has a hook, and sweeps.

    Returns when all runs have ended.
    """
    left = set(accounts)
    deadline = time.monotonic() + 200
    while Run.objects.open().exists():
        for account in list(left):
            try:
                resume_hook(f"{account}/approval", "approved")
            except HookNotFoundError:
                continue
            left.remove(account)
        sweep.free_left_over(connections["default"])
        assert time.monotonic() < deadline, state(list(Run.objects.open()[:5]))
        assert not [employer.error for employer in employers if employer.error]
        time.sleep(0.02)


@pytest.mark.parametrize("seed", range(10 if RUNS > 100 else 2))
def test_workers_come_and_go(seed: int) -> None:
    accounts = [f"churn{number}" for number in range(RUNS)]
    runs = [start(workflows.busy, account) for account in accounts]
    done = threading.Event()
    employers = [Employer(seed * 10 + number, done) for number in range(2)]
    for employer in employers:
        employer.start()
    try:
        _outside(accounts, employers)
    finally:
        done.set()
    for employer in employers:
        employer.join(DEADLINE)
        assert not employer.is_alive()
        assert employer.error is None
    for run, account in zip(runs, accounts, strict=True):
        assert run.result() == workflows.BUSY_RESULT
        checks.check_log(run)
        checks.check_effects(run, account, [1, 2, 4])
        checks.check_replays(run)
