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
from django_workflows.signals import run_created
from django_workflows.store.announcements import News, announce
from django_workflows.store.database import (
    database_time,
    despite_deadlocks,
    is_postgresql,
    moment,
    now_sql,
    to_datetime,
    to_us,
)
from django_workflows.store.inbox import as_text
from django_workflows.store.notify import DUE, notify, publish


@dataclass(slots=True)
class NewRun:
    """A run about to be stored. Times in microseconds since the epoch, or delays in
    seconds counted by the database's clock."""

    id: str
    workflow: str
    version: str
    #: The arguments, sealed.
    input: bytes
    key: str | None = None
    queue: str = "default"
    priority: int = 0
    attributes: dict[str, Any] = field(default_factory=dict)
    delay: float = 0.0
    start_us: int | None = None
    timeout: float | None = None
    #: A deadline that holds whatever the time-out says: that of the parent.
    deadline_us: int | None = None
    parent_id: str | None = None
    root_id: str | None = None
    continued_from_id: str | None = None
    parent_call: str = ""
    parent_close_policy: str = ""
    retention: float | None = None
    #: With a limit the run is queued: it begins when its limits let it.
    limit_key: str = ""
    max_concurrency: int | None = None
    rate_limit: str = ""
    seed: bytes = field(default_factory=lambda: secrets.token_bytes(32))
    #: What the first event of its log says.
    detail: dict[str, str] = field(default_factory=dict)
    #: Its id says what it is: there may be such a run already.
    may_exist: bool = False


def key_hash(key: str) -> str:
    """What a key's uniqueness is held on: exact, whatever the collation."""
    return hashlib.sha256(key.encode("utf-8", "surrogatepass")).hexdigest()


def insert_runs(
    database: BaseDatabaseWrapper, runs: Sequence[NewRun]
) -> dict[str, int]:
    """Insert runs, in the caller's transaction if there is one.

    Returns the creation time, in microseconds, of those that were inserted; the others
    are there already, or have a key that another run holds. Never raises
    IntegrityError.
    """
    if is_postgresql(database):
        created = _insert_postgresql(database, runs)
    else:
        created = despite_deadlocks(database, lambda: _insert_rows(database, runs))
    if run_created.receivers:
        news = [
            News(run_created, run.id, run.workflow, "pending")
            for run in runs
            if run.id in created
        ]
        announce(database, news)
    return created


#: Columns that say what is to be run, in the types of PostgreSQL. `start_at` and the
#: two after it are no columns themselves: the times of the run follow from them.
_GIVEN = {
    "id": "text",
    "workflow": "text",
    "version": "text",
    "start_key": "text",
    "key_held": "text",
    "queue": "text",
    "priority": "int",
    "attributes": "jsonb",
    "parent_id": "text",
    "root_id": "text",
    "continued_from_id": "text",
    "parent_call": "text",
    "parent_close_policy": "text",
    "timeout": "float8",
    "retention": "float8",
    "limit_key": "text",
    "max_concurrency": "int",
    "rate_limit": "text",
}
#: Columns that are the same in every new run.
_FRESH: dict[str, Any] = {
    "status": "pending",
    "is_waiting": False,
    "owner": "",
    "fence": 0,
    "last_seq": 1,
    "epoch": 0,
    "attempt": 1,
    "blocked_reason": "",
    "blocked_code": "",
    "blocked_times": 0,
    "suspicion": 0,
    "is_alone": False,
}
_TIMES = ("created_at", "wake_at", "queued_at", "deadline_at")
_COLUMNS = ", ".join((*_GIVEN, "seed", *_TIMES, *_FRESH))


def _given(run: NewRun) -> tuple[Any, ...]:
    """The values of `_GIVEN`, in its order."""
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
        run.parent_call,
        run.parent_close_policy,
        run.timeout,
        run.retention,
        run.limit_key,
        run.max_concurrency,
        run.rate_limit,
    )


def _constants() -> str:
    return ", ".join(
        f"'{value}'" if isinstance(value, str) else str(value).lower()
        for value in _FRESH.values()
    )


