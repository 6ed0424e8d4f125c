"""How often something may start, as people write it: ``"100/s"``, ``"5/10s"``."""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from django_workflows.core.durations import to_seconds

_RATE = re.compile(r"\s*([0-9]+)\s*/\s*(\S(?:.*\S)?)\s*")
_LONGEST_TEXT = 40
#: A start that comes late by no more than this share of the window does not lower the
#: rate; nor does one that comes late by more than so many seconds gain all of it back.
_TOLERANCE, _MOST_TOLERANCE = 0.01, 0.1


@dataclass(frozen=True, slots=True)
class Rate:
    """So many starts, at most, in any window of so many seconds; evenly spaced.

    Late starts may be made up for within a tolerance of 1 % of the window, 0.1 seconds
    at most. The spacing is that much wider, so that even then no window holds more.
    """

    count: int
    seconds: float

    @property
    def tolerance_us(self) -> int:
        return round(min(self.seconds * _TOLERANCE, _MOST_TOLERANCE) * 1e6)

    @property
    def interval_us(self) -> int:
        """Microseconds between two starts, rounded up."""
        return -(-(round(self.seconds * 1e6) + self.tolerance_us) // self.count)

    def next_us(self, last_us: int | None, now_us: int) -> int:
        """When the next start may be, in microseconds; not after `now_us` if now.

        `last_us` is what the last `take` returned, by whatever rate; None before it.
        """
        if last_us is None:
            return now_us
        return max(last_us + self.interval_us, now_us - self.tolerance_us)

    def take(
        self, last_us: int | None, now_us: int, wanted: int
    ) -> tuple[int, int | None]:
        """How many of `wanted` may start now, and as when the last of them counts."""
        due_us = self.next_us(last_us, now_us)
        allowed = min(wanted, (now_us - due_us) // self.interval_us + 1)
        if allowed <= 0:
            return 0, last_us
        return allowed, due_us + (allowed - 1) * self.interval_us


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
        if 0 < count <= 1_000_000 and seconds > 0:
            return Rate(count, seconds)
    raise _nonsense(text)


def _nonsense(text: Any) -> ValueError:
    return ValueError(
        f'not a rate: {text!r}; write it like "100/s", "5/10s", "100/m" or "1000/h"'
    )
