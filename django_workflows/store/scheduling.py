"""Starts what schedules say is due: one run for each time, whoever looks."""

from __future__ import annotations

import json
import logging
from dataclasses import dataclass
from functools import partial

from django.db import transaction
from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.utils import DatabaseError, DataError, InterfaceError

from django_workflows.core.ticks import spread
from django_workflows.models import Run, Schedule
from django_workflows.replay.events import CANCEL_REQUESTED, RUN_TERMINATED
from django_workflows.store.chains import current_run_id
from django_workflows.store.control.cancelling import is_cancelling
from django_workflows.store.database import (
    alias,
    connection,
    database_time,
    despite_deadlocks,
    to_datetime,
    to_us,
)
from django_workflows.store.inbox import insert_inbox
from django_workflows.store.notify import DUE, notify
from django_workflows.store.schedule_runs import start_at_time
from django_workflows.store.schedule_times import due_schedules
from django_workflows.store.schedules import time_after

logger = logging.getLogger("django_workflows.store")

#: Schedules served in one look, and runs of one of them started in one transaction.
AT_ONCE = 50
BATCH = 100
#: Times that wait in a buffer; more of them are taken up as it empties.
MOST_BUFFERED = 1000
#: Microseconds by which a time may be late and is not missed, if no other has come yet.
LATE_US = 10_000_000


@dataclass(frozen=True, slots=True)
class Served:
    """How many schedules were served, and when the next one is due."""

    count: int
    next_us: int | None


def serve_schedules(database: BaseDatabaseWrapper) -> Served:
    """Serve schedules that are due. One that somebody has locked is left to the next
    look. `database` is looked at; runs are started on the thread's own connection."""
    dues, values = due_schedules(database, AT_ONCE + 1)
    now_us = database_time(database)
    with database.cursor() as cursor:
        cursor.execute(
            f"SELECT id, due FROM ({dues}) AS schedules ORDER BY due",
            values,
        )
        rows = [(pk, to_us(due)) for pk, due in cursor.fetchall()]
    due = list(dict.fromkeys(pk for pk, us in rows if us <= now_us))
    later = [us for _, us in rows if us > now_us]
    own = connection()
    try:
        served = [_serve_or_stop(own, pk, now_us) for pk in due[:AT_ONCE]]
    except (DatabaseError, InterfaceError):
        if not own.in_atomic_block:
            own.close()
        raise
    count = sum(served)
    if count and len(due) > AT_ONCE:
        later = [now_us]  # the others have waited long enough
    return Served(count, min(later, default=None))


def _serve_or_stop(own: BaseDatabaseWrapper, pk: int, now_us: int) -> bool:
    """Serve a schedule. One that makes no sense, as somebody has damaged its row, is
    due no more until it is saved again, so that the others have their turn."""
    try:
        return despite_deadlocks(own, partial(_serve, pk))
    except Exception as error:
        is_of_database = isinstance(error, DatabaseError | InterfaceError)
        if is_of_database and not isinstance(error, DataError):
            raise
        logger.exception(
            "the schedule with the key %d makes no sense and starts nothing any more",
            pk,
            extra={"action": "schedule_damaged", "schedule": pk},
        )
        said = f"{to_datetime(now_us).isoformat()}: {type(error).__name__}: {error}"
        schedules = Schedule.objects.using(alias()).filter(pk=pk)
        schedules.update(next_run_at=None, waits_for="", last_error=said)
        return True


def _serve(pk: int) -> bool:
    database = connection()
    skips = database.features.has_select_for_update_skip_locked
    with transaction.atomic(using=alias()):
        rows = Schedule.objects.using(alias()).select_for_update(skip_locked=skips)
        schedule = rows.filter(pk=pk, paused=False).first()
        if schedule is None:
            return False
        _Service(database, schedule, database_time(database)).serve()
    return True


