"""Inserts new runs: a Run row and the first event of its log, in one go."""

from __future__ import annotations

import hashlib
import json
import secrets
from base64 import b64encode
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from django.db import transaction
from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.utils import IntegrityError

from django_workflows.replay.events import RUN_CREATED
from django_workflows.store.database import (
    despite_deadlocks,
    is_postgresql,
    moment,
    now_sql,
    to_us,
)
from django_workflows.store.notify import DUE, notify, publish


@dataclass(slots=True)
class NewRun:
    """A run about to be stored. Times in microseconds since the epoch, or delays in
    seconds counted by the database's clock."""

    id: str
    workflow: str
    version: str
    input: bytes
    key: str | None = None
    queue: str = "default"
    priority: int = 0
    attributes: dict[str, Any] = field(default_factory=dict)
    delay: float = 0.0
    start_us: int | None = None
    timeout: float | None = None
    parent_id: str | None = None
    root_id: str | None = None
    continued_from_id: str | None = None
    seed: bytes = field(default_factory=lambda: secrets.token_bytes(32))


def key_hash(key: str) -> str:
    """What a key's uniqueness is held on: exact, whatever the collation."""
    return hashlib.sha256(key.encode("utf-8", "surrogatepass")).hexdigest()


def insert_runs(
    database: BaseDatabaseWrapper, runs: Sequence[NewRun]
) -> dict[str, int]:
    """Insert runs, in the caller's transaction if there is one.

    Returns the creation time, in microseconds, of those that were inserted; the others
    have a key that is held by another run. Never raises IntegrityError.
    """
    if is_postgresql(database):
        return _insert_postgresql(database, runs)
    return despite_deadlocks(database, lambda: _insert_rows(database, runs))


_POSTGRESQL = f"""
WITH n AS (
    SELECT * FROM json_to_recordset(%s) AS n(
        id text, workflow text, version text, key text, key_held text, queue text,
        priority int, attributes jsonb, delay float8, start_at timestamptz,
        timeout float8, parent_id text, root_id text, continued_from_id text,
        seed text, input text)
), c AS (SELECT {{now}} AS now),
r AS (
    INSERT INTO django_workflows_run (
        id, workflow, version, status, start_key, key_held, queue, priority, attributes,
        parent_id, root_id, continued_from_id, created_at, wake_at, deadline_at,
        is_waiting, owner, fence, last_seq, epoch, attempt, seed,
        blocked_reason, blocked_code, blocked_times, suspicion, is_alone)
    SELECT id, workflow, version, 'pending', key, key_held, queue, priority, attributes,
        parent_id, root_id, continued_from_id, c.now,
        COALESCE(start_at, c.now + delay * interval '1 second'),
        COALESCE(start_at, c.now + delay * interval '1 second')
            + timeout * interval '1 second',
        false, '', 0, 1, 0, 1, decode(seed, 'hex'), '', '', 0, 0, false
    FROM n, c ORDER BY key_held
    ON CONFLICT DO NOTHING
    RETURNING id, queue, created_at
), e AS (
    INSERT INTO django_workflows_event
        (run_id, seq, type, correlation_id, detail, payload, created_at)
    SELECT r.id, 1, '{RUN_CREATED}', '', '', decode(n.input, 'base64'), r.created_at
    FROM r JOIN n ON n.id = r.id
), w AS (
    SELECT pg_notify('{DUE}', queue) FROM (SELECT DISTINCT queue FROM r) AS q
)
SELECT r.id, r.created_at, (SELECT count(*) FROM w) FROM r
"""


# One run alone, as most are started: reading JSON takes longer to plan than to do.
_POSTGRESQL_ONE = f"""
WITH r AS (
    INSERT INTO django_workflows_run (
        id, workflow, version, status, start_key, key_held, queue, priority, attributes,
        parent_id, root_id, continued_from_id, seed, created_at, wake_at, deadline_at,
        is_waiting, owner, fence, last_seq, epoch, attempt,
        blocked_reason, blocked_code, blocked_times, suspicion, is_alone)
    VALUES (%s, %s, %s, 'pending', %s, %s, %s, %s, %s, %s, %s, %s, %s, {{now}},
        COALESCE(%s, {{now}} + %s * interval '1 second'),
        COALESCE(%s, {{now}} + %s * interval '1 second') + %s * interval '1 second',
        false, '', 0, 1, 0, 1, '', '', 0, 0, false)
    ON CONFLICT DO NOTHING RETURNING id, queue, created_at
), e AS (
    INSERT INTO django_workflows_event
        (run_id, seq, type, correlation_id, detail, payload, created_at)
    SELECT id, 1, '{RUN_CREATED}', '', '', %s, created_at FROM r
)
SELECT id, created_at, pg_notify('{DUE}', queue) FROM r
"""


