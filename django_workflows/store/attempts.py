"""Ends of step attempts whose run belongs to somebody else, or to nobody."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from django.db.backends.base.base import BaseDatabaseWrapper

from django_workflows.core import failures
from django_workflows.core.payloads import seal
from django_workflows.errors import WorkflowError
from django_workflows.replay.events import (
    STEP_CANCELLED,
    STEP_FAILED,
    STEP_RETRYING,
    LogEvent,
)
from django_workflows.store.database import among, marks, now_sql, transaction
from django_workflows.store.inbox import insert_inbox
from django_workflows.store.limits import tell_waiting
from django_workflows.store.notify import DUE, notify
from django_workflows.store.rounds import StepRow, end_attempt

#: The last number that the columns take in which attempts are counted. Only damage gets
#: there.
LAST = 2**31 - 1


@dataclass(frozen=True, slots=True)
class AttemptEnd:
    """How an attempt has ended: its row from now on, and what its run is told."""

    row: StepRow
    events: Sequence[LogEvent]
    run_queue: str


def report_ends(database: BaseDatabaseWrapper, ends: Sequence[AttemptEnd]) -> None:
    """End attempts and tell their runs, in one transaction.

    Nothing is written for an attempt that had ended otherwise meanwhile: cancelled,
    timed out, or taken for dead.
    """
    queues: set[str] = set()
    with transaction(database), database.cursor() as cursor:
        for end in sorted(ends, key=lambda end: end.row.id):
            if end_attempt(database, cursor, end.row):
                for event in end.events:
                    _insert(database, end.row.run_id, event)
                queues |= {end.run_queue, end.row.queue}
        notify(database, DUE, queues)


def tell(
    database: BaseDatabaseWrapper,
    row: StepRow,
    events: Sequence[LogEvent],
    queues: set[str],
) -> None:
    """Put the end of an attempt into its run's inbox, in the current transaction."""
    for event in events:
        _insert(database, row.run_id, event)
    notify(database, DUE, queues)


def _insert(database: BaseDatabaseWrapper, run_id: str, event: LogEvent) -> None:
    insert_inbox(
        database,
        run_id,
        event.type,
        event.correlation_id,
        detail=json.dumps(event.detail) if event.detail else "",
        payload=None if event.payload is None else seal(event.payload),
    )


def rows_of(database: BaseDatabaseWrapper, step_ids: Sequence[str]) -> set[str]:
    """Those of the steps that have a row, whatever has become of them."""
    found: set[str] = set()
    with database.cursor() as cursor:
        for first in range(0, len(step_ids), 500):
            steps_in, values = among(database, step_ids[first : first + 500])
            cursor.execute(
                f"SELECT id FROM django_workflows_step WHERE id {steps_in}", values
            )
            found |= {row[0] for row in cursor.fetchall()}
    return found


def dead_workers(database: BaseDatabaseWrapper, worker_ids: set[str]) -> set[str]:
    """Those of the workers that have stopped or are dead."""
    if not worker_ids:
        return set()
    wanted: list[Any] = sorted(worker_ids)
    with database.cursor() as cursor:
        cursor.execute(
            "SELECT id FROM django_workflows_worker WHERE stopped_at IS NULL "
            f"AND id IN ({marks(wanted)})",
            wanted,
        )
        return worker_ids - {row[0] for row in cursor.fetchall()}


def running_at(database: BaseDatabaseWrapper, worker_id: str) -> list[tuple[str, int]]:
    """Attempts, by step and number, that a worker runs by the database's account."""
    with database.cursor() as cursor:
        cursor.execute(
            "SELECT id, attempt FROM django_workflows_step "
            "WHERE status = 'running' AND worker = %s",
            (worker_id,),
        )
        return [(row[0], row[1]) for row in cursor.fetchall()]


def write_heartbeat(
    database: BaseDatabaseWrapper, step_id: str, attempt: int, details: bytes
) -> bool:
    """Keep the details of a heartbeat. False if the attempt is running no more."""
    with database.cursor() as cursor:
        cursor.execute(
            "UPDATE django_workflows_step SET heartbeat = %s "
            "WHERE id = %s AND attempt = %s AND status = 'running'",
            (seal(details), step_id, attempt),
        )
        return bool(cursor.rowcount == 1)