class _Service:
    """What becomes of the times of one schedule, whose row is locked."""

    def __init__(
        self, database: BaseDatabaseWrapper, schedule: Schedule, now_us: int
    ) -> None:
        self.database = database
        self.schedule = schedule
        self.now_us = now_us
        self.open = self._still_open()
        self.buffered: list[int] = []
        self.started = 0
        self.next_us = (
            None if schedule.next_run_at is None else to_us(schedule.next_run_at)
        )

    def serve(self) -> None:
        schedule = self.schedule
        for us in schedule.buffered:
            self._take(us)
        self._leave_out_missed()
        while self._has_due and self.started < BATCH and not self._is_full:
            assert self.next_us is not None
            if self._leaves_out_more:
                self.next_us = time_after(schedule, self.now_us)
                break
            us, self.next_us = self.next_us, time_after(schedule, self.next_us)
            self._take(us)
        if schedule.remaining_runs == 0:
            self.next_us, self.buffered = None, []
        schedule.is_full = self._has_due and self._is_full
        schedule.open_runs = self.open
        schedule.buffered = self.buffered
        schedule.waits_for = self.open[0] if self.open and self.buffered else ""
        schedule.next_run_at = (
            None if self.next_us is None else to_datetime(self.next_us)
        )
        schedule.store(schedule.changed_fields())

    @property
    def _has_due(self) -> bool:
        return self.next_us is not None and self.next_us <= self.now_us

    @property
    def _is_full(self) -> bool:
        return len(self.buffered) >= MOST_BUFFERED

    @property
    def _leaves_out_more(self) -> bool:
        """Nothing that is due by now would be started or kept any more."""
        if not self.open:
            return False
        overlap = self.schedule.overlap
        return overlap == "skip" or (overlap == "buffer_one" and bool(self.buffered))

    def _leave_out_missed(self) -> None:
        """Go on with the first time that is not too long ago."""
        window_us = round(self.schedule.catchup_window * 1_000_000)
        if not self._has_due or self.next_us is None:
            return
        if self.next_us >= self.now_us - window_us:
            return
        first = time_after(self.schedule, self.now_us - window_us - 1)
        if first is None or first > self.now_us:
            first = self._just_now() or first
        self.next_us = first

    def _just_now(self) -> int | None:
        """The newest time, if it is late by so little that it is not missed."""
        newest, us = None, time_after(self.schedule, self.now_us - LATE_US - 1)
        while us is not None and us <= self.now_us:
            newest, us = us, time_after(self.schedule, us)
        return newest

    def _take(self, us: int) -> None:
        """Start the run of a time, or do what the overlap says."""
        if self.open:
            match self.schedule.overlap:
                case "skip":
                    return
                case "buffer_one":
                    self.buffered = self.buffered or [us]
                    return
                case "buffer_all":
                    self.buffered.append(us)
                    return
                case "cancel_other":
                    self._tell_open(CANCEL_REQUESTED)
                case "terminate_other":
                    self._tell_open(RUN_TERMINATED)
        self._start(us)

    def _start(self, us: int) -> None:
        schedule = self.schedule
        if schedule.remaining_runs == 0:
            return
        begins_us = us + spread(f"{schedule.pk}:{us}", schedule.jitter)
        try:
            with transaction.atomic(using=alias()):
                run = start_at_time(
                    schedule,
                    us,
                    not_before_us=begins_us if begins_us > self.now_us else None,
                )
        except (DatabaseError, InterfaceError):
            raise
        except Exception as error:
            schedule.last_error = (
                f"{to_datetime(us).isoformat()}: {type(error).__name__}: {error}"
            )
            logger.exception(
                "schedule %r could not start its run of %s",
                schedule.name,
                to_datetime(us).isoformat(),
                extra={"action": "schedule_failed", "schedule": schedule.name},
            )
            return
        if run is None:
            return
        self.started += 1
        schedule.last_error = ""
        schedule.last_run_at = to_datetime(us)
        if schedule.overlap != Schedule.Overlap.ALLOW_ALL:
            self.open.append(run.pk)
        if schedule.remaining_runs is not None:
            schedule.remaining_runs -= 1

    def _still_open(self) -> list[str]:
        """Runs of earlier times that have not ended, or their successors."""
        ids: list[str] = self.schedule.open_runs
        runs = Run.objects.using(alias())
        status = dict(runs.filter(pk__in=ids).values_list("pk", "status"))
        found = [
            current_run_id(pk, self.database)
            if status.get(pk) == Run.Status.CONTINUED_AS_NEW
            else pk
            for pk in ids
        ]
        is_open = set(runs.open().filter(pk__in=found).values_list("pk", flat=True))
        return [pk for pk in found if pk in is_open]

    def _tell_open(self, request: str) -> None:
        """Ask open runs to end. Their rows are not ours to lock."""
        detail = json.dumps({"reason": f"the schedule {self.schedule.name} goes on"})
        for run in Run.objects.using(alias()).filter(pk__in=self.open):
            if request == CANCEL_REQUESTED and is_cancelling(run):
                continue
            insert_inbox(self.database, run.pk, request, detail=detail)
            notify(self.database, DUE, [run.queue])
        self.open = []