def _insert_from(source: str) -> str:
    """The statement that inserts runs and their first events from rows of `source`,
    which has the columns of `_GIVEN` and `seed, detail, input, start_at, delay, cap`.
    """
    return f"""
    WITH n AS ({source}), c AS (
        SELECT n.*, {{now}} AS now,
            COALESCE(start_at, {{now}} + delay * interval '1 second') AS due
        FROM n
    ), r AS (
        INSERT INTO django_workflows_run ({_COLUMNS})
        SELECT {", ".join(_GIVEN)}, seed, now,
            CASE WHEN limit_key = '' THEN due END,
            CASE WHEN limit_key <> '' THEN due END,
            LEAST(due + timeout * interval '1 second', cap),
            {_constants()}
        FROM c ORDER BY key_held
        ON CONFLICT DO NOTHING
        RETURNING id, queue, created_at
    ), e AS (
        INSERT INTO django_workflows_event
            (run_id, seq, type, correlation_id, detail, payload, created_at)
        SELECT r.id, 1, '{RUN_CREATED}', '', n.detail, n.input, r.created_at
        FROM r JOIN n ON n.id = r.id
    ), w AS (
        SELECT pg_notify('{DUE}', queue) FROM (SELECT DISTINCT queue FROM r) AS q
    )
    SELECT r.id, r.created_at, (SELECT count(*) FROM w) FROM r
    """


_FIELDS = ", ".join(f"{name} {kind}" for name, kind in _GIVEN.items())
_POSTGRESQL = _insert_from(f"""
    SELECT {", ".join(_GIVEN)}, decode(seed, 'hex') AS seed,
        detail, decode(input, 'base64') AS input, start_at, delay, cap
    FROM json_to_recordset(%s) AS j({_FIELDS}, seed text, detail text, input text,
        start_at timestamptz, delay float8, cap timestamptz)
""")
# One run alone, as most are started: reading JSON takes longer to plan than to do.
_POSTGRESQL_ONE = _insert_from(
    "SELECT "
    + ", ".join(f"%s::{kind} AS {name}" for name, kind in _GIVEN.items())
    + ", %s::bytea AS seed, %s::text AS detail, %s::bytea AS input, "
    "%s::timestamptz AS start_at, %s::float8 AS delay, %s::timestamptz AS cap"
)


def _insert_postgresql(
    database: BaseDatabaseWrapper, runs: Sequence[NewRun]
) -> dict[str, int]:
    now = now_sql(database)
    with database.cursor() as cursor:
        if len(runs) == 1:
            statement = _POSTGRESQL_ONE.format(now=now)
            cursor.execute(statement, _given_values(database, runs[0]))
        else:
            cursor.execute(_POSTGRESQL.format(now=now), (_rows_json(runs),))
        found = cursor.fetchall()
    # The statement has notified PostgreSQL's listeners itself.
    queues = {run.queue for run in runs}
    if database.in_atomic_block:
        database.on_commit(lambda: publish(DUE, queues), robust=True)
    else:
        publish(DUE, queues)
    return {run_id: to_us(created_at) for run_id, created_at, _ in found}


def inserting(
    database: BaseDatabaseWrapper, runs: Sequence[NewRun]
) -> list[tuple[str, tuple[str]]]:
    """On PostgreSQL: statements that insert runs, and their parameters. Each returns
    one row for each run that it inserts."""
    statement = _POSTGRESQL.format(now=now_sql(database))
    return [
        (statement, (_rows_json(runs[first : first + 1000]),))
        for first in range(0, len(runs), 1000)
    ]


def _given_values(database: BaseDatabaseWrapper, run: NewRun) -> tuple[Any, ...]:
    return (
        *_given(run),
        run.seed,
        as_text(run.detail),
        run.input,
        moment(database, run.start_us),
        run.delay,
        moment(database, run.deadline_us),
    )


def _rows_json(runs: Sequence[NewRun]) -> str:
    return json.dumps(
        [
            dict(zip(_GIVEN, _given(run), strict=True))
            | {
                "attributes": run.attributes,
                "seed": run.seed.hex(),
                "detail": as_text(run.detail),
                "input": b64encode(run.input).decode(),
                "start_at": _iso(run.start_us),
                "delay": run.delay,
                "cap": _iso(run.deadline_us),
            }
            for run in runs
        ]
    )


def _iso(us: int | None) -> str | None:
    return None if us is None else to_datetime(us).isoformat()


_INSERT_RUN = (
    f"INSERT INTO django_workflows_run ({_COLUMNS}) VALUES "
    f"({', '.join(['%s'] * len(_COLUMNS.split(', ')))})"
)
_INSERT_EVENT = (
    "INSERT INTO django_workflows_event "
    "(run_id, seq, type, correlation_id, detail, payload, created_at) "
    f"VALUES (%s, 1, '{RUN_CREATED}', '', %s, %s, %s)"
)


