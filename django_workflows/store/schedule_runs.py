"""The runs of schedules: one for each time, and those that people ask for."""

from __future__ import annotations

from contextlib import suppress
from datetime import UTC, datetime
from typing import Any

from django.db import transaction

from django_workflows.errors import DuplicateRunError, WorkflowNotRegisteredError
from django_workflows.models import Run, Schedule
from django_workflows.replay.registry import EXECUTING, registry
from django_workflows.store.database import (
    alias,
    connection,
    database_time,
    to_datetime,
    to_us,
)
from django_workflows.store.schedules import lock, times_from
from django_workflows.store.targets import find_target

#: Runs that one backfill starts.
MOST_BACKFILLED = 10_000


def start_at_time(
    schedule: Schedule, us: int, *, not_before_us: int | None = None
) -> Run | None:
    """Start the run of a time; None if that has had its run already.

    Raises WorkflowNotRegisteredError, and what a start raises.
    """
    options: dict[str, Any] = {
        "key": key_of(schedule, to_datetime(us)),
        "on_conflict": "reject",
    }
    if not_before_us is not None:
        options["delay"] = to_datetime(not_before_us)
    with suppress(DuplicateRunError):
        return _start(schedule, us, options)
    return None


def key_of(schedule: Schedule, time: datetime) -> str:
    """The key by which the run of a time is the only one."""
    return f"schedule:{schedule.pk}:{time.astimezone(UTC).isoformat()}"


def names_of(schedule: Schedule) -> list[str]:
    """What its runs are runs of."""
    if schedule.kind == "workflow":
        return registry.names_of(schedule.workflow)
    return [EXECUTING]


def _start(schedule: Schedule, us: int, options: dict[str, Any]) -> Run:
    target = find_target(schedule.workflow)
    if target is None:
        raise WorkflowNotRegisteredError(
            f"the schedule {schedule.name!r} starts {schedule.workflow!r}, of which "
            "this process knows nothing"
        )
    attributes = {
        "schedule": schedule.name,
        "scheduled_at": to_datetime(us).isoformat(),
    }
    call = (schedule.args, schedule.kwargs)
    return target.start(call, {**options, "attributes": attributes})


def trigger(schedule: Schedule) -> Run:
    """See ``Schedule.trigger``."""
    with transaction.atomic(using=alias()):
        stored = lock(schedule)
        now_us = database_time(connection())
        run = _start(stored, now_us, {})
        stored.open_runs = [*stored.open_runs, run.pk]
        stored.last_run_at = to_datetime(now_us)
        stored.last_error = ""
        stored.store(["open_runs", "last_run_at", "last_error"])
    schedule.take_over(stored, ["open_runs", "last_run_at", "last_error"])
    return run


def backfill(schedule: Schedule, start: datetime, end: datetime) -> list[Run]:
    """See ``Schedule.backfill``."""
    with transaction.atomic(using=alias()):
        stored = lock(schedule)
        times = times_between(stored, start, end)
        runs = [start_at_time(stored, us) for us in times]
        new = [run for run in runs if run is not None]
        if new:
            stored.open_runs = [*stored.open_runs, *(run.pk for run in new)]
            stored.store(["open_runs"])
    schedule.take_over(stored, ["open_runs"])
    return new


def times_between(schedule: Schedule, start: datetime, end: datetime) -> list[int]:
    """The times from `start` to `end`, both included. Raises ValueError for naive ends,
    ends in the wrong order, and more times than one backfill takes."""
    given: Any
    for given in (start, end):
        if not isinstance(given, datetime) or given.utcoffset() is None:
            raise ValueError(f"give a datetime with a time zone, not {given!r}")
    if end < start:
        raise ValueError(f"the end {end} lies before the start {start}")
    times = []
    for us in times_from(schedule, to_us(start) - 1):
        if us > to_us(end):
            break
        times.append(us)
        if len(times) > MOST_BACKFILLED:
            raise ValueError(
                f"more than {MOST_BACKFILLED:,} times from {start} to {end}; "
                "backfill them in parts"
            )
    return times
