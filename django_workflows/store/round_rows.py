"""Writes the rows of a round, on any database."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from django.db.backends.base.base import BaseDatabaseWrapper

from django_workflows.core.payloads import seal
from django_workflows.replay.events import LogEvent
from django_workflows.store.database import moment
from django_workflows.store.round_types import RunWrite, StepRow

_INSERT_EVENT = (
    "INSERT INTO django_workflows_event "
    "(run_id, seq, type, correlation_id, detail, payload, created_at) "
    "VALUES (%s, %s, %s, %s, %s, %s, %s)"
)
_NUMBER_EVENT = (
    "UPDATE django_workflows_event SET seq = %s, created_at = %s, detail = %s "
    "WHERE id = %s"
)
STEP_COLUMNS = (
    "id, run_id, name, status, queue, priority, attempt, errors, crashes, suspect, "
    "worker, due_at, created_at, started_at, finished_at, args, options, limit_key, "
    "heartbeat"
)
_INSERT_STEP = (
    f"INSERT INTO django_workflows_step ({STEP_COLUMNS}) VALUES "
    f"({', '.join(['%s'] * 19)})"
)
_UPDATE_RUN = (
    "UPDATE django_workflows_run SET last_seq = %s, status = %s, "
    "started_at = COALESCE(started_at, %s), finished_at = %s, "
    "owner = CASE WHEN %s THEN '' ELSE owner END, "
    "fence = CASE WHEN %s THEN fence + 1 ELSE fence END, "
    "wake_at = %s, is_waiting = %s, "
    "suspicion = CASE WHEN %s THEN 0 ELSE suspicion END, is_alone = %s, "
    "blocked_reason = '', blocked_times = 0 WHERE id = %s"
)
# What most rounds have to say. SQLite writes an index anew if a statement sets one of
# its columns, also to what it was: no index has one of these.
_UPDATE_RUN_GOING_ON = (
    "UPDATE django_workflows_run SET last_seq = %s, is_waiting = %s, "
    "suspicion = CASE WHEN %s THEN 0 ELSE suspicion END, is_alone = %s, "
    "blocked_reason = '' "
    "WHERE id = %s AND status = %s AND wake_at IS NULL AND blocked_times = 0"
)


def detail_text(event: LogEvent) -> str:
    return json.dumps(event.detail) if event.detail else ""


def write_rows(database: BaseDatabaseWrapper, runs: Sequence[RunWrite]) -> None:
    """Write what a round has to store, in the current transaction."""
    inserts, numbered, steps = [], [], []
    for run in runs:
        for event in run.events:
            if event.row_id is not None:
                numbered.append(
                    (
                        event.seq,
                        moment(database, event.time),
                        detail_text(event),
                        event.row_id,
                    )
                )
            else:
                inserts.append(
                    (
                        run.run_id,
                        event.seq,
                        event.type,
                        event.correlation_id,
                        detail_text(event),
                        None if event.payload is None else seal(event.payload),
                        moment(database, event.time),
                    )
                )
        steps += run.steps
    with database.cursor() as cursor:
        if inserts:
            cursor.executemany(_INSERT_EVENT, inserts)
        if numbered:
            cursor.executemany(_NUMBER_EVENT, numbered)
        _update_runs(database, cursor, runs)
    insert_steps(database, steps)


def _update_runs(
    database: BaseDatabaseWrapper, cursor: Any, runs: Sequence[RunWrite]
) -> None:
    going_on = [run for run in runs if run.goes_on]
    others = [run for run in runs if not run.goes_on]
    if going_on:
        cursor.executemany(
            _UPDATE_RUN_GOING_ON,
            [
                (run.last_seq, False, run.trusted, False, run.run_id, run.status)
                for run in going_on
            ],
        )
        if cursor.rowcount != len(going_on):
            others = [*runs]  # some stood otherwise: resumed, say, or blocked before
    if others:
        cursor.executemany(
            _UPDATE_RUN,
            [
                (
                    run.last_seq,
                    run.status,
                    moment(database, run.started_us),
                    moment(database, run.finished_us),
                    run.release or run.finished_us is not None,
                    run.release,
                    moment(database, run.wake_us),
                    run.is_waiting,
                    run.trusted,
                    False,
                    run.run_id,
                )
                for run in others
            ],
        )


def write_attributes(database: BaseDatabaseWrapper, runs: Sequence[RunWrite]) -> None:
    """Store the attributes that runs have set, in the current transaction."""
    rows = [
        (json.dumps(run.attributes), run.run_id)
        for run in runs
        if run.attributes is not None
    ]
    if rows:
        with database.cursor() as cursor:
            cursor.executemany(
                "UPDATE django_workflows_run SET attributes = %s WHERE id = %s", rows
            )


def insert_steps(database: BaseDatabaseWrapper, rows: Sequence[StepRow]) -> None:
    """Insert Step rows, in the current transaction."""
    if rows:
        with database.cursor() as cursor:
            cursor.executemany(
                _INSERT_STEP, [_step_values(database, row) for row in rows]
            )


def _step_values(database: BaseDatabaseWrapper, row: StepRow) -> tuple[Any, ...]:
    return (
        row.id,
        row.run_id,
        row.name,
        row.status,
        row.queue,
        row.priority,
        row.attempt,
        row.errors,
        row.crashes,
        row.suspect,
        row.worker,
        moment(database, row.due_us),
        moment(database, row.created_us),
        moment(database, row.started_us),
        moment(database, row.finished_us),
        None if row.args is None else seal(row.args),
        row.options,
        row.limit_key,
        None if row.heartbeat is None else seal(row.heartbeat),
    )
