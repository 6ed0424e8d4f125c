"""Stores rounds on PostgreSQL in one round trip, or two where hooks are concerned."""

from __future__ import annotations

import json
from base64 import b64encode
from collections.abc import Sequence
from typing import Any

from django.db.backends.base.base import BaseDatabaseWrapper

from django_workflows.core.payloads import seal
from django_workflows.replay import events as log
from django_workflows.replay.events import LogEvent
from django_workflows.store.closing import telling
from django_workflows.store.database import NO_WAITING, to_datetime
from django_workflows.store.hooks import facts_of, token_hash
from django_workflows.store.notify import DONE, DUE, publish
from django_workflows.store.round_children import (
    asked_to_stop,
    calls_json,
    cancel_sql,
    ended_in_families,
    is_usual,
    new_run,
)
from django_workflows.store.round_hooks import open_claims
from django_workflows.store.round_rows import STEP_COLUMNS, detail_text
from django_workflows.store.round_types import RunWrite, StepRow, queues_with_offers
from django_workflows.store.starting import inserting

# Tables are joined by lists of keys, so that no plan reads them as a whole, not even
# one that was made when they were empty. JSON carries the rows because both ends read
# it in C; arrays are written in Python.
_WRITE = f"""
WITH n AS (
    SELECT * FROM json_to_recordset(%(runs)s) AS n(
        id text, fence bigint, seq int, status text, started timestamptz,
        finished timestamptz, release bool, wake timestamptz, waiting bool,
        trusted bool)
), own AS MATERIALIZED (
    SELECT r.id FROM django_workflows_run r JOIN n ON n.id = r.id AND n.fence = r.fence
    WHERE r.id = ANY(%(ids)s) AND r.owner = %(owner)s
    ORDER BY r.id FOR NO KEY UPDATE OF r SKIP LOCKED
), e AS (
    INSERT INTO django_workflows_event
        (run_id, seq, type, correlation_id, detail, payload, created_at)
    SELECT e.r, e.s, e.t, e.c, e.d,
        COALESCE(convert_to(e.p, 'UTF8'), decode(e.b, 'base64')),
        timestamptz 'epoch' + e.m * interval '1 microsecond'
    FROM json_to_recordset(%(events)s)
        AS e(r text, s int, t text, c text, d text, p text, b text, m float8)
    WHERE e.r IN (SELECT id FROM own)
), i AS (
    UPDATE django_workflows_event AS x SET seq = i.s, detail = i.d,
        created_at = timestamptz 'epoch' + i.m * interval '1 microsecond'
    FROM json_to_recordset(%(inbox)s) AS i(k bigint, r text, s int, d text, m float8)
    WHERE x.id = i.k AND x.id = ANY(%(keys)s) AND i.r IN (SELECT id FROM own)
), t AS (
    INSERT INTO django_workflows_step ({STEP_COLUMNS})
    SELECT t.id, t.run, t.name, t.status, t.queue, t.priority, t.attempt, t.errors,
        t.crashes, t.suspect, t.worker, t.due, t.created, t.started, t.finished,
        COALESCE(convert_to(t.p, 'UTF8'), decode(t.b, 'base64')), t.options,
        COALESCE(t.l, ''), decode(t.h, 'base64')
    FROM json_to_recordset(%(steps)s) AS t(
        id text, run text, name text, status text, queue text, priority int,
        attempt int, errors int, crashes int, suspect bool, worker text,
        due timestamptz, created timestamptz, started timestamptz,
        finished timestamptz, p text, b text, options text, l text, h text)
    WHERE t.run IN (SELECT id FROM own)
), u AS (
    UPDATE django_workflows_run AS r SET
        last_seq = n.seq, status = n.status,
        started_at = COALESCE(r.started_at, n.started), finished_at = n.finished,
        owner = CASE WHEN n.release OR n.finished IS NOT NULL THEN ''
            ELSE r.owner END,
        fence = CASE WHEN n.release THEN r.fence + 1 ELSE r.fence END,
        wake_at = n.wake, is_waiting = n.waiting, is_alone = false,
        suspicion = CASE WHEN n.trusted THEN 0 ELSE r.suspicion END,
        blocked_reason = '', blocked_times = 0
    FROM n WHERE r.id = n.id AND r.id = ANY(ARRAY(SELECT id FROM own))
), d AS (
    SELECT pg_notify('{DONE}', n.id) FROM n JOIN own USING (id)
    WHERE n.finished IS NOT NULL
), q AS (
    SELECT pg_notify('{DUE}', o.queue)
    FROM json_array_elements_text(%(queues)s) AS o(queue)
)
SELECT own.id, (SELECT count(*) FROM d), (SELECT count(*) FROM q) FROM own
"""


