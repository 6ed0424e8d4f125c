"""What every workload gets: the caller's side, the clusters and the report."""

from __future__ import annotations

import random
import time
import uuid
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from benchmarks.fleet import Fleet
from benchmarks.output import Report
from benchmarks.workflows import hop, seq10
from django_workflows import HookNotFoundError, get_hook_by_token, start
from django_workflows.models import Run
from django_workflows.replay.definitions import Workflow

#: Longest time to wait for a run, in seconds.
PATIENCE = 300.0


@dataclass(frozen=True)
class Sizes:
    """How much of each workload is done; the defaults are those of the peers."""

    latencies: int = 20
    fans: int = 5
    at_once: int = 200
    sleepers: int = 1000
    long: int = 1000
    recorded: int = 3334
    started: int = 1000
    paced_seconds: int = 10
    narrow: int = 500
    chunks: int = 20_000
    tokens: int = 100
    writers: int = 50
    megabytes: int = 100
    crowd: int = 500
    stored: tuple[int, ...] = (1_000, 10_000, 100_000)
    listed: int = 1_000_000

    @classmethod
    def quick(cls) -> Sizes:
        """A smoke run: proves that everything works, measures little."""
        return cls(
            5, 2, 20, 50, 200, 334, 100, 2, 50, 500, 20, 5, 5, 20, (100, 1_000), 10_000
        )


@dataclass
class Bench:
    """One benchmark of one database.

    `idle` is the pause in seconds before each latency is taken.
    """

    fleet: Fleet
    report: Report
    sizes: Sizes
    idle: float
    #: What took longer than it may.
    complaints: list[str] = field(default_factory=list)
    _random: random.Random = field(default_factory=lambda: random.Random(7))

    def settle(self, seconds: float | None = None) -> None:
        """Let the workers become idle; a random part avoids being in phase."""
        time.sleep(
            (self.idle if seconds is None else seconds) + self._random.random() * 0.02
        )

    def run(self, workflow: Workflow[..., Any], *args: Any) -> Any:
        """Start a run and wait until the caller sees its result."""
        return self.result(start(workflow, *args))

    def result(self, run: Run) -> Any:
        """The result of a run. Raises what the run raised, or `TimeoutError`."""
        return run.result(timeout=PATIENCE)

    def timed(self, workflow: Workflow[..., Any], *args: Any) -> float:
        """Seconds from the start of a run to its result, from idle."""
        self.settle()
        began = time.perf_counter()
        self.run(workflow, *args)
        return time.perf_counter() - began

    def warm_up(self) -> None:
        """Wait until the clusters work. Raises `RuntimeError` if one has ended."""
        run = start(hop)
        until("the clusters to work", lambda: self._has_ended(run))
        for _ in range(3):
            self.run(seq10)

    def _has_ended(self, run: Run) -> bool:
        self.fleet.check()
        try:
            run.result(timeout=0.5)
        except TimeoutError:
            return False
        return True

    def await_hook(self, token: str) -> None:
        """Wait until a run waits for this token."""

        def is_there() -> bool:
            try:
                get_hook_by_token(token)
            except HookNotFoundError:
                return False
            return True

        until(f"hook {token}", is_there, interval=0.01)


def new_token() -> str:
    """A hook token that nobody else uses."""
    return f"benchmarks:{uuid.uuid4().hex}"


def until(
    what: str,
    condition: Callable[[], bool],
    *,
    interval: float = 0.0,
    limit: float = PATIENCE,
) -> None:
    """Wait for a condition; raises `TimeoutError` after `limit` seconds."""
    deadline = time.monotonic() + limit
    while not condition():
        if time.monotonic() > deadline:
            raise TimeoutError(f"waited {limit:.0f} s for {what}")
        time.sleep(interval)