def _one_row(database: BaseDatabaseWrapper, run: NewRun) -> tuple[Any, ...]:
    start_at = moment(database, run.start_us)
    return (
        run.id,
        run.workflow,
        run.version,
        run.key,
        None if run.key is None else key_hash(run.key),
        run.queue,
        run.priority,
        json.dumps(run.attributes),
        run.parent_id,
        run.root_id,
        run.continued_from_id,
        run.seed,
        start_at,
        run.delay,
        start_at,
        run.delay,
        run.timeout,
        run.input,
    )


def _insert_postgresql(
    database: BaseDatabaseWrapper, runs: Sequence[NewRun]
) -> dict[str, int]:
    now = now_sql(database)
    with database.cursor() as cursor:
        if len(runs) == 1:
            statement = _POSTGRESQL_ONE.format(now=now)
            cursor.execute(statement, _one_row(database, runs[0]))
        else:
            cursor.execute(_POSTGRESQL.format(now=now), (_rows_json(database, runs),))
        found = cursor.fetchall()
    # The statement has notified PostgreSQL's listeners itself.
    queues = {run.queue for run in runs}
    if database.in_atomic_block:
        database.on_commit(lambda: publish(DUE, queues), robust=True)
    else:
        publish(DUE, queues)
    return {run_id: to_us(created_at) for run_id, created_at, _ in found}


def _rows_json(database: BaseDatabaseWrapper, runs: Sequence[NewRun]) -> str:
    return json.dumps(
        [
            {
                "id": run.id,
                "workflow": run.workflow,
                "version": run.version,
                "key": run.key,
                "key_held": None if run.key is None else key_hash(run.key),
                "queue": run.queue,
                "priority": run.priority,
                "attributes": run.attributes,
                "delay": run.delay,
                "start_at": run.start_us and moment(database, run.start_us).isoformat(),
                "timeout": run.timeout,
                "parent_id": run.parent_id,
                "root_id": run.root_id,
                "continued_from_id": run.continued_from_id,
                "seed": run.seed.hex(),
                "input": b64encode(run.input).decode(),
            }
            for run in runs
        ]
    )


_COLUMNS = (
    "id, workflow, version, status, start_key, key_held, queue, priority, attributes, "
    "parent_id, root_id, continued_from_id, created_at, wake_at, deadline_at, "
    "is_waiting, owner, fence, last_seq, epoch, attempt, seed, "
    "blocked_reason, blocked_code, blocked_times, suspicion, is_alone"
)
_INSERT_RUN = (
    f"INSERT INTO django_workflows_run ({_COLUMNS}) VALUES (%s, %s, %s, 'pending', %s, "
    "%s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, '', 0, 1, 0, 1, %s, '', '', 0, 0, %s)"
)
_INSERT_EVENT = (
    "INSERT INTO django_workflows_event "
    "(run_id, seq, type, correlation_id, detail, payload, created_at) "
    f"VALUES (%s, 1, '{RUN_CREATED}', '', '', %s, %s)"
)


def _insert_rows(
    database: BaseDatabaseWrapper, runs: Sequence[NewRun]
) -> dict[str, int]:
    with transaction.atomic(using=database.alias), database.cursor() as cursor:
        cursor.execute(f"SELECT {now_sql(database)}", ())
        created_us = to_us(cursor.fetchone()[0])
        free = [run for run in runs if run.key is None]
        cursor.executemany(
            _INSERT_RUN, [_run_row(database, run, created_us) for run in free]
        )
        inserted = list(free)
        # By key, so that two callers with the same keys wait in the same order.
        for run in sorted((r for r in runs if r.key is not None), key=_by_key):
            try:
                with transaction.atomic(using=database.alias):
                    cursor.execute(_INSERT_RUN, _run_row(database, run, created_us))
            except IntegrityError:
                continue
            inserted.append(run)
        created = moment(database, created_us)
        cursor.executemany(
            _INSERT_EVENT, [(run.id, run.input, created) for run in inserted]
        )
        notify(database, DUE, {run.queue for run in inserted})
    return {run.id: created_us for run in inserted}


def _by_key(run: NewRun) -> str:
    return run.key or ""


def _run_row(
    database: BaseDatabaseWrapper, run: NewRun, created_us: int
) -> tuple[Any, ...]:
    start_us = run.start_us or created_us + round(run.delay * 1_000_000)
    deadline_us = None if run.timeout is None else start_us + round(run.timeout * 1e6)
    return (
        run.id,
        run.workflow,
        run.version,
        run.key,
        None if run.key is None else key_hash(run.key),
        run.queue,
        run.priority,
        json.dumps(run.attributes),
        run.parent_id,
        run.root_id,
        run.continued_from_id,
        moment(database, created_us),
        moment(database, start_us),
        moment(database, deadline_us),
        False,
        run.seed,
        False,
    )
