"""Takes runs that are due, a few at a time, without waiting for anybody."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from django.db.backends.base.base import BaseDatabaseWrapper

from django_workflows.store.database import (
    among,
    among_names,
    exactly,
    from_json,
    is_postgresql,
    marks,
    now_sql,
    to_us,
    transaction,
)
from django_workflows.store.inbox import unread_events

#: Priorities are compared among so many of the runs that have been due longest.
WINDOW = 1000


@dataclass(slots=True)
class ClaimedRun:
    """A run that is the worker's from now on."""

    id: str
    workflow: str
    version: str
    status: str
    key: str | None
    queue: str
    priority: int
    attributes: dict[str, Any]
    fence: int
    last_seq: int
    epoch: int
    attempt: int
    seed: bytes
    started_us: int | None
    deadline_us: int | None
    blocked_times: int
    suspicion: int
    created_us: int
    root_id: str | None
    #: The call of the parent that this run answers, if any.
    parent_call: str
    #: It goes on with what another run has left.
    is_successor: bool
    #: What a run that has not begun was started with, sealed.
    input: bytes | None
    #: Whether its inbox held anything at the time of the claim.
    has_unread: bool


_RUN_COLUMNS = (
    "r.id, r.workflow, r.version, r.status, r.start_key, r.queue, r.priority, "
    "r.attributes, r.fence, r.last_seq, r.epoch, r.attempt, r.seed, r.started_at, "
    "r.deadline_at, r.blocked_times, r.suspicion, r.created_at, r.root_id, "
    "r.parent_call, r.continued_from_id IS NOT NULL"
)


def _claimed(row: Sequence[Any]) -> ClaimedRun:
    return ClaimedRun(
        id=row[0],
        workflow=row[1],
        version=row[2],
        status=row[3],
        key=row[4],
        queue=row[5],
        priority=row[6],
        attributes=from_json(row[7]),
        fence=row[8],
        last_seq=row[9],
        epoch=row[10],
        attempt=row[11],
        seed=bytes(row[12]),
        started_us=None if row[13] is None else to_us(row[13]),
        deadline_us=None if row[14] is None else to_us(row[14]),
        blocked_times=row[15],
        suspicion=row[16],
        created_us=to_us(row[17]),
        root_id=row[18],
        parent_call=row[19],
        is_successor=bool(row[20]),
        input=None if row[21] is None else bytes(row[21]),
        has_unread=bool(row[22]),
    )


# That a step has begun is noted together with its end, if that comes within a second:
# nobody waits for it but people who look.
_LATELY = {
    "postgresql": "{now} - interval '1 second'",
    "sqlite": "STRFTIME('%%Y-%%m-%%d %%H:%%M:%%f', {now}, '-1 second')",
    "mysql": "{now} - INTERVAL 1 SECOND",
}
_OPEN = "('pending', 'running', 'paused')"
# `wake_at` is set on open runs only, and not on paused ones.
_CANDIDATES = """
    SELECT id, priority, due FROM (
        SELECT r.id, r.priority, r.wake_at AS due FROM django_workflows_run r
        WHERE r.queue {queues} AND r.wake_at <= {now} AND r.owner = ''
        AND r.suspicion {suspicion} AND {known} AND {in_time}
        ORDER BY r.wake_at LIMIT {window}
    ) AS by_time
    UNION
    SELECT id, priority, due FROM (
        SELECT DISTINCT r.id, r.priority, r.created_at AS due
        FROM {unread} WHERE e.seq IS NULL AND r.owner = '' AND r.queue {queues}
        AND r.suspicion {suspicion} AND {known} AND {in_time}
        AND (r.queued_at IS NULL OR e.type = 'cancel_requested') AND (
            {status} IN ('pending', 'running') AND r.blocked_reason = ''
            AND e.type <> 'run_terminated'
            AND (e.type <> 'step_started' OR e.created_at <= {lately})
            OR {status} = 'paused' AND e.type IN ('run_resumed', 'cancel_requested')
        ) LIMIT {window}
    ) AS unread
"""


def claim_runs(
    database: BaseDatabaseWrapper,
    worker_id: str,
    queues: Sequence[str],
    known: tuple[tuple[str, str], ...],
    limit: int,
    *,
    suspects: bool = False,
) -> list[ClaimedRun]:
    """Become the owner of up to `limit` due runs of workflows this process knows.

    `suspects` takes runs whose owner died instead of all others; they are marked to be
    advanced alone. A claim is not worth an fsync: one that is lost in a crash of the
    database is made again.
    """
    if not known or limit <= 0:
        return []
    candidates, values = candidates_sql(database, queues, known, suspects)
    if is_postgresql(database):
        return _claim_postgresql(
            database, worker_id, candidates, values, limit, suspects
        )
    return _claim(database, worker_id, candidates, values, limit, suspects)


