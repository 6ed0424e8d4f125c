"""What a schedule may say, checked before any of it is stored."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Any

from django.core.exceptions import ValidationError

from django_workflows.core.durations import to_seconds
from django_workflows.core.ticks import find_zone, parse_cron
from django_workflows.errors import WorkflowError
from django_workflows.models import Schedule
from django_workflows.replay.options import check_name
from django_workflows.store.database import alias
from django_workflows.store.targets import find_target

#: Seconds between two times, at least.
SHORTEST = 0.001
#: Seconds by which a run may be delayed, at most: a year.
MOST_JITTER = 365 * 86_400


@contextmanager
def problem(field: str) -> Iterator[None]:
    """What is refused in the block is wrong with this field."""
    try:
        yield
    except ValidationError:
        raise
    except (TypeError, ValueError, OverflowError, WorkflowError) as error:
        raise ValidationError({field: str(error)}) from error


def check(schedule: Schedule, changed: set[str]) -> None:
    """Check fields, and turn durations into seconds.

    Raises ValidationError with all that is wrong, by field.
    """
    problems: dict[str, Any] = {}
    for name, look in _FIELDS.items():
        if name in changed:
            _collect(problems, name, look, schedule)
    if not problems and changed & Schedule.TIMING:
        _collect(problems, "__all__", _check_times, schedule)
    if not problems and changed & {"workflow", "sealed_input"}:
        _collect(problems, "workflow", _check_target, schedule)
    if problems:
        raise ValidationError(problems)


def _collect(
    problems: dict[str, Any],
    name: str,
    look: Callable[[Schedule], None],
    schedule: Schedule,
) -> None:
    try:
        with problem(name):
            look(schedule)
    except ValidationError as error:
        problems.update(error.update_error_dict({}))


def _check_name(schedule: Schedule) -> None:
    check_name("the name of a schedule", schedule.name, 255)
    others = Schedule.objects.using(alias()).exclude(pk=schedule.pk)
    if others.filter(name=schedule.name).exists():
        raise ValueError(f"there is a schedule named {schedule.name!r} already")


def _check_workflow(schedule: Schedule) -> None:
    if not isinstance(schedule.workflow, str):
        raise TypeError(f"{schedule.workflow!r} is no workflow, nor the name of one")
    check_name("the name of a workflow", schedule.workflow, 255)


def _check_cron(schedule: Schedule) -> None:
    given: Any = schedule.cron
    if given is not None:
        if not isinstance(given, str) or len(given) > 255:
            raise TypeError(f"no cron expression: {given!r}")
        parse_cron(given, "UTC")


def _check_timezone(schedule: Schedule) -> None:
    given: Any = schedule.timezone
    schedule.timezone = getattr(given, "key", given)
    find_zone(schedule.timezone)


def _check_interval(schedule: Schedule) -> None:
    if schedule.interval is not None:
        schedule.interval = to_seconds(schedule.interval)
        if schedule.interval < SHORTEST:
            raise ValueError(f"an interval is at least {SHORTEST} seconds long")


def _seconds(name: str) -> Callable[[Schedule], None]:
    def look(schedule: Schedule) -> None:
        setattr(schedule, name, to_seconds(getattr(schedule, name)))

    return look


def _check_jitter(schedule: Schedule) -> None:
    schedule.jitter = to_seconds(schedule.jitter)
    if schedule.jitter > MOST_JITTER:
        raise ValueError(f"a jitter is at most {MOST_JITTER:,} seconds long")


def _moment(name: str) -> Callable[[Schedule], None]:
    def look(schedule: Schedule) -> None:
        given: Any = getattr(schedule, name)
        if given is None:
            return
        if not isinstance(given, datetime):
            raise TypeError(f"{given!r} is no datetime")
        if given.utcoffset() is None:
            raise ValueError(f"naive datetime: {given!r}; give it a time zone")
        given.astimezone(UTC)  # what lies beyond the calendar is an OverflowError

    return look


def _check_overlap(schedule: Schedule) -> None:
    if schedule.overlap not in Schedule.Overlap.values:
        known = ", ".join(Schedule.Overlap.values)
        raise ValueError(f"{schedule.overlap!r} is none of {known}")
    schedule.overlap = str(schedule.overlap)


def _check_remaining(schedule: Schedule) -> None:
    given: Any = schedule.remaining_runs
    if given is not None and (type(given) is not int or not 0 <= given < 2**31):
        raise ValueError(f"a number of runs is needed, not {given!r}")


def _check_paused(schedule: Schedule) -> None:
    if not isinstance(schedule.paused, bool):
        raise TypeError(f"True or False is needed, not {schedule.paused!r}")


def _check_note(schedule: Schedule) -> None:
    if schedule.note != "":
        check_name("note", schedule.note, 10_000)


_FIELDS: dict[str, Callable[[Schedule], None]] = {
    "name": _check_name,
    "workflow": _check_workflow,
    "cron": _check_cron,
    "timezone": _check_timezone,
    "interval": _check_interval,
    "offset": _seconds("offset"),
    "at": _moment("at"),
    "jitter": _check_jitter,
    "overlap": _check_overlap,
    "catchup_window": _seconds("catchup_window"),
    "paused": _check_paused,
    "note": _check_note,
    "remaining_runs": _check_remaining,
    "start_at": _moment("start_at"),
    "end_at": _moment("end_at"),
}


def _check_times(schedule: Schedule) -> None:
    kinds = [
        name
        for name in ("cron", "interval", "at")
        if getattr(schedule, name) is not None
    ]
    if len(kinds) != 1:
        given = " and ".join(kinds) or "none of them"
        raise ValueError(f"give exactly one of cron, interval and at, not {given}")
    if schedule.offset and schedule.interval is None:
        raise ValueError("offset moves the times of an interval, and there is none")
    if (
        schedule.start_at is not None
        and schedule.end_at is not None
        and schedule.end_at < schedule.start_at
    ):
        raise ValueError("end_at lies before start_at")


def _check_target(schedule: Schedule) -> None:
    target = find_target(schedule.workflow)
    if target is None:
        raise ValueError(
            f"{schedule.workflow!r} is no workflow that is registered here (and no "
            "definition): is its module imported?"
        )
    schedule.kind = target.kind
    with problem("args"):
        target.check((schedule.args, schedule.kwargs))
