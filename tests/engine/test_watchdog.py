"""The watchdog of bursts: whenever it comes, nothing but the run's burst is hurt."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from django_workflows import create_hook, resume_hook, sleep, start, workflow
from django_workflows.models import Run
from django_workflows.replay.events import LogEvent
from django_workflows.replay.execution import Execution
from django_workflows.testing import WorkflowTester
from django_workflows.worker import process
from django_workflows.worker.owned import OwnedRun
from django_workflows.worker.process import WorkerProcess
from tests.clocks import LeapingClock
from tests.cluster.harness import until

pytestmark = [
    pytest.mark.django_db(transaction=True),
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
]

HOUR = 3600.0


@workflow
async def naps() -> str:
    await sleep(0.01)
    return "rested"


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> LeapingClock:
    """The worker's: what takes too long does so by its leaps alone."""
    clock = LeapingClock()
    monkeypatch.setattr(process, "time", clock)
    return clock


@pytest.fixture
def worker(settings: Any, clock: LeapingClock) -> Iterator[WorkerProcess]:
    settings.WORKFLOWS = {
        "LINGER": "50ms",
        "SLICE": "1000h",
        "BURST_TIMEOUT": "1h",
        "LEASE": "1000h",
    }
    worker = WorkerProcess(("default",))
    yield worker
    worker.shutdown(5)


def work_until_ended(worker: WorkerProcess, *runs: Run) -> None:
    def ended() -> bool:
        worker.work()
        for run in runs:
            run.refresh_from_db()
        return all(run.is_closed or run.blocked_reason for run in runs)

    until(ended, "the end of all runs")


@pytest.fixture
def look(worker: WorkerProcess, monkeypatch: pytest.MonkeyPatch) -> Callable[[], None]:
    """Waits until the watchdog has looked at what goes on by now."""
    looks = [0]
    beat = worker.heartbeats.check

    def check(*given: Any) -> None:
        looks[0] += 1
        beat(*given)

    monkeypatch.setattr(worker.heartbeats, "check", check)

    def wait() -> None:
        seen = looks[0]
        until(lambda: looks[0] > seen + 1, "a whole look")

    return wait


@pytest.mark.parametrize("method", ["advance", "load"])
def test_interruption_after_the_code_blocks_the_run_and_nothing_else(
    worker: WorkerProcess,
    clock: LeapingClock,
    method: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The time is over when the code is through, and its results are being kept."""
    slow, quick = start(naps), start(naps)
    original = getattr(OwnedRun, method)

    def and_dawdle(run: OwnedRun, *given: Any) -> None:
        original(run, *given)
        if run.id == slow.pk:
            until(lambda: clock.advance(HOUR / 10), "the interruption of this")

    monkeypatch.setattr(OwnedRun, method, and_dawdle)
    worker.work()
    monkeypatch.setattr(OwnedRun, method, original)
    work_until_ended(worker, slow, quick)
    assert quick.result() == "rested"
    assert "BURST_TIMEOUT" in slow.blocked_reason
    assert slow.owner == ""


def test_burst_is_not_interrupted_for_what_the_whole_process_stood_still(
    worker: WorkerProcess,
    clock: LeapingClock,
    look: Callable[[], None],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Suspended, stopped by a signal, or on a machine that is paused."""
    run = start(naps)
    burst = Execution.burst

    def paused(execution: Execution, event: LogEvent) -> None:
        burst(execution, event)
        look()
        clock.advance(5 * HOUR)
        look()

    monkeypatch.setattr(Execution, "burst", paused)
    work_until_ended(worker, run)
    assert run.blocked_reason == ""
    assert run.result() == "rested"


def test_long_round_of_short_bursts_is_no_stuck_reactor(
    worker: WorkerProcess,
    clock: LeapingClock,
    look: Callable[[], None],
    settings: Any,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A round may take longer than a lease, if many runs are due on a slow machine."""
    settings.WORKFLOWS |= {"LEASE": "1h", "BURST_TIMEOUT": "1000h"}
    ends: list[int] = []
    monkeypatch.setattr(os, "_exit", ends.append)
    runs = [start(naps) for _ in range(4)]
    advance = OwnedRun.advance

    def slowly(run: OwnedRun, now_us: int) -> None:
        clock.advance(HOUR / 3)
        look()
        advance(run, now_us)

    monkeypatch.setattr(OwnedRun, "advance", slowly)
    work_until_ended(worker, *runs)
    assert ends == []
    assert {run.result() for run in runs} == {"rested"}

    def stuck(run: OwnedRun, now_us: int) -> None:
        clock.advance(2 * HOUR)
        look()

    monkeypatch.setattr(OwnedRun, "advance", stuck)
    start(naps)
    worker.work()
    assert set(ends) == {70}


@workflow
async def naps_often() -> str:
    for _ in range(5):
        await sleep(0.001)
    return str(await create_hook(token="morning"))


def test_long_replay_of_short_bursts_is_no_endless_one(
    worker: WorkerProcess,
    clock: LeapingClock,
    look: Callable[[], None],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """However long its log is: each burst has the time that one may take."""
    with WorkflowTester() as kit:
        run = kit.start(naps_often)
        kit.run_until_idle()
        kit.advance("1s")
    resume_hook("morning", "rested")
    burst = Execution.burst

    def slowly(execution: Execution, event: LogEvent) -> None:
        clock.advance(HOUR / 4)
        look()
        burst(execution, event)

    monkeypatch.setattr(Execution, "burst", slowly)
    work_until_ended(worker, run)
    assert run.blocked_reason == ""
    assert run.result() == "rested"
