"""Crashes at chosen points of the engine, in the test's own process.

A crash is a KeyboardInterrupt, which nothing in the engine holds back; the test then
tells the kit that the worker is gone.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any
from unittest.mock import patch

from django_workflows.store.rounds import commit_round
from django_workflows.testing import WorkflowTester
from django_workflows.worker.running import run_async, run_sync

#: Points of the engine, in the order in which a step meets them.
POINTS = (
    "round.before_commit",
    "round.after_commit",
    "step.before_body",
    "step.after_body",
)

_bodies: set[str] = set()


class SimulatedCrash(KeyboardInterrupt):
    """The process is gone at this point."""


def crash_in_body(name: str) -> None:
    """Called by the body of a step: crash here, once, if `Crash.in_body` says so."""
    if name in _bodies:
        _bodies.discard(name)
        raise SimulatedCrash(name)


class Crash:
    """Where to crash."""

    @staticmethod
    @contextmanager
    def in_body(name: str) -> Iterator[None]:
        """Crash inside the body of a step that calls ``crash_in_body(name)``."""
        _bodies.add(name)
        try:
            yield
        except SimulatedCrash:
            return
        finally:
            _bodies.discard(name)
        raise AssertionError(f"the body of {name} was never reached")

    @staticmethod
    @contextmanager
    def at(point: str, visit: int = 1) -> Iterator[None]:
        """Crash when a point is reached for the `visit`-th time."""
        counter = Points(lambda found, number: (found, number) == (point, visit))
        try:
            with counter.watched():
                yield
        except SimulatedCrash:
            return
        raise AssertionError(f"{point} was reached {counter.visits(point)} times")


class Points:
    """Counts the visits of all points and crashes where `crashes` says so."""

    def __init__(self, crashes: Callable[[str, int], bool]) -> None:
        self._crashes = crashes
        self._visits: dict[str, int] = {}

    def visits(self, point: str) -> int:
        return self._visits.get(point, 0)

    def reach(self, point: str) -> None:
        self._visits[point] = self.visits(point) + 1
        if self._crashes(point, self._visits[point]):
            raise SimulatedCrash(f"{point} #{self._visits[point]}")

    @contextmanager
    def watched(self) -> Iterator[None]:
        """Reach the points as the engine does its work."""

        def commit(database: Any, worker_id: str, runs: Sequence[Any]) -> Any:
            self.reach("round.before_commit")
            outcome = commit_round(database, worker_id, runs)
            self.reach("round.after_commit")
            return outcome

        def sync_step(attempt: Any, *context: Any) -> Any:
            self.reach("step.before_body")
            ended = run_sync(attempt, *context)
            self.reach("step.after_body")
            return ended

        async def async_step(attempt: Any) -> Any:
            self.reach("step.before_body")
            ended = await run_async(attempt)
            self.reach("step.after_body")
            return ended

        with (
            patch("django_workflows.worker.commits.commit_round", commit),
            patch("django_workflows.testing.inline.run_sync", sync_step),
            patch("django_workflows.testing.inline.run_async", async_step),
        ):
            yield


def run_with_crashes(
    workflows: WorkflowTester,
    crashes: Callable[[str, int], bool],
    drive: Callable[[], Any],
) -> tuple[Any, Points]:
    """Call `drive` again and again until it gets through without a crash."""
    points = Points(crashes)
    with points.watched():
        while True:
            try:
                return drive(), points
            except SimulatedCrash:
                workflows.crash()
