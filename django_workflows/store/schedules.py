"""``create_schedule()``, and what becomes of schedules that are edited."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import datetime
from typing import Any

from asgiref.sync import sync_to_async
from django.core.exceptions import ValidationError
from django.db import transaction
from django.db.utils import IntegrityError

from django_workflows.core.durations import Duration
from django_workflows.core.ticks import Interval, Once, Times, parse_cron
from django_workflows.models import Schedule
from django_workflows.models.schedule import CATCHUP_WINDOW
from django_workflows.replay.definitions import Workflow
from django_workflows.replay.registry import registry
from django_workflows.store.database import (
    alias,
    connection,
    database_time,
    to_datetime,
    to_us,
)
from django_workflows.store.notify import DUE, notify
from django_workflows.store.schedule_checks import check, problem


def create_schedule(
    name: str,
    workflow: Workflow[..., Any] | str,
    *,
    args: Sequence[Any] = (),
    kwargs: Mapping[str, Any] | None = None,
    cron: str | None = None,
    timezone: str | None = None,
    interval: Duration | None = None,
    offset: Duration = 0,
    at: datetime | None = None,
    jitter: Duration = 0,
    overlap: str = "skip",
    catchup_window: Duration = CATCHUP_WINDOW,
    paused: bool = False,
    note: str = "",
    remaining_runs: int | None = None,
    start_at: datetime | None = None,
    end_at: datetime | None = None,
) -> Schedule:
    """Start a workflow by the clock from now on; exactly one of cron, interval and at.

    `cron` has five fields and counts by the clocks of `timezone`, the project's unless
    one is named. `interval` is counted from the epoch, moved by `offset`. `jitter`
    delays each run by up to so much. `overlap` says what happens at a time when an
    earlier run is still open: skip, buffer_one, buffer_all, cancel_other,
    terminate_other or allow_all. Times missed while no worker ran are made up for if
    they are no longer ago than `catchup_window`. `start_at` and `end_at` are included.

    Raises ValidationError, by field, for what makes no sense: among it a workflow that
    is not known here, arguments that don't fit it, a name that is taken, naive times.
    """
    if isinstance(workflow, Workflow):
        workflow = _plain_name(workflow)
    durations: dict[str, Any] = {
        "interval": interval,
        "offset": offset,
        "jitter": jitter,
        "catchup_window": catchup_window,
    }
    schedule = Schedule(
        name=name,
        workflow=workflow,
        cron=cron,
        at=at,
        overlap=overlap,
        paused=paused,
        note=note,
        remaining_runs=remaining_runs,
        start_at=start_at,
        end_at=end_at,
        **durations,
    )
    if timezone is not None:
        schedule.timezone = timezone
    with problem("args"):
        schedule.args = tuple(args)
    with problem("kwargs"):
        schedule.kwargs = dict(kwargs or {})
    schedule.save()
    return schedule


async def acreate_schedule(*args: Any, **options: Any) -> Schedule:
    return await sync_to_async(create_schedule)(*args, **options)


def _plain_name(workflow: Workflow[..., Any]) -> str:
    known = registry.find_workflow(workflow.name)
    if known is not None and known.settings != workflow.settings:
        message = (
            "a schedule starts a workflow with the options of its decorator; give them "
            "there, not by options()"
        )
        raise ValidationError({"workflow": message})
    return workflow.name


# -- times ----------------------------------------------------------------------------


def times_of(schedule: Schedule) -> Times:
    """The times of a schedule, regardless of its bounds. Raises ValueError if it makes
    no sense, as only a row can that somebody has damaged."""
    if schedule.cron is not None:
        return parse_cron(schedule.cron, schedule.timezone)
    if schedule.interval is not None:
        if schedule.interval <= 0:
            raise ValueError(f"the interval of a schedule is no {schedule.interval} s")
        return Interval(
            max(1, round(schedule.interval * 1e6)), round(schedule.offset * 1e6)
        )
    if schedule.at is None:
        raise ValueError("the schedule has neither cron nor interval nor at")
    return Once(to_us(schedule.at))


def time_after(schedule: Schedule, us: int) -> int | None:
    """The first time after `us` that lies within the schedule's bounds."""
    if schedule.start_at is not None:
        us = max(us, to_us(schedule.start_at) - 1)
    found = times_of(schedule).after(us)
    if found is None or (
        schedule.end_at is not None and found > to_us(schedule.end_at)
    ):
        return None
    return found


