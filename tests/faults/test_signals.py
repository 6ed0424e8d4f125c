"""Signals when workers die, and when receivers are slow."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from django.dispatch import Signal

from django_workflows import signals, start
from django_workflows.models import Run
from django_workflows.store import announcements
from django_workflows.store.announcements import News
from django_workflows.worker.process import WorkerProcess
from tests.cluster.harness import DEADLINE
from tests.faults import workflows
from tests.faults.driver import Crash, World
from tests.faults.sampling import sample

pytestmark = pytest.mark.django_db(transaction=True)

told: list[tuple[str, ...]] = []


def _hear_start(run_id: str, **_: Any) -> None:
    told.append(("started", run_id))


def _hear_step(run_id: str, step_id: str, status: str, **_: Any) -> None:
    told.append((status, run_id, step_id))


def _hear_end(run_id: str, status: str, run: Run, **_: Any) -> None:
    assert run.status == status
    told.append((status, run_id))


@pytest.fixture(autouse=True)
def _listening() -> Iterator[None]:
    told.clear()
    receivers: dict[Signal, Callable[..., None]] = {
        signals.run_started: _hear_start,
        signals.step_finished: _hear_step,
        signals.run_finished: _hear_end,
    }
    for signal, receiver in receivers.items():
        signal.connect(receiver)
    yield
    for signal, receiver in receivers.items():
        signal.disconnect(receiver)


def _in_the_log(run: Run) -> list[tuple[str, ...]]:
    """What there is to tell, by the run's log."""
    entries: list[tuple[str, ...]] = []
    for event in run.history():
        if event.type in ("run_started", "run_completed"):
            entries.append((event.type.removeprefix("run_"), run.pk))
        elif event.type in ("step_completed", "step_failed"):
            entries.append(("completed", run.pk, event.correlation_id))
    return entries


def test_crash_tells_at_most_once_and_only_what_is_stored() -> None:
    positions = Crash()
    with World() as world:
        world.on_point = positions
        world.run(start(workflows.short, "none"))
    lost = 0
    tried = sample(len(positions.passed), 3)
    for position in tried:
        told.clear()
        with World() as world:
            world.on_point = Crash(position)
            run = start(workflows.short, f"crash{position}")
            world.run(run)
        stored = _in_the_log(run)
        assert len(set(told)) == len(told)
        assert set(told) <= set(stored)
        lost += len(stored) - len(told)
    assert 0 < lost < len(tried)


def test_all_is_told_in_order_without_crashes() -> None:
    with World(nodes=2) as world:
        runs = [start(workflows.short, f"all{number}") for number in range(5)]
        world.run(*runs)
    for run in runs:
        assert [entry for entry in told if entry[1] == run.pk] == _in_the_log(run)


def test_background_sends_in_order_and_waits_for_slow_receivers() -> None:
    run = start(workflows.short, "background")
    may_go_on = threading.Event()
    threads: list[str] = []

    def slow(**_: Any) -> None:
        threads.append(threading.current_thread().name)
        may_go_on.wait(DEADLINE)
        raise RuntimeError("and broken")

    signals.run_paused.connect(slow)
    try:
        with announcements.in_background():
            announcements.send([News(signals.run_paused, run.pk)])
            announcements.send([News(signals.run_started, run.pk)])
            assert not announcements.wait_until_sent(0.05)
            assert told == []
            may_go_on.set()
            assert announcements.wait_until_sent(DEADLINE)
        assert told == [("started", run.pk)]
        assert threads == ["signals"]
        announcements.send([News(signals.run_paused, run.pk)])
        assert threads[1:] == [threading.current_thread().name]
    finally:
        signals.run_paused.disconnect(slow)


def test_too_many_signals_are_dropped_and_logged(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(announcements, "LONGEST_QUEUE", 10)
    run = start(workflows.short, "flood")
    may_go_on = threading.Event()

    def slow(**_: Any) -> None:
        may_go_on.wait(DEADLINE)

    signals.run_paused.connect(slow)
    try:
        with announcements.in_background():
            for _ in range(20):
                announcements.send([News(signals.run_paused, run.pk)])
            may_go_on.set()
            assert announcements.wait_until_sent(DEADLINE)
    finally:
        signals.run_paused.disconnect(slow)
    assert "9 signals were not sent" in caplog.text


def test_worker_sends_on_a_thread_of_its_own() -> None:
    threads: set[str] = set()

    def hear(**_: Any) -> None:
        threads.add(threading.current_thread().name)

    run = start(workflows.listener, "worker", 0)
    worker = WorkerProcess(("default",))
    signals.run_finished.connect(hear)
    try:
        worker.work()
        worker.shutdown(DEADLINE)
    finally:
        signals.run_finished.disconnect(hear)
    assert run.result(timeout=DEADLINE) == []
    assert told == [("started", run.pk), ("completed", run.pk)]
    assert threads == {"signals"}
