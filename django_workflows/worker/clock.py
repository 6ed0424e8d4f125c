"""The database's time, without asking the database each time."""

from __future__ import annotations

import time
from typing import Protocol


class Clock(Protocol):
    """Tells the time in microseconds since the epoch."""

    def now_us(self) -> int: ...


class DatabaseClock:
    """Estimates the database's time from its last word, by this machine's pace.

    The machine's own idea of the time of day does not matter, only how fast it passes.
    """

    def __init__(self, database_us: int) -> None:
        self._offset_us = 0
        self.set(database_us)

    def set(self, database_us: int) -> None:
        """Take in what the database's clock said just now."""
        self._offset_us = database_us - time.monotonic_ns() // 1000

    def now_us(self) -> int:
        return time.monotonic_ns() // 1000 + self._offset_us