def write_at_once(
    database: BaseDatabaseWrapper, worker_id: str, runs: Sequence[RunWrite]
) -> set[str]:
    """Store a round in one statement; outside of a transaction that is one commit.

    Returns the runs that were the worker's and not locked by anybody else; nothing is
    written for the others.
    """
    with database.cursor() as cursor:
        cursor.execute(_WRITE, _parameters(worker_id, runs))
        return {row[0] for row in cursor.fetchall()}


_LOCK = """
SELECT id FROM django_workflows_run AS r
JOIN json_to_recordset(%s) AS n(k text, f bigint) ON n.k = r.id AND n.f = r.fence
WHERE r.id = ANY(%s) AND r.owner = %s
ORDER BY r.id FOR NO KEY UPDATE OF r SKIP LOCKED
"""
_GIVE_UP_HOOKS = """
DELETE FROM django_workflows_hook WHERE id IN (
    SELECT id FROM django_workflows_hook WHERE run_id = ANY(%s) OR id = ANY(%s)
    ORDER BY token_hash FOR UPDATE SKIP LOCKED)
"""
_FIND_TROUBLE = f"""
SELECT 1 FROM django_workflows_hook WHERE run_id = ANY(%s) OR id = ANY(%s)
UNION ALL
SELECT 1 FROM django_workflows_event WHERE seq IS NULL AND run_id = ANY(%s)
AND type = '{log.HOOK_RECEIVED}' AND NOT (id = ANY(%s))
"""
_CLAIM_HOOKS = """
INSERT INTO django_workflows_hook
    (id, run_id, token, token_hash, webhook, payload_schema, sealed_metadata,
    created_at)
SELECT c.id, c.run, c.token, c.hash, c.webhook, c.schema,
    COALESCE(convert_to(c.p, 'UTF8'), decode(c.b, 'base64')), c.at
FROM json_to_recordset(%s) AS c(
    id text, run text, token text, hash text, webhook text, schema text, p text,
    b text, at timestamptz)
ORDER BY c.hash ON CONFLICT DO NOTHING RETURNING id
"""
# Whoever waits for the limit of one that was running is told.
_CANCEL_STEPS = f"""
WITH c AS (
    UPDATE django_workflows_step SET status = 'cancelled', due_at = NULL WHERE id IN (
        SELECT id FROM django_workflows_step WHERE id = ANY(%s)
        AND status IN ('pending', 'running') ORDER BY id FOR NO KEY UPDATE)
    RETURNING queue, limit_key
)
SELECT pg_notify('{DUE}', queue) FROM c WHERE limit_key <> '' GROUP BY queue
"""
_SET_ATTRIBUTES = """
UPDATE django_workflows_run AS r SET attributes = a.v
FROM json_to_recordset(%s) AS a(k text, v jsonb) WHERE r.id = a.k AND r.id = ANY(%s)
"""


def commit_in_two_trips(
    database: BaseDatabaseWrapper, worker_id: str, runs: Sequence[RunWrite]
) -> bool:
    """Store a round that claims or gives up hooks, cancels steps, sets attributes,
    starts children or ends runs that have relatives.

    For the usual case, in which nobody else holds any of the rows, tokens or keys: then
    it takes two trips to the server. Otherwise nothing is stored, and it returns False.
    """
    database.ensure_connection()
    ending = [run.run_id for run in runs if run.finished_us and run.has_hooks]
    disposed = [hook_id for run in runs for hook_id in run.disposed]
    concerned = ending + [run.run_id for run in runs if run.disposed]
    if not all(map(is_usual, runs)):
        return False
    taken = [e.row_id for run in runs for e in run.events if e.row_id is not None]
    children = [
        new_run(run, child)
        for run in runs
        if run.family is not None
        for child in run.family.started
    ]
    claims = [_claim_json(run, claim) for run in runs for claim in open_claims(run)]
    locks = [{"k": run.run_id, "f": run.fence} for run in runs]
    connection = database.connection
    with database.wrap_database_errors:
        try:
            with connection.pipeline():
                connection.execute("BEGIN")
                if any(run.claims_names for run in runs):
                    connection.execute(NO_WAITING)
                locked = connection.execute(
                    _LOCK, (json.dumps(locks), [run.run_id for run in runs], worker_id)
                )
                if concerned:
                    connection.execute(_GIVE_UP_HOOKS, (ending, disposed))
                    trouble = connection.execute(
                        _FIND_TROUBLE, (ending, disposed, concerned, taken)
                    )
                if claims:
                    claimed = connection.execute(_CLAIM_HOOKS, (json.dumps(claims),))
                inserted = [
                    connection.execute(statement, values)
                    for statement, values in inserting(database, children)
                ]
            if (
                len(locked.fetchall()) < len(runs)
                or (concerned and trouble.fetchall())
                or (claims and len(claimed.fetchall()) < len(claims))
                or sum(cursor.rowcount for cursor in inserted) < len(children)
            ):
                connection.rollback()
                return False
            set_in = [run for run in runs if run.attributes is not None]
            attributes = [{"k": run.run_id, "v": run.attributes} for run in set_in]
            cancelled = [step_id for run in runs for step_id in run.cancelled_steps]
            stopped = asked_to_stop(runs)
            ended = ended_in_families(runs)
            told = []
            with connection.pipeline():
                connection.execute(_WRITE, _parameters(worker_id, runs))
                if attributes:
                    ids = [run.run_id for run in set_in]
                    connection.execute(_SET_ATTRIBUTES, (json.dumps(attributes), ids))
                if cancelled:
                    connection.execute(_CANCEL_STEPS, (cancelled,))
                if stopped:
                    values = (calls_json(stopped),)
                    told.append(connection.execute(cancel_sql(database), values))
                if ended:
                    told += [
                        connection.execute(statement, (ended,))
                        for statement in telling(database)
                    ]
                connection.execute("COMMIT")
            publish(DUE, {row[0] for cursor in told for row in cursor.fetchall()})
            publish(DUE, {child.queue for child in children})
        except BaseException:
            if not connection.closed:
                connection.rollback()
            raise
    return True


