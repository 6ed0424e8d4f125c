"""Takes runs and steps that are due, a few at a time, without waiting for anybody."""

from __future__ import annotations

import json
import logging
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any

from django.db.backends.base.base import BaseDatabaseWrapper

from django_workflows.core.payloads import unseal
from django_workflows.replay.events import STEP_STARTED
from django_workflows.store.database import (
    among,
    is_postgresql,
    moment,
    now_sql,
    to_us,
    transaction,
)
from django_workflows.store.inbox import unread_events
from django_workflows.store.limits import Line, next_start_us
from django_workflows.store.step_lines import (
    NOT_PAUSED,
    Free,
    in_order,
    next_steps,
    step_lines,
)

logger = logging.getLogger("django_workflows.store")

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
    attributes = row[7]
    return ClaimedRun(
        id=row[0],
        workflow=row[1],
        version=row[2],
        status=row[3],
        key=row[4],
        queue=row[5],
        priority=row[6],
        attributes=json.loads(attributes)
        if isinstance(attributes, str | bytes)
        else attributes,
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
    known: Sequence[tuple[str, str]],
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
    known: Sequence[tuple[str, str]],
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
    database: BaseDatabaseWrapper, known: Sequence[tuple[str, str]]
) -> tuple[str, list[Any]]:
    """A condition on runs `r`: their code is known; and its parameters."""
    mark = {
        "postgresql": "(r.workflow || E'\\n' || r.version)",
        "mysql": "CONCAT(r.workflow, '\\n', r.version)",
    }.get(database.vendor, "(r.workflow || char(10) || r.version)")
    known_in, values = among(
        database, [f"{name}\n{version}" for name, version in known]
    )
    return f"{mark} {known_in}", values


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
            f"SELECT id FROM django_workflows_run WHERE id IN ({_marks(ids)}) "
            f"AND owner = '' AND status IN {_OPEN} ORDER BY id{skip}",
            ids,
        )
        free = [row[0] for row in cursor.fetchall()]
        if not free:
            return []
        cursor.execute(
            "UPDATE django_workflows_run SET owner = %s, fence = fence + 1, "
            "wake_at = NULL, queued_at = NULL, is_alone = %s "
            f"WHERE id IN ({_marks(free)})",
            [worker_id, suspects, *free],
        )
        cursor.execute(
            f"SELECT {_RUN_COLUMNS}, e.payload, EXISTS ("
            "SELECT 1 FROM django_workflows_event u "
            "WHERE u.run_id = r.id AND u.seq IS NULL) "
            "FROM django_workflows_run r LEFT JOIN django_workflows_event e "
            "ON e.run_id = r.id AND e.seq = 1 AND r.last_seq = 1 "
            f"WHERE r.id IN ({_marks(free)})",
            free,
        )
        found = {row[0]: _claimed(row) for row in cursor.fetchall()}
    return [found[run_id] for run_id in ids if run_id in found]


def _marks(values: Sequence[Any]) -> str:
    return ", ".join(["%s"] * len(values))


@dataclass(slots=True)
class ClaimedStep:
    """A step attempt that is the worker's from now on."""

    id: str
    run_id: str
    name: str
    queue: str
    attempt: int
    errors: int
    crashes: int
    suspect: bool
    args: bytes
    options: str
    created_us: int
    started_us: int
    workflow: str
    version: str
    key: str | None
    run_attempt: int
    run_started_us: int
    run_queue: str
    attributes: dict[str, Any]
    heartbeat: bytes | None


@dataclass(slots=True)
class Offer:
    """What a look at the steps on offer has seen."""

    #: Due steps without limits.
    free: list[Free]
    #: The lines of due steps with limits.
    lines: list[Line]
    #: Whether runs wait for their limits to let them begin.
    has_queued_runs: bool
    #: Whether there are due steps whose last attempt died with its process.
    has_suspects: bool


@dataclass(slots=True)
class StepClaim:
    """The attempts begun by a look at the steps on offer, and what else it has seen."""

    steps: list[ClaimedStep] = field(default_factory=list)
    #: When a rate limit lets the next one start, in microseconds.
    next_us: int | None = None
    #: Whether runs wait for their limits to let them begin.
    has_queued_runs: bool = False
    #: Whether there are due steps whose last attempt died with its process.
    has_suspects: bool = False


