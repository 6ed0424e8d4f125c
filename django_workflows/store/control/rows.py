"""A run's row under a lock, and events numbered by who holds it."""

from __future__ import annotations

import json
from typing import Any

from django.db.backends.base.base import BaseDatabaseWrapper

from django_workflows.errors import InvalidRunStateError, WorkflowRunNotFoundError
from django_workflows.models import Run
from django_workflows.store.announcements import announce_event
from django_workflows.store.chains import current_run_id
from django_workflows.store.database import alias, database_time, moment, to_us

#: Locks a run's row against rounds, which never wait for it, and against each other.
LOCK = {"postgresql": " FOR NO KEY UPDATE", "mysql": " FOR UPDATE"}


def lock_run(
    database: BaseDatabaseWrapper, run_id: str, columns: str, *, wait: bool = True
) -> tuple[Any, ...] | None:
    """Lock a run's row until the end of the current transaction.

    Returns the columns asked for. Without `wait` a row that somebody else has locked
    counts as one that is not there: None.
    """
    lock = LOCK.get(database.vendor, "")
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
    if status == Run.Status.CONTINUED_AS_NEW:
        raise continued(run_id, wanted)
    if status not in Run.OPEN:
        raise InvalidRunStateError(
            f"run {run_id} is {status} and cannot be {wanted}", run_id=run_id
        )


def continued(run_id: str, wanted: str) -> InvalidRunStateError:
    """The refusal of what is meant for the run in which this one goes on."""
    return InvalidRunStateError(
        f"run {run_id} has continued as new and cannot be {wanted}; its chain goes on "
        f"as run {current_run_id(run_id)}",
        run_id=run_id,
    )


def refresh(run: Run) -> None:
    """Read a run's row again. Raises WorkflowRunNotFoundError if there is none."""
    try:
        run.refresh_from_db(using=alias())
    except Run.DoesNotExist:
        raise not_found(run.pk) from None


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
    announce_event(database, run_id, kind, detail)