def _claim_json(run: RunWrite, claim: LogEvent) -> dict[str, Any]:
    token = claim.detail["token"]
    webhook, schema = facts_of(claim.detail)
    return {
        "id": claim.correlation_id,
        "run": run.run_id,
        "token": token,
        "hash": token_hash(token),
        "webhook": webhook,
        "schema": schema,
        "at": _iso(claim.time),
        **_bytes(claim.payload),
    }


def _parameters(worker_id: str, runs: Sequence[RunWrite]) -> dict[str, Any]:
    events, inbox, steps, rows = [], [], [], []
    for run in runs:
        for event in run.events:
            if event.row_id is not None:
                inbox.append(
                    {
                        "k": event.row_id,
                        "r": run.run_id,
                        "s": event.seq,
                        "d": detail_text(event),
                        "m": event.time,
                    }
                )
            else:
                events.append(
                    {
                        "r": run.run_id,
                        "s": event.seq,
                        "t": event.type,
                        "c": event.correlation_id,
                        "d": detail_text(event),
                        "m": event.time,
                        **_bytes(event.payload),
                    }
                )
        steps += [_step_json(row) for row in run.steps]
        rows.append(
            {
                "id": run.run_id,
                "fence": run.fence,
                "seq": run.last_seq,
                "status": run.status,
                "started": _iso(run.started_us),
                "finished": _iso(run.finished_us),
                "release": run.release,
                "wake": _iso(run.wake_us),
                "waiting": run.is_waiting,
                "trusted": run.trusted,
            }
        )
    return {
        "owner": worker_id,
        "ids": [run.run_id for run in runs],
        "keys": [row["k"] for row in inbox],
        "runs": json.dumps(rows),
        "events": json.dumps(events),
        "inbox": json.dumps(inbox),
        "steps": json.dumps(steps),
        "queues": json.dumps(sorted(queues_with_offers(runs))),
    }


def _bytes(payload: bytes | None) -> dict[str, str]:
    """Sealed bytes in JSON: as they are where they are text, else in base64."""
    if payload is None:
        return {}
    sealed = seal(payload)
    if sealed.isascii() and b"\0" not in sealed:
        return {"p": sealed.decode("ascii")}
    return {"b": b64encode(sealed).decode("ascii")}


def _iso(us: int | None) -> str | None:
    return None if us is None else to_datetime(us).isoformat()


def _step_json(row: StepRow) -> dict[str, Any]:
    values = {
        "id": row.id,
        "run": row.run_id,
        "name": row.name,
        "status": row.status,
        "queue": row.queue,
        "priority": row.priority,
        "attempt": row.attempt,
        "errors": row.errors,
        "crashes": row.crashes,
        "suspect": row.suspect,
        "worker": row.worker,
        "due": _iso(row.due_us),
        "created": _iso(row.created_us),
        "started": _iso(row.started_us),
        "finished": _iso(row.finished_us),
        **_bytes(row.args),
        "options": row.options,
    }
    if row.limit_key:
        values["l"] = row.limit_key
    if row.heartbeat is not None:
        values["h"] = b64encode(seal(row.heartbeat)).decode("ascii")
    return values
