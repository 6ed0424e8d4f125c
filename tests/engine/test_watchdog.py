"""The watchdog of bursts: whenever it comes, nothing but the run's burst is hurt."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from typing import Any

import pytest

from django_workflows import create_hook, resume_hook, sleep, start, workflow
from django_workflows.models import Run
from django_workflows.replay.events import LogEvent
from django_workflows.replay.execution import Execution
from django_workflows.testing import WorkflowTester
from django_workflows.worker.owned import OwnedRun
from django_workflows.worker.process import WorkerProcess

pytestmark = [
    pytest.mark.django_db(transaction=True),
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
]


@workflow
async def naps() -> str:
    await sleep(0.01)
    return "rested"


@pytest.fixture
def worker(settings: Any) -> Iterator[WorkerProcess]:
    settings.WORKFLOWS = {"LINGER": "50ms", "BURST_TIMEOUT": "1h"}
    worker = WorkerProcess(("default",))
    yield worker
    worker.shutdown(5)


def _wait_for_the_watchdog(worker: WorkerProcess, settings: Any) -> None:
    """Spend time in the burst that is noted until it is being interrupted."""
    settings.WORKFLOWS = {"BURST_TIMEOUT": "1ms"}
    try:
        for _ in range(2000):
            time.sleep(0.005)
    finally:
        settings.WORKFLOWS = {"LINGER": "50ms", "BURST_TIMEOUT": "1h"}


@pytest.mark.parametrize("method", ["advance", "load"])
def test_interruption_after_the_code_blocks_the_run_and_nothing_else(
    worker: WorkerProcess, settings: Any, method: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The time is over when the code is through, and its results are being kept."""
    slow, quick = start(naps), start(naps)
    original = getattr(OwnedRun, method)

    def and_dawdle(run: OwnedRun, *given: Any) -> None:
        original(run, *given)
        if run.id == slow.pk:
            _wait_for_the_watchdog(worker, settings)

    monkeypatch.setattr(OwnedRun, method, and_dawdle)
    worker.work()
    monkeypatch.setattr(OwnedRun, method, original)
    worker.work()
    assert quick.result(timeout=90) == "rested"
    stored = Run.objects.get(pk=slow.pk)
    assert "BURST_TIMEOUT" in stored.blocked_reason
    assert stored.owner == ""


def test_long_round_of_short_bursts_is_no_stuck_reactor(
    worker: WorkerProcess, settings: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A round may take longer than a lease, if many runs are due on a slow machine."""
    settings.WORKFLOWS = {"LINGER": "50ms", "LEASE": "400ms"}
    ends: list[int] = []
    monkeypatch.setattr(os, "_exit", ends.append)
    runs = [start(naps) for _ in range(8)]
    advance = OwnedRun.advance

    def slowly(run: OwnedRun, now_us: int) -> None:
        time.sleep(0.15)
        advance(run, now_us)

    monkeypatch.setattr(OwnedRun, "advance", slowly)
    worker.work()
    assert ends == []
    for run in runs:
        assert run.result(timeout=90) == "rested"
    monkeypatch.setattr(OwnedRun, "advance", lambda run, now_us: time.sleep(1))
    start(naps)
    worker.work()
    assert ends
    assert set(ends) == {70}


@workflow
async def naps_often() -> str:
    for _ in range(40):
        await sleep(0.001)
    return str(await create_hook(token="morning"))


def test_long_replay_of_short_bursts_is_no_endless_one(
    worker: WorkerProcess, settings: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """However long its log is: each burst has the time that one may take."""
    with WorkflowTester() as kit:
        run = kit.start(naps_often)
        kit.run_until_idle()
        kit.advance("1s")
    resume_hook("morning", "rested")
    burst = Execution.burst

    def slowly(execution: Execution, event: LogEvent) -> None:
        time.sleep(0.02)
        burst(execution, event)

    monkeypatch.setattr(Execution, "burst", slowly)
    settings.WORKFLOWS = {"LINGER": "50ms", "BURST_TIMEOUT": "400ms"}
    worker.work()
    assert run.result(timeout=90) == "rested"