def _insert_rows(
    database: BaseDatabaseWrapper, runs: Sequence[NewRun]
) -> dict[str, int]:
    with transaction.atomic(using=database.alias), database.cursor() as cursor:
        cursor.execute(f"SELECT {now_sql(database)}", ())
        created_us = to_us(cursor.fetchone()[0])
        free = [run for run in runs if run.key is None and not run.may_exist]
        cursor.executemany(
            _INSERT_RUN, [_run_row(database, run, created_us) for run in free]
        )
        inserted = list(free)
        # By key, so that two callers with the same keys wait in the same order.
        claims = [run for run in runs if run.key is not None or run.may_exist]
        for run in sorted(claims, key=_by_key):
            try:
                with transaction.atomic(using=database.alias):
                    cursor.execute(_INSERT_RUN, _run_row(database, run, created_us))
            except IntegrityError:
                continue
            inserted.append(run)
        created = moment(database, created_us)
        cursor.executemany(_INSERT_EVENT, _first_events(inserted, created))
        notify(database, DUE, {run.queue for run in inserted})
    return {run.id: created_us for run in inserted}


def insert_in_transaction(
    database: BaseDatabaseWrapper, runs: Sequence[NewRun]
) -> set[str]:
    """Insert runs in the current transaction of this very connection.

    Returns the ids of those that were inserted; the others have a key that is held.
    """
    inserted: set[str] = set()
    for first in range(0, len(runs), 1000):
        part = runs[first : first + 1000]
        if is_postgresql(database):
            inserted |= _insert_postgresql(database, part).keys()
        else:
            inserted |= _insert_or_ignore(database, part)
    return inserted


def _insert_or_ignore(
    database: BaseDatabaseWrapper, runs: Sequence[NewRun]
) -> set[str]:
    created_us = database_time(database)
    free = [run for run in runs if run.key is None]
    insert_keyed = {
        "mysql": _INSERT_RUN.replace("INSERT INTO", "INSERT IGNORE INTO", 1),
    }.get(database.vendor, f"{_INSERT_RUN} ON CONFLICT DO NOTHING")
    with database.cursor() as cursor:
        cursor.executemany(
            _INSERT_RUN, [_run_row(database, run, created_us) for run in free]
        )
        inserted = list(free)
        for run in sorted((r for r in runs if r.key is not None), key=_by_key):
            cursor.execute(insert_keyed, _run_row(database, run, created_us))
            if cursor.rowcount == 1:
                inserted.append(run)
        created = moment(database, created_us)
        cursor.executemany(_INSERT_EVENT, _first_events(inserted, created))
    notify(database, DUE, {run.queue for run in inserted})
    return {run.id for run in inserted}


def _first_events(runs: Sequence[NewRun], created: Any) -> list[tuple[Any, ...]]:
    return [(run.id, as_text(run.detail), run.input, created) for run in runs]


def _by_key(run: NewRun) -> str:
    return run.key or ""


def _run_row(
    database: BaseDatabaseWrapper, run: NewRun, created_us: int
) -> tuple[Any, ...]:
    start_us = run.start_us or created_us + round(run.delay * 1_000_000)
    start = moment(database, start_us)
    return (
        *_given(run),
        run.seed,
        moment(database, created_us),
        None if run.limit_key else start,
        start if run.limit_key else None,
        moment(database, deadline_of(run, start_us)),
        *_FRESH.values(),
    )


def deadline_of(run: NewRun, start_us: int) -> int | None:
    """When a run that may begin at `start_us` has to have ended: the earlier of what
    its time-out says and of its parent's deadline."""
    deadlines = [] if run.timeout is None else [start_us + round(run.timeout * 1e6)]
    deadlines += [] if run.deadline_us is None else [run.deadline_us]
    return min(deadlines, default=None)


def insert_successor(
    database: BaseDatabaseWrapper,
    run_id: str,
    successor_id: str,
    *,
    key_held: str | None,
    last_seq: int,
    created_us: int,
    deadline_us: int | None,
) -> None:
    """Insert the run in which another goes on, with all that was said of that one.

    It is due at once: what limits the other run's workflow has let that begin, and the
    successor takes its place.
    """
    columns = {name: name for name in _GIVEN}
    columns |= {"id": "%s", "key_held": "%s", "continued_from_id": "id"}
    fresh = list((_FRESH | {"last_seq": last_seq}).values())
    marks = ", ".join(["%s"] * (1 + len(_TIMES) + len(fresh)))
    created = moment(database, created_us)
    with database.cursor() as cursor:
        cursor.execute(
            f"INSERT INTO django_workflows_run ({_COLUMNS}) "
            f"SELECT {', '.join(columns.values())}, {marks} "
            "FROM django_workflows_run WHERE id = %s",
            (
                successor_id,
                key_held,
                secrets.token_bytes(32),
                created,
                created,
                None,
                moment(database, deadline_us),
                *fresh,
                run_id,
            ),
        )
