"""When something is due again and again: cron expressions, intervals, single times.

Points in time are whole microseconds since the epoch.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta, tzinfo
from hashlib import sha256
from typing import Protocol
from zoneinfo import ZoneInfo

from cronsim import CronSim, CronSimError

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)
_SECOND = timedelta(seconds=1)
_DAY = timedelta(days=1)
#: The end of the calendar, less a day for zones.
_LAST_US = (datetime(9999, 12, 31, tzinfo=UTC) - _EPOCH) // _MICROSECOND


#: A range of one, with a step: the library takes it for "from there to the end".
_ONE_WITH_STEP = re.compile(r"\b(\w+)-\1/\d+", re.IGNORECASE)


class Times(Protocol):
    """Points in time."""

    def after(self, us: int) -> int | None:
        """The first of them that is later than `us`; None if there is none."""


@dataclass(frozen=True)
class Once:
    """One point in time."""

    us: int

    def after(self, us: int) -> int | None:
        return self.us if self.us > us else None


@dataclass(frozen=True)
class Interval:
    """Every so many microseconds, counted from the epoch, which `offset_us` moves."""

    every_us: int
    offset_us: int = 0

    def after(self, us: int) -> int | None:
        past = (us - self.offset_us) // self.every_us
        found = (past + 1) * self.every_us + self.offset_us
        return found if found <= _LAST_US else None


@dataclass(frozen=True)
class Cron:
    """A cron expression of five fields, by the clocks on the wall in a time zone.

    A time that clocks skip is due once, right after the gap; one that they show twice
    is due at its first occurrence. With an hour that begins with a star every real
    hour counts instead: skipped times are not due, and repeated ones are due twice.
    """

    expression: str
    zone: ZoneInfo

    def after(self, us: int) -> int | None:
        # The library knows the fields, and the calendar without any zone.
        search = self._after_real if self._has_any_hour else self._after_shown
        try:
            found = search(_EPOCH + us * _MICROSECOND)
        except (StopIteration, OverflowError):
            return None
        return (found - _EPOCH) // _MICROSECOND

    @property
    def _has_any_hour(self) -> bool:
        return self.expression.split()[1].startswith("*")

    def _after_shown(self, moment: datetime) -> datetime:
        times = CronSim(self.expression, self._shown(moment))
        while (found := self._first(next(times))) <= moment:
            pass
        return found

    def _after_real(self, moment: datetime) -> datetime:
        shown = self._shown(moment)
        while True:
            found = next(CronSim(self.expression, shown))
            found = (found - _offset(self.zone, moment)).replace(tzinfo=UTC)
            change = change_of_clocks(self.zone, moment, found)
            if change is None:
                return found
            # Clocks are set before that: look on from what they show then, itself too.
            moment, shown = change, self._shown(change) - _SECOND

    def _first(self, shown: datetime) -> datetime:
        """When clocks show this first, or right after the gap it lies in."""
        first = shown.replace(tzinfo=self.zone).astimezone(UTC)
        if self._shown(first) == shown:
            return first
        before_gap = shown.replace(tzinfo=self.zone, fold=1).astimezone(UTC)
        return change_of_clocks(self.zone, before_gap, first) or first

    def _shown(self, moment: datetime) -> datetime:
        return moment.astimezone(self.zone).replace(tzinfo=None)


def parse_cron(expression: str, timezone: str) -> Cron:
    """A cron expression in a time zone. Raises ValueError naming what is wrong."""
    fields = expression.split()
    if len(fields) != 5:
        raise ValueError(
            f"the cron expression {expression!r} has {len(fields)} fields; it takes "
            "five: minute, hour, day of month, month, day of week"
        )
    try:
        CronSim(expression, datetime(2000, 1, 1))  # noqa: DTZ001
    except (CronSimError, ValueError) as error:
        raise ValueError(f"the cron expression {expression!r}: {error}") from None
    return Cron(_ONE_WITH_STEP.sub(r"\1", expression), find_zone(timezone))


def change_of_clocks(zone: tzinfo, begin: datetime, end: datetime) -> datetime | None:
    """When clocks are set for the first time in (begin, end]; None if never."""
    offset = _offset(zone, begin)
    while begin < end:
        later = min(end, begin + _DAY)
        if _offset(zone, later) != offset:
            while later - begin > _MICROSECOND:
                middle = begin + (later - begin) // 2
                if _offset(zone, middle) == offset:
                    begin = middle
                else:
                    later = middle
            return later
        begin = later
    return None


def _offset(zone: tzinfo, moment: datetime) -> timedelta:
    return moment.astimezone(zone).utcoffset() or timedelta()


def find_zone(name: str) -> ZoneInfo:
    """The time zone of this name. Raises ValueError if there is none."""
    try:
        return ZoneInfo(name)
    except (KeyError, ValueError, OSError, TypeError):
        raise ValueError(
            f'there is no time zone {name!r}; names are those of IANA: "Europe/Berlin"'
        ) from None


def spread(seed: str, seconds: float) -> int:
    """Microseconds from 0 to `seconds`, the same ones for the same seed."""
    part = int.from_bytes(sha256(seed.encode()).digest()[:8]) / 2**64
    return int(part * seconds * 1_000_000)