def claim_steps(
    database: BaseDatabaseWrapper,
    worker_id: str,
    queues: Sequence[str],
    known: Sequence[str],
    limit: int,
    *,
    suspects: bool = False,
) -> StepClaim:
    """Begin up to `limit` attempts of due steps that this process knows.

    `suspects` takes those whose last attempt died with its process, else the others.

    The attempt's start is committed, and its run told by an unnumbered event, before
    any of its code can run.
    """
    claim = StepClaim()
    if not known or limit <= 0:
        claim.has_queued_runs = claim.has_suspects = True  # for all it knows
        return claim
    offer = steps_on_offer(database, queues, known, limit, suspects)
    lines = offer.lines
    claim.has_queued_runs = offer.has_queued_runs
    claim.has_suspects = offer.has_suspects
    nexts = [next_start_us(lines)]
    for part in in_order(offer.free, lines):
        left = limit - len(claim.steps)
        if left <= 0:
            break
        with transaction(database), database.cursor() as cursor:
            now_us = None
            if part.line is None:
                ids = _lock_free(database, cursor, part.ids[:left])
            else:
                ids, gate = next_steps(
                    database,
                    cursor,
                    part.line,
                    queues,
                    known,
                    left,
                    suspects=suspects,
                    least_priority=part.least_priority,
                    can_read=_can_read,
                )
                nexts.append(gate.next_us)
                now_us = gate.now_us
            if ids:
                claim.steps += _begin_steps(database, cursor, worker_id, ids, now_us)
    claim.next_us = min((us for us in nexts if us is not None), default=None)
    return claim


# What there is besides steps without limits, whoever it is for: seldom anything, so
# that this must cost nothing. In the words of the partial indexes.
_BESIDES = """
    UNION ALL SELECT '', 1, {now} FROM (SELECT 1) AS one WHERE EXISTS (
        SELECT 1 FROM django_workflows_step s
        WHERE NOT (s.limit_key = '') AND s.status = 'pending')
    UNION ALL SELECT '', 2, {now} FROM (SELECT 1) AS one WHERE EXISTS (
        SELECT 1 FROM django_workflows_run r
        WHERE r.queued_at IS NOT NULL AND r.finished_at IS NULL)
    UNION ALL SELECT '', 3, {now} FROM (SELECT 1) AS one WHERE EXISTS (
        SELECT 1 FROM django_workflows_step s WHERE s.suspect AND s.status = 'pending')
"""


def steps_on_offer(
    database: BaseDatabaseWrapper,
    queues: Sequence[str],
    known: Sequence[str],
    limit: int,
    suspects: bool | None,
) -> Offer:
    """What there is to be begun, at most `limit` of the steps without limits.

    `suspects` tells which steps: those whose last attempt died with its process, the
    others, or None for both.
    """
    queues_in, queue_values = among(database, queues)
    known_in, known_values = among(database, known)
    now = now_sql(database)
    suspect = "" if suspects is None else "AND s.suspect = %s"
    statement = f"""
        SELECT id, priority, due_at FROM (
            SELECT s.id, s.priority, s.due_at FROM django_workflows_step s
            WHERE s.queue {queues_in} AND s.due_at <= {now} AND s.limit_key = ''
            AND s.status = 'pending' AND s.name {known_in} AND {NOT_PAUSED} {suspect}
            ORDER BY s.priority DESC, s.due_at, s.created_at, s.run_id LIMIT %s
        ) AS free {_BESIDES.format(now=now)}
    """
    values = [*queue_values, *known_values]
    values += [] if suspects is None else [suspects]
    with database.cursor() as cursor:
        cursor.execute(statement, [*values, limit])
        rows = cursor.fetchall()
    besides = {row[1] for row in rows if not row[0]}
    return Offer(
        [Free(row[0], row[1], to_us(row[2])) for row in rows if row[0]],
        step_lines(database, queues, known, suspects) if 1 in besides else [],
        has_queued_runs=2 in besides,
        has_suspects=3 in besides,
    )