def candidates_sql(
    database: BaseDatabaseWrapper,
    queues: Sequence[str],
    known: tuple[tuple[str, str], ...],
    suspects: bool,
) -> tuple[str, list[Any]]:
    """A query for due runs of known workflows, and its parameters.

    Due is what has a time that has come, or something unread in its inbox.
    """
    queues_in, queue_values = among(database, queues)
    known_in, known_values = known_sql(database, known)
    candidates = _CANDIDATES.format(
        queues=queues_in,
        known=known_in,
        now=now_sql(database),
        window=WINDOW,
        unread=unread_events(database),
        # The status must not look like something to search by: runs with something
        # unread are far fewer.
        status="r.status || ''" if is_postgresql(database) else "r.status",
        suspicion="> 0" if suspects else "= 0",
        lately=_LATELY[database.vendor].format(now=now_sql(database)),
        # What is over is nobody's to go on with: see `control.expiring`.
        in_time=f"(r.deadline_at IS NULL OR r.deadline_at > {now_sql(database)})",
    )
    return candidates, [*queue_values, *known_values, *queue_values, *known_values]


def known_sql(
    database: BaseDatabaseWrapper, known: tuple[tuple[str, str], ...]
) -> tuple[str, list[Any]]:
    """A condition on runs `r`: their code is known; and its parameters."""
    mark = {
        "postgresql": "(r.workflow || E'\\n' || r.version)",
        "mysql": "CONCAT(r.workflow, '\\n', r.version)",
    }.get(database.vendor, "(r.workflow || char(10) || r.version)")
    known_in, values = among_names(database, _marks(known))
    return f"{exactly(database, mark)} {known_in}", values


@lru_cache
def _marks(known: tuple[tuple[str, str], ...]) -> tuple[str, ...]:
    return tuple(f"{name}\n{version}" for name, version in known)


def _claim_postgresql(
    database: BaseDatabaseWrapper,
    worker_id: str,
    candidates: str,
    values: list[Any],
    limit: int,
    suspects: bool,
) -> list[ClaimedRun]:
    statement = f"""
        WITH quick AS MATERIALIZED (
            SELECT set_config('synchronous_commit', 'off', true)
        ), due AS MATERIALIZED ({candidates}),
        best AS (SELECT id FROM due ORDER BY priority DESC, due, id),
        taken AS MATERIALIZED (
            SELECT free.id FROM quick, best CROSS JOIN LATERAL (
                SELECT r.id FROM django_workflows_run r WHERE r.id = best.id
                AND r.owner = '' AND r.status IN {_OPEN}
                FOR NO KEY UPDATE SKIP LOCKED
            ) AS free LIMIT %s
        )
        UPDATE django_workflows_run r SET owner = %s, fence = r.fence + 1,
            wake_at = NULL, queued_at = NULL, is_alone = %s
        WHERE r.id = ANY(ARRAY(SELECT id FROM taken))
        RETURNING {_RUN_COLUMNS}, (
            SELECT e.payload FROM django_workflows_event e
            WHERE e.run_id = r.id AND e.seq = 1 AND r.last_seq = 1), EXISTS (
            SELECT 1 FROM django_workflows_event u
            WHERE u.run_id = r.id AND u.seq IS NULL)
    """
    with database.cursor() as cursor:
        cursor.execute(statement, [*values, limit, worker_id, suspects])
        claimed = [_claimed(row) for row in cursor.fetchall()]
    # The first to be advanced are the first to get a free slot for their steps.
    return sorted(claimed, key=lambda run: (-run.priority, run.created_us, run.id))


def _claim(
    database: BaseDatabaseWrapper,
    worker_id: str,
    candidates: str,
    values: list[Any],
    limit: int,
    suspects: bool,
) -> list[ClaimedRun]:
    with database.cursor() as cursor:
        # Look before taking the write lock; most looks find nothing.
        cursor.execute(
            f"SELECT id FROM ({candidates}) AS due ORDER BY priority DESC, due, id "
            f"LIMIT {limit}",
            values,
        )
        # One that is due by itself, and has something unread, is in there twice.
        ids = [*dict.fromkeys(row[0] for row in cursor.fetchall())]
    if not ids:
        return []
    skip = " FOR UPDATE SKIP LOCKED" if database.vendor == "mysql" else ""
    with transaction(database), database.cursor() as cursor:
        cursor.execute(
            f"SELECT id FROM django_workflows_run WHERE id IN ({marks(ids)}) "
            f"AND owner = '' AND status IN {_OPEN} ORDER BY id{skip}",
            ids,
        )
        free = [row[0] for row in cursor.fetchall()]
        if not free:
            return []
        cursor.execute(
            "UPDATE django_workflows_run SET owner = %s, fence = fence + 1, "
            "wake_at = NULL, queued_at = NULL, is_alone = %s "
            f"WHERE id IN ({marks(free)})",
            [worker_id, suspects, *free],
        )
        cursor.execute(
            f"SELECT {_RUN_COLUMNS}, e.payload, EXISTS ("
            "SELECT 1 FROM django_workflows_event u "
            "WHERE u.run_id = r.id AND u.seq IS NULL) "
            "FROM django_workflows_run r LEFT JOIN django_workflows_event e "
            "ON e.run_id = r.id AND e.seq = 1 AND r.last_seq = 1 "
            f"WHERE r.id IN ({marks(free)})",
            free,
        )
        found = {row[0]: _claimed(row) for row in cursor.fetchall()}
    return [found[run_id] for run_id in ids if run_id in found]