def times_from(schedule: Schedule, after_us: int) -> Iterator[int]:
    us: int | None = after_us
    while us is not None:
        us = time_after(schedule, us)
        if us is not None:
            yield us


def next_runs(schedule: Schedule, n: int) -> list[datetime]:
    """See ``Schedule.next_runs``."""
    if type(n) is not int or n < 0:
        raise ValueError(f"n must be a number of times, 0 or more, not {n!r}")
    if schedule.remaining_runs is not None:
        n = min(n, schedule.remaining_runs)
    times = times_from(schedule, database_time(connection()))
    return [to_datetime(us) for us, _ in zip(times, range(n), strict=False)]


# -- saving ---------------------------------------------------------------------------


def clean(schedule: Schedule) -> None:
    """See ``Schedule.clean``."""
    check(schedule, schedule.changed_fields())
    if schedule._state.adding:
        _first_time(schedule, database_time(connection()))


def save(schedule: Schedule, only: Iterable[str] | None = None) -> None:
    """See ``Schedule.save``."""
    changed = schedule.changed_fields()
    if only is not None and not schedule._state.adding:
        changed &= set(only)
    check(schedule, changed)
    try:
        with transaction.atomic(using=alias()):
            if schedule._state.adding:
                _insert(schedule)
            else:
                # What the checks have made of what was given counts.
                _update(schedule, changed & schedule.changed_fields() | {"kind"})
            notify(connection(), DUE, [schedule.name[:100]])
    except IntegrityError:
        message = f"there is a schedule named {schedule.name!r} already"
        raise ValidationError({"name": message}) from None


def _insert(schedule: Schedule) -> None:
    now_us = database_time(connection())
    schedule.created_at = to_datetime(now_us)
    schedule.next_run_at = to_datetime(_first_time(schedule, now_us))
    schedule.store(None)


def _first_time(schedule: Schedule, now_us: int) -> int:
    """The first time of a new schedule. Raises ValidationError if there is none."""
    # A single time may be this very moment.
    since = now_us if schedule.at is None else now_us - 1
    first_us = None if schedule.remaining_runs == 0 else time_after(schedule, since)
    if first_us is None:
        field = "at" if schedule.at is not None else "__all__"
        raise ValidationError({field: "this schedule would never start anything"})
    return first_us


def _update(schedule: Schedule, changed: set[str]) -> None:
    stored = lock(schedule)
    now_us = database_time(connection())
    for field in schedule._meta.concrete_fields:
        if field.attname not in changed:
            setattr(schedule, field.attname, getattr(stored, field.attname))
    if changed & Schedule.TIMING:
        schedule.next_run_at = _next_by_edit(schedule, stored, now_us)
        schedule.is_full = False
        changed |= {"next_run_at", "is_full"}
    if "overlap" in changed and schedule.waits_for:
        # No run: the new policy is asked at once.
        schedule.waits_for = "-"
        changed.add("waits_for")
    schedule.store(changed)


def _next_by_edit(schedule: Schedule, stored: Schedule, now_us: int) -> datetime | None:
    if schedule.remaining_runs == 0:
        return None
    since = now_us
    is_other = any(
        getattr(schedule, name) != getattr(stored, name) for name in Schedule.TIMES
    )
    if not (is_other or stored.paused) and stored.next_run_at is not None:
        # What was missed is still to be caught up with.
        since = min(now_us, to_us(stored.next_run_at) - 1)
    elif is_other and schedule.at is not None:
        since -= 1
    next_us = time_after(schedule, since)
    return None if next_us is None else to_datetime(next_us)


def set_paused(schedule: Schedule, paused: bool, note: str = "") -> None:
    """See ``Schedule.pause`` and ``unpause``."""
    with transaction.atomic(using=alias()):
        stored = lock(schedule)
        stored.paused = paused
        stored.note = note or stored.note
        stored.save()
    schedule.take_over(stored, ["paused", "note", "next_run_at", "is_full"])


def lock(schedule: Schedule) -> Schedule:
    """The stored row, locked. Raises Schedule.DoesNotExist if it is gone."""
    rows = Schedule.objects.using(alias()).select_for_update()
    return rows.get(pk=schedule.pk)