def _lock_free(
    database: BaseDatabaseWrapper, cursor: Any, ids: Sequence[str]
) -> list[str]:
    """Those of the steps that nobody else has taken and this process can read."""
    skip = "" if database.vendor == "sqlite" else " FOR UPDATE SKIP LOCKED"
    cursor.execute(
        "SELECT id, args, heartbeat FROM django_workflows_step "
        f"WHERE id IN ({_marks(ids)}) AND status = 'pending' ORDER BY id{skip}",
        ids,
    )
    free = {row[0] for row in cursor.fetchall() if _can_read(*row)}
    return [step_id for step_id in ids if step_id in free]


def _begin_steps(
    database: BaseDatabaseWrapper,
    cursor: Any,
    worker_id: str,
    ids: Sequence[str],
    now_us: int | None,
) -> list[ClaimedStep]:
    """Begin attempts of steps, which are locked, now or at the time of their limit."""
    if now_us is None:
        cursor.execute(f"SELECT {now_sql(database)}", ())
        now_us = to_us(cursor.fetchone()[0])
    now = moment(database, now_us)
    cursor.execute(
        "UPDATE django_workflows_step SET status = 'running', "
        "attempt = attempt + 1, worker = %s, due_at = NULL, started_at = %s "
        f"WHERE id IN ({_marks(ids)})",
        [worker_id, now, *ids],
    )
    cursor.execute(
        "SELECT s.id, s.run_id, s.name, s.queue, s.attempt, s.errors, s.crashes, "
        "s.suspect, s.args, s.options, s.created_at, r.workflow, r.version, "
        "r.start_key, r.attempt, r.started_at, r.queue, r.attributes, "
        "s.heartbeat FROM django_workflows_step s JOIN django_workflows_run r "
        f"ON r.id = s.run_id WHERE s.id IN ({_marks(ids)}) ORDER BY s.id",
        ids,
    )
    claimed = {row[0]: _claimed_step(row, now_us) for row in cursor.fetchall()}
    cursor.executemany(
        "INSERT INTO django_workflows_event "
        "(run_id, seq, type, correlation_id, detail, payload, created_at) "
        f"VALUES (%s, NULL, '{STEP_STARTED}', %s, %s, NULL, %s)",
        [
            (
                step.run_id,
                step.id,
                json.dumps(
                    {
                        "attempt": step.attempt,
                        "worker": worker_id,
                        "row": True,
                        **({"alone": True} if step.suspect else {}),
                    }
                ),
                now,
            )
            for step in claimed.values()
        ],
    )
    return [claimed[step_id] for step_id in ids if step_id in claimed]


def _can_read(step_id: str, *payloads: Any) -> bool:
    """Whether this process has what it takes to read them; else others may."""
    try:
        for payload in payloads:
            unseal(bytes(payload or b""))
    except Exception as error:
        _tell_unreadable(step_id, str(error))
        return False
    return True


@lru_cache(maxsize=1000)
def _tell_unreadable(step_id: str, error: str) -> None:
    """Once for each step: it is looked at again several times a second."""
    logger.warning(
        "step %s cannot be read by this process and is left to others: %s",
        step_id,
        error,
        extra={"action": "step_unreadable", "step": step_id},
    )


def _claimed_step(row: Sequence[Any], now_us: int) -> ClaimedStep:
    attributes = row[17]
    return ClaimedStep(
        id=row[0],
        run_id=row[1],
        name=row[2],
        queue=row[3],
        attempt=row[4],
        errors=row[5],
        crashes=row[6],
        suspect=bool(row[7]),
        args=unseal(bytes(row[8] or b"")),
        options=row[9],
        created_us=to_us(row[10]),
        started_us=now_us,
        workflow=row[11],
        version=row[12],
        key=row[13],
        run_attempt=row[14],
        run_started_us=now_us if row[15] is None else to_us(row[15]),
        run_queue=row[16],
        attributes=json.loads(attributes)
        if isinstance(attributes, str | bytes)
        else attributes,
        heartbeat=None if row[18] is None else unseal(bytes(row[18])),
    )
