"""The times that schedules have next, and what happens when clocks are set."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta, tzinfo
from itertools import islice

from django.utils import timezone
from django.utils.formats import date_format

from django_workflows.core.ticks import change_of_clocks, find_zone
from django_workflows.models import Schedule
from django_workflows.store.database import (
    connection,
    database_time,
    to_datetime,
    to_us,
)
from django_workflows.store.schedules import times_from

#: Times that are shown.
COUNT = 10
#: How far we look for the next change of clocks.
_AHEAD = timedelta(days=366)
#: Minutes before and after it: the first window counts in which all times can be shown.
_WINDOWS = (1440, 360, 90, 30, 4)
_MICROSECOND = timedelta(microseconds=1)


@dataclass(frozen=True, slots=True)
class Time:
    """A point in time as clocks show it, and what the reader's clocks show, if that is
    something else; `is_set` if clocks were set since the time before."""

    clock: str
    offset: str
    here: str
    is_set: bool


@dataclass(frozen=True, slots=True)
class Change:
    """Clocks are set, from which time to which, and the times around that."""

    before: str
    after: str
    times: list[Time]


@dataclass(frozen=True, slots=True)
class Preview:
    """What a schedule will do."""

    zone: str
    next: list[Time]
    change: Change | None


def preview_of(schedule: Schedule) -> Preview:
    """What a schedule does next, saved or not, and when clocks are set. Raises
    ValueError for one that makes no sense, as only damaged rows do."""
    zone = _zone(schedule)
    change = None
    if schedule.cron is not None:
        now = to_datetime(database_time(connection()))
        moment = change_of_clocks(zone, now, now + _AHEAD)
        if moment is not None:
            change = _around(schedule, zone, moment)
    return Preview(str(zone), _shown(schedule.next_runs(COUNT), zone), change)


def show_times(schedule: Schedule, times: Iterable[int]) -> list[Time]:
    """Times of a schedule, in microseconds, for people."""
    moments = list(map(to_datetime, times))
    return _shown(moments, _zone(schedule)) if moments else []


def _zone(schedule: Schedule) -> tzinfo:
    """Whose clocks count, or else the reader's."""
    if schedule.cron is not None:
        return find_zone(schedule.timezone)
    return timezone.get_current_timezone()


def _around(schedule: Schedule, zone: tzinfo, moment: datetime) -> Change:
    times: list[int] = []
    for minutes in _WINDOWS:
        window = timedelta(minutes=minutes)
        found = times_from(schedule, to_us(moment - window) - 1)
        until = to_us(moment + window)
        times = [us for us in islice(found, COUNT + 1) if us <= until]
        if len(times) <= COUNT:
            break
    before, after = (each.astimezone(zone) for each in (moment - _MICROSECOND, moment))
    # What clocks would show if they were not set.
    unset = (before.replace(tzinfo=None) + _MICROSECOND).replace(tzinfo=before.tzinfo)
    return Change(
        f"{clock(unset)} {_offset(before)}",
        f"{clock(after)} {_offset(after)}",
        _shown(map(to_datetime, times[:COUNT]), zone),
    )


def _shown(moments: Iterable[datetime], zone: tzinfo) -> list[Time]:
    shown: list[Time] = []
    for moment in moments:
        there, here = moment.astimezone(zone), timezone.localtime(moment)
        is_same = there.replace(tzinfo=None) == here.replace(tzinfo=None)
        offset = _offset(there)
        is_set = bool(shown) and shown[-1].offset != offset
        shown.append(Time(clock(there), offset, "" if is_same else clock(here), is_set))
    return shown


def _offset(moment: datetime) -> str:
    hours, minutes = moment.strftime("%z")[:3], moment.strftime("%z")[3:5]
    return f"UTC{hours}:{minutes}"


def clock(moment: datetime) -> str:
    """What a calendar and a clock show; seconds only if there are any."""
    text = f"{date_format(moment, 'D')} {moment:%Y-%m-%d %H:%M}"
    if moment.microsecond:
        return f"{text}{moment::%S.%f}"
    return f"{text}{moment::%S}" if moment.second else text
