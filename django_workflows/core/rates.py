"""How often something may start, as people write it: ``"100/s"``, ``"5/10s"``."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from django_workflows.core.durations import to_seconds

_RATE = re.compile(r"\s*([0-9]+)\s*/\s*(\S(?:.*\S)?)\s*")
_LONGEST_TEXT = 40
#: Seconds of the longest window: a year.
LONGEST_WINDOW = 366 * 86_400
#: Starts are remembered in so many parts of a window.
_PARTS = 250
#: Starts that come late are made up for as far as this share of the window goes, and
#: not more than so many seconds: more would be a burst, not a pace.
_TOLERANCE, _MOST_TOLERANCE = 0.05, 0.25


@dataclass(frozen=True, slots=True)
class Pace:
    """What a rate has to know of the starts so far. Times are in microseconds."""

    #: When the last start was due; it may have come later.
    due_us: int | None = None
    #: Times, oldest first, and how many starts there were since the one before.
    starts: tuple[tuple[int, int], ...] = ()

    def dump(self) -> str:
        return json.dumps([self.due_us, self.starts])

    @classmethod
    def load(cls, text: str) -> Pace:
        """The pace of a text from `dump`; of an empty one, or one that somebody has
        damaged, that of no starts."""
        if not text:
            return cls()
        try:
            due_us, starts = json.loads(text)
            pace = cls(due_us, tuple((time_us, count) for time_us, count in starts))
            return pace if pace._is_right() else cls()
        except (RecursionError, TypeError, ValueError):
            return cls()

    def _is_right(self) -> bool:
        numbers = [number for start in self.starts for number in start]
        numbers += [] if self.due_us is None else [self.due_us]
        return all(isinstance(number, int) for number in numbers)

    def is_over(self, before_us: int) -> bool:
        """Whether all starts were before that time."""
        times = [time_us for time_us, _ in self.starts[-1:]]
        times += [] if self.due_us is None else [self.due_us]
        return max(times, default=before_us - 1) < before_us


@dataclass(frozen=True, slots=True)
class Rate:
    """So many starts, at most, in any window of so many seconds; evenly spaced."""

    count: int
    seconds: float

    @property
    def window_us(self) -> int:
        return max(1, round(self.seconds * 1e6))

    @property
    def tolerance_us(self) -> int:
        return round(min(self.seconds * _TOLERANCE, _MOST_TOLERANCE) * 1e6)

    @property
    def interval_us(self) -> int:
        """Microseconds between two starts, rounded up."""
        return -(-self.window_us // self.count)

    def next_us(self, pace: Pace, now_us: int) -> int:
        """When the next start may be, in microseconds; not after `now_us` if now."""
        due_us = now_us
        if pace.due_us is not None:
            due_us = max(pace.due_us + self.interval_us, now_us - self.tolerance_us)
        # The window that ends with the next start holds at most `count` with it.
        room, window_us = self.count - 1, self.window_us
        for time_us, count in reversed(pace.starts):
            if time_us + window_us <= due_us:
                break
            room -= count
            if room < 0:
                return max(due_us, time_us + window_us)
        return due_us

    def take(self, pace: Pace, now_us: int) -> Pace | None:
        """The pace after a start now; None if it may not be yet."""
        due_us = self.next_us(pace, now_us)
        if due_us > now_us:
            return None
        window_us = self.window_us
        part_us = max(1, window_us // _PARTS)
        starts = [one for one in pace.starts if one[0] + window_us > now_us]
        count = 1
        if starts and starts[-1][0] // part_us == now_us // part_us:
            count += starts.pop()[1]
        return Pace(due_us, (*starts, (now_us, count)))


def parse_rate(text: Any) -> Rate:
    """The rate that a text such as ``"100/s"``, ``"5/10s"`` or ``"1000/h"`` means.

    The window is a duration; a unit alone is one of it. Raises ValueError naming the
    text for anything else.
    """
    if not isinstance(text, str):
        raise _nonsense(text)
    return _parse(text)


@lru_cache(maxsize=1024)
def _parse(text: str) -> Rate:
    match = _RATE.fullmatch(text)
    if match is not None and len(text) <= _LONGEST_TEXT:
        count, window = int(match[1]), match[2]
        try:
            seconds = to_seconds(window if window[0] in "0123456789P" else f"1{window}")
        except ValueError:
            seconds = 0.0
        if 0 < count <= 1_000_000 and 0 < seconds <= LONGEST_WINDOW:
            return Rate(count, seconds)
    raise _nonsense(text)


def _nonsense(text: Any) -> ValueError:
    return ValueError(
        f'not a rate: {text!r}; write it like "100/s", "5/10s", "100/m" or "1000/h", '
        "up to a million in a year"
    )
