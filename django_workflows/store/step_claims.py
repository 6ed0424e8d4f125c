"""Takes steps that are due, a few at a time, without waiting for anybody."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from django.db.backends.base.base import BaseDatabaseWrapper

from django_workflows.core.payloads import unseal
from django_workflows.replay.actions import KnownSteps
from django_workflows.replay.events import STEP_STARTED
from django_workflows.store.attempts import LAST, fail_uncountable
from django_workflows.store.database import (
    among,
    from_json,
    marks,
    moment,
    now_sql,
    to_us,
    transaction,
)
from django_workflows.store.limits import Line, next_start_us
from django_workflows.store.step_lines import (
    NOT_PAUSED,
    Free,
    in_order,
    known_steps_sql,
    next_steps,
    step_lines,
)
from django_workflows.store.unreadable import unreadable


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
    known: KnownSteps,
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
    if limit <= 0:
        claim.has_queued_runs = claim.has_suspects = True  # for all it knows
        return claim
    met = -1
    while len(claim.steps) < limit and met < unreadable.met:
        # Behind what turned out to be unreadable others may have waited.
        met = unreadable.met
        _take(claim, database, worker_id, queues, known, limit, suspects)
    return claim


def _take(
    claim: StepClaim,
    database: BaseDatabaseWrapper,
    worker_id: str,
    queues: Sequence[str],
    known: KnownSteps,
    limit: int,
    suspects: bool,
) -> None:
    """Look once, and begin what there is to be begun."""
    offer = steps_on_offer(database, queues, known, limit - len(claim.steps), suspects)
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
                )
                nexts.append(gate.next_us)
                now_us = gate.now_us
            begun = []
            if ids:
                begun = _begin_steps(database, cursor, worker_id, ids, now_us)
        claim.steps += begun
        if len(begun) < len(ids):
            fail_uncountable(database, ids)
    claim.next_us = min((us for us in nexts if us is not None), default=None)


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
        SELECT 1 FROM django_workflows_step s WHERE {suspect} AND s.status = 'pending')
"""
# The same in our queues for MySQL and MariaDB, which have no partial indexes: by those,
# all of them full, that end at once where nothing waits. An EXISTS ignores groups.
_BESIDES_IN_FULL = """
    UNION ALL SELECT '', 1, {now} FROM (
        SELECT s.limit_key FROM django_workflows_step s
        WHERE NOT (s.limit_key = '') AND s.status = 'pending'
        GROUP BY s.limit_key LIMIT 1) AS one
    UNION ALL SELECT '', 2, {now} FROM (SELECT 1) AS one WHERE EXISTS (
        SELECT 1 FROM django_workflows_run r WHERE r.queue {queues_in}
        AND r.queued_at IS NOT NULL AND r.finished_at IS NULL)
    UNION ALL SELECT '', 3, {now} FROM (SELECT 1) AS one WHERE EXISTS (
        SELECT 1 FROM django_workflows_step s WHERE s.queue {queues_in}
        AND s.due_at IS NOT NULL AND s.suspect AND s.status = 'pending')
"""
# SQLite takes a partial index by its words: since Django 6.1 those are "suspect" = 1.
_SUSPECT = {"sqlite": "s.suspect AND s.suspect = 1"}


def steps_on_offer(
    database: BaseDatabaseWrapper,
    queues: Sequence[str],
    known: KnownSteps,
    limit: int,
    suspects: bool | None,
) -> Offer:
    """What there is to be begun, at most `limit` of the steps without limits.

    `suspects` tells which steps: those whose last attempt died with its process, the
    others, or None for both.
    """
    queues_in, queue_values = among(database, queues)
    is_known, known_values = known_steps_sql(database, known)
    now = now_sql(database)
    suspect = "" if suspects is None else "AND s.suspect = %s"
    is_mysql = database.vendor == "mysql"
    besides_sql = (_BESIDES_IN_FULL if is_mysql else _BESIDES).format(
        now=now,
        queues_in=queues_in,
        suspect=_SUSPECT.get(database.vendor, "s.suspect"),
    )
    besides_values = queue_values * 2 if is_mysql else []
    statement = f"""
        SELECT id, priority, due_at FROM (
            SELECT s.id, s.priority, s.due_at FROM django_workflows_step s
            WHERE s.queue {queues_in} AND s.due_at <= {now} AND s.limit_key = ''
            AND s.status = 'pending' AND {is_known} AND {NOT_PAUSED} {suspect}
            ORDER BY s.priority DESC, s.due_at, s.created_at, s.run_id LIMIT %s
        ) AS free {besides_sql}
    """
    values = [*queue_values, *known_values]
    values += [] if suspects is None else [suspects]
    with database.cursor() as cursor:
        cursor.execute(statement, [*values, limit, *besides_values])
        rows = cursor.fetchall()
    besides = {row[1] for row in rows if not row[0]}
    return Offer(
        [Free(row[0], row[1], to_us(row[2])) for row in rows if row[0]],
        step_lines(database, queues, known, suspects) if 1 in besides else [],
        has_queued_runs=2 in besides,
        has_suspects=3 in besides,
    )


def readable_offer(
    database: BaseDatabaseWrapper, queues: Sequence[str], known: KnownSteps
) -> Offer:
    """What there is to be begun, one of the steps without limits at most: nothing, if
    this process cannot read any of it."""
    while True:
        offer = steps_on_offer(database, queues, known, 1, None)
        firsts = [step.id for step in offer.free]
        firsts += [line.first for line in offer.lines if line.may_start]
        if not firsts or any(_can_read(database, step_id) for step_id in firsts):
            return offer


def _can_read(database: BaseDatabaseWrapper, step_id: str) -> bool:
    with database.cursor() as cursor:
        cursor.execute(
            "SELECT id, args, heartbeat FROM django_workflows_step WHERE id = %s",
            (step_id,),
        )
        rows = cursor.fetchall()
    return all(unreadable.can_read(*row) for row in rows)


def _lock_free(
    database: BaseDatabaseWrapper, cursor: Any, ids: Sequence[str]
) -> list[str]:
    """Those of the steps that nobody else has taken and this process can read.

    One that was taken since the look, and has failed, waits for its next attempt.
    """
    skip = "" if database.vendor == "sqlite" else " FOR UPDATE SKIP LOCKED"
    cursor.execute(
        "SELECT id, args, heartbeat FROM django_workflows_step "
        f"WHERE id IN ({marks(ids)}) AND status = 'pending' "
        f"AND due_at <= {now_sql(database)} ORDER BY id{skip}",
        ids,
    )
    free = {row[0] for row in cursor.fetchall() if unreadable.can_read(*row)}
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
        f"WHERE id IN ({marks(ids)}) AND attempt < {LAST}",
        [worker_id, now, *ids],
    )
    cursor.execute(
        "SELECT s.id, s.run_id, s.name, s.queue, s.attempt, s.errors, s.crashes, "
        "s.suspect, s.args, s.options, s.created_at, r.workflow, r.version, "
        "r.start_key, r.attempt, r.started_at, r.queue, r.attributes, "
        "s.heartbeat FROM django_workflows_step s JOIN django_workflows_run r "
        f"ON r.id = s.run_id WHERE s.id IN ({marks(ids)}) AND s.status = 'running' "
        "ORDER BY s.id",
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


def _claimed_step(row: Sequence[Any], now_us: int) -> ClaimedStep:
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
        attributes=from_json(row[17]),
        heartbeat=None if row[18] is None else unseal(bytes(row[18])),
    )
