"""Clocks that tests move by hand: however long anything takes, only what shall be late
is."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from types import ModuleType
from unittest.mock import patch

from django_workflows.testing import inline
from django_workflows.worker import deadlines, pulse


class HandClock:
    """Stands in for the module `time`: stands still until it is told to `advance`."""

    def __init__(self) -> None:
        self.now = 1000.0

    def monotonic(self) -> float:
        return self.now

    def advance(self, seconds: float) -> None:
        self.now += seconds

    def sleep(self, seconds: float) -> None:
        self.advance(seconds)


class LeapingClock:
    """Stands in for the module `time`: goes as it does, and leaps when told to."""

    sleep = staticmethod(time.sleep)

    def __init__(self) -> None:
        self._ahead = 0.0

    def monotonic(self) -> float:
        return time.monotonic() + self._ahead

    def advance(self, seconds: float) -> None:
        self._ahead += seconds


@contextmanager
def clock_by_hand(*modules: ModuleType) -> Iterator[HandClock]:
    """The clock of these modules."""
    clock = HandClock()
    with ExitStack() as patches:
        for module in modules:
            patches.enter_context(patch.object(module, "time", clock))
        yield clock


@contextmanager
def attempt_clock_by_hand() -> Iterator[HandClock]:
    """The clock by which attempts of steps are too late, or too long silent, in workers
    of this process and in the testing kit.

    It is advanced by the code of the steps, or by the test. Whoever waits for a
    time-out waits as long as that in real time before it looks at this clock again:
    time-outs that shall happen should be short.
    """
    with clock_by_hand(deadlines, inline, pulse) as clock:
        yield clock