def left_running(database: BaseDatabaseWrapper, step_ids: Sequence[str]) -> set[str]:
    """Those of the steps that nobody cancelled: their run has come to its own end
    without them, and they run on to no effect."""
    steps_in, values = among(database, step_ids)
    with database.cursor() as cursor:
        cursor.execute(
            "SELECT s.id FROM django_workflows_step s JOIN django_workflows_run r "
            f"ON r.id = s.run_id WHERE s.id {steps_in} AND s.status = 'cancelled' "
            "AND r.status IN ('completed', 'failed', 'continued_as_new') "
            "AND NOT EXISTS (SELECT 1 FROM django_workflows_event e "
            "WHERE e.run_id = s.run_id AND e.type = %s AND e.correlation_id = s.id)",
            [*values, STEP_CANCELLED],
        )
        return {row[0] for row in cursor.fetchall()}


def time_out(
    database: BaseDatabaseWrapper,
    run_id: str,
    step_id: str,
    statuses: Sequence[str],
    events: Callable[[int], Sequence[LogEvent]],
) -> bool:
    """End a step that is in one of the statuses, and tell its run.

    `events` says what is told, given the number of attempts begun. False if the step
    has got on meanwhile; nothing is written then.
    """
    now = now_sql(database)
    with transaction(database), database.cursor() as cursor:
        cursor.execute(
            "UPDATE django_workflows_step SET status = 'failed', due_at = NULL, "
            f"finished_at = {now}, errors = "
            f"CASE WHEN errors < {LAST} THEN errors + 1 ELSE errors END "
            f"WHERE id = %s AND status IN ({marks(statuses)})",
            (step_id, *statuses),
        )
        if cursor.rowcount != 1:
            return False
        cursor.execute(
            "SELECT attempt FROM django_workflows_step WHERE id = %s", (step_id,)
        )
        for event in events(cursor.fetchone()[0]):
            _insert(database, run_id, event)
        tell_waiting(database, run_id)
    return True


def fail_uncountable(database: BaseDatabaseWrapper, step_ids: Sequence[str]) -> None:
    """Fail those of some waiting steps whose next attempt would have no number."""
    with database.cursor() as cursor:
        cursor.execute(
            "SELECT s.id, s.name, s.run_id, r.queue FROM django_workflows_step s "
            "JOIN django_workflows_run r ON r.id = s.run_id "
            f"WHERE s.id IN ({marks(step_ids)}) AND s.attempt >= {LAST}",
            step_ids,
        )
        found = cursor.fetchall()
    for step_id, name, run_id, queue in found:
        text = f"step {name} cannot be tried again: {LAST} attempts are counted"
        payload = failures.capture(WorkflowError(text))
        detail = {"attempt": LAST}
        failed = LogEvent(STEP_FAILED, step_id, detail=detail, payload=payload)
        if time_out(database, run_id, step_id, ["pending"], _always(failed)):
            notify(database, DUE, [queue])


def _always(event: LogEvent) -> Callable[[int], Sequence[LogEvent]]:
    return lambda _attempt: [event]


def cut_attempts(
    database: BaseDatabaseWrapper,
    attempts: Sequence[tuple[str, int]],
    reason: str = "shutdown",
) -> None:
    """End attempts that do not come to an end by themselves: they run again.

    An orderly stop cuts them off, or they never began (`lost`). It is no crash.
    """
    with transaction(database), database.cursor() as cursor:
        queues = set()
        for step_id, attempt in sorted(attempts):
            cursor.execute(
                "UPDATE django_workflows_step SET status = 'pending', worker = '', "
                f"due_at = {now_sql(database)} "
                "WHERE id = %s AND attempt = %s AND status = 'running'",
                (step_id, attempt),
            )
            if cursor.rowcount != 1:
                continue
            cursor.execute(
                "SELECT s.run_id, s.queue, r.queue FROM django_workflows_step s "
                "JOIN django_workflows_run r ON r.id = s.run_id WHERE s.id = %s",
                (step_id,),
            )
            run_id, *names = cursor.fetchone()
            queues |= set(names)
            detail = {"attempt": attempt, "reason": reason}
            insert_inbox(
                database, run_id, STEP_RETRYING, step_id, detail=json.dumps(detail)
            )
        notify(database, DUE, queues)
