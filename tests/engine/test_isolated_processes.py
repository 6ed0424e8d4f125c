"""The processes of isolated steps end with their worker, whatever they are doing."""

from __future__ import annotations

import threading
from types import SimpleNamespace
from typing import Any

import pytest

from django_workflows.worker import isolation
from django_workflows.worker.isolation import IsolatedProcesses
from tests.cluster.harness import DEADLINE, until

made: list[Child] = []


class Child:
    """Stands for a process: it works until it is told to end, or is killed."""

    def __init__(self) -> None:
        self.is_alive = True
        self.begun, self.over = threading.Event(), threading.Event()
        self.ways: list[str] = []
        made.append(self)

    def run(self, attempt: Any, begun: Any) -> str:
        self.begun.set()
        assert self.over.wait(DEADLINE)
        return "ended"

    def kill(self) -> None:
        self.ways.append("killed")
        self.is_alive = False
        self.over.set()

    def close(self) -> None:
        self.ways.append("closed")
        self.is_alive = False


@pytest.fixture
def processes(monkeypatch: pytest.MonkeyPatch) -> IsolatedProcesses:
    made.clear()
    monkeypatch.setattr(isolation, "IsolatedProcess", Child)
    return IsolatedProcesses(1)


def _submit(processes: IsolatedProcesses, ends: list[Any]) -> None:
    attempt: Any = SimpleNamespace(pulse=SimpleNamespace(stopped=False))
    processes.submit(attempt, lambda attempt: None, ends.append)


def _wait_for_threads() -> None:
    for thread in threading.enumerate():
        if thread.name == "workflows-isolated":
            thread.join(DEADLINE)
            assert not thread.is_alive()


def test_child_at_work_is_killed_and_what_waits_is_dropped(
    processes: IsolatedProcesses,
) -> None:
    ends: list[Any] = []
    _submit(processes, ends)
    _submit(processes, ends)
    until(lambda: made, "a child")
    assert made[0].begun.wait(DEADLINE)
    processes.close()
    _submit(processes, ends)
    _wait_for_threads()
    (child,) = made
    assert child.ways[0] == "killed"
    assert len(ends) == 1


def test_idle_child_is_closed(processes: IsolatedProcesses) -> None:
    ends: list[Any] = []
    _submit(processes, ends)
    until(lambda: made, "a child")
    made[0].over.set()
    _wait_for_threads()
    assert ends == ["ended"]
    assert made[0].is_alive
    processes.close()
    assert made[0].ways == ["closed"]


def test_child_that_ends_its_work_in_that_moment_is_closed_too(
    processes: IsolatedProcesses, monkeypatch: pytest.MonkeyPatch
) -> None:
    ends: list[Any] = []
    monkeypatch.setattr(Child, "kill", lambda child: child.over.set())
    _submit(processes, ends)
    until(lambda: made, "a child")
    assert made[0].begun.wait(DEADLINE)
    processes.close()
    _wait_for_threads()
    assert made[0].ways == ["closed"]
