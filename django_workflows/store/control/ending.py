"""Ends a run from outside: its owner loses it, and no code of it runs any more."""

from __future__ import annotations

import json
from typing import Any

from django.db.backends.base.base import BaseDatabaseWrapper

from django_workflows.errors import InvalidRunStateError, WorkflowRunNotFoundError
from django_workflows.models import Run
from django_workflows.replay.events import HOOK_RECEIVED
from django_workflows.store.database import database_time, moment, to_us
from django_workflows.store.notify import DONE, notify

#: Locks a run's row against rounds, which never wait for it, and against each other.
_LOCK = {"postgresql": " FOR NO KEY UPDATE", "mysql": " FOR UPDATE"}


def lock_run(
    database: BaseDatabaseWrapper, run_id: str, columns: str, *, wait: bool = True
) -> tuple[Any, ...] | None:
    """Lock a run's row until the end of the current transaction.

    Returns the columns asked for. Without `wait` a row that somebody else has locked
    counts as one that is not there: None.
    """
    lock = _LOCK.get(database.vendor, "")
    if lock and not wait:
        lock += " SKIP LOCKED"
    with database.cursor() as cursor:
        cursor.execute(
            f"SELECT {columns} FROM django_workflows_run WHERE id = %s{lock}", (run_id,)
        )
        row: tuple[Any, ...] | None = cursor.fetchone()
    return row


def require_open(run_id: str, status: str, wanted: str) -> None:
    """Raise InvalidRunStateError for a closed run."""
    if status not in Run.OPEN:
        raise InvalidRunStateError(
            f"run {run_id} is {status} and cannot be {wanted}", run_id=run_id
        )


def not_found(run_id: str) -> WorkflowRunNotFoundError:
    return WorkflowRunNotFoundError(f"there is no workflow run {run_id!r}")


def time_after(database: BaseDatabaseWrapper, run_id: str, last_seq: int) -> int:
    """The database's time, or that of the run's last event if it is ahead."""
    with database.cursor() as cursor:
        cursor.execute(
            "SELECT created_at FROM django_workflows_event "
            "WHERE run_id = %s AND seq = %s",
            (run_id, last_seq),
        )
        row = cursor.fetchone()
    now_us = database_time(database)
    return now_us if row is None else max(now_us, to_us(row[0]))


def append_event(
    database: BaseDatabaseWrapper,
    run_id: str,
    seq: int,
    kind: str,
    time_us: int,
    detail: dict[str, Any],
) -> None:
    """Number an event of a run whose row is locked, or which nobody else can have."""
    with database.cursor() as cursor:
        cursor.execute(
            "INSERT INTO django_workflows_event "
            "(run_id, seq, type, correlation_id, detail, payload, created_at) "
            "VALUES (%s, %s, %s, '', %s, NULL, %s)",
            (run_id, seq, kind, json.dumps(detail), moment(database, time_us)),
        )


def end_run(
    database: BaseDatabaseWrapper,
    run_id: str,
    last_seq: int,
    kind: str,
    detail: dict[str, Any],
) -> None:
    """End a run whose row is locked, in the current transaction.

    `kind` is the event that ends it, and tells its status. Its hooks are free, its
    unstarted steps never start, and what its started ones still do changes nothing.
    """
    time_us = time_after(database, run_id, last_seq)
    with database.cursor() as cursor:
        # Whoever is sending a payload holds the hook's row until it is sent.
        cursor.execute("DELETE FROM django_workflows_hook WHERE run_id = %s", (run_id,))
        last_seq = _number_payloads(database, run_id, last_seq, time_us) + 1
        cursor.execute(
            "UPDATE django_workflows_run SET status = %s, finished_at = %s, "
            "last_seq = %s, fence = fence + 1, owner = '', wake_at = NULL, "
            "queued_at = NULL, is_waiting = %s, is_alone = %s WHERE id = %s",
            (
                kind.removeprefix("run_"),
                moment(database, time_us),
                last_seq,
                False,
                False,
                run_id,
            ),
        )
        cursor.execute(
            "UPDATE django_workflows_step SET status = 'cancelled', due_at = NULL, "
            "finished_at = %s WHERE run_id = %s AND status IN ('pending', 'running')",
            (moment(database, time_us), run_id),
        )
    append_event(database, run_id, last_seq, kind, time_us, detail)
    notify(database, DONE, [run_id])


def _number_payloads(
    database: BaseDatabaseWrapper, run_id: str, last_seq: int, time_us: int
) -> int:
    """What was accepted is in the log, before its end; no code reads it any more."""
    with database.cursor() as cursor:
        cursor.execute(
            "SELECT id, type FROM django_workflows_event "
            "WHERE run_id = %s AND seq IS NULL ORDER BY id",
            (run_id,),
        )
        unread = cursor.fetchall()
        for row_id, kind in unread:
            if kind != HOOK_RECEIVED:
                cursor.execute(
                    "DELETE FROM django_workflows_event WHERE id = %s AND seq IS NULL",
                    (row_id,),
                )
                continue
            last_seq += 1
            cursor.execute(
                "UPDATE django_workflows_event SET seq = %s, detail = %s, "
                "created_at = %s WHERE id = %s",
                (
                    last_seq,
                    json.dumps({"late": True}),
                    moment(database, time_us),
                    row_id,
                ),
            )
    return last_seq
