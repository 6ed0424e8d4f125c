"""Lets queued runs begin: as many, and as often, as their limits allow."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from django.db.backends.base.base import BaseDatabaseWrapper

from django_workflows.replay.limits import NO_LIMIT, NO_RATE
from django_workflows.replay.registry import registry
from django_workflows.store.database import (
    among,
    is_postgresql,
    now_sql,
    to_us,
    transaction,
)
from django_workflows.store.limits import (
    Gate,
    Limits,
    Line,
    firsts_sql,
    likely,
    next_start_us,
    quoted,
    skip_locked,
)
from django_workflows.store.notify import DUE, notify
from django_workflows.store.run_claims import known_sql

#: Runs of one line that are let in at a time.
BATCH = 100


def run_limits(
    workflow: str, version: str, max_concurrency: int | None, rate_limit: str
) -> Limits:
    """The limits of a queued run: those of its start, else today's workflow's."""
    defined = registry.find_workflow(workflow, version)
    if max_concurrency is None:
        max_concurrency = None if defined is None else defined.settings.runs_at_once
    rate: str | None = rate_limit
    if not rate:
        rate = None if defined is None else defined.settings.rate_limit
    return Limits(
        None if max_concurrency == NO_LIMIT else max_concurrency,
        None if rate == NO_RATE else rate,
    )


# Keys by jumps through the index, as for steps. A run counts from when it was let in
# until it ends; one that was paused before it began does not.
_COUNT = """
    SELECT COUNT(*) FROM django_workflows_run w WHERE NOT (w.limit_key = '')
    AND w.finished_at IS NULL AND w.queued_at IS NULL AND w.limit_key = {key}
    AND NOT (w.status = 'paused' AND w.started_at IS NULL)
"""
_KEYS = """
        SELECT MIN(r.limit_key) FROM django_workflows_run r
        WHERE r.queued_at IS NOT NULL AND r.finished_at IS NULL
        UNION ALL
        SELECT (SELECT MIN(r.limit_key) FROM django_workflows_run r
            WHERE r.queued_at IS NOT NULL AND r.finished_at IS NULL
            AND r.limit_key > k.limit_key)
        FROM limit_keys k WHERE k.limit_key IS NOT NULL
"""
# MySQL and MariaDB jump by themselves, and told how they would read all open runs at
# each jump. In each key's last entry they see whether any waits.
_GROUPS = """
        SELECT r.limit_key FROM django_workflows_run r WHERE NOT (r.limit_key = '')
        GROUP BY r.limit_key HAVING MAX(r.queued_at) IS NOT NULL
"""
_LINES = """
    WITH RECURSIVE limit_keys(limit_key) AS ({keys})
    SELECT r.limit_key, r.workflow, r.version, r.max_concurrency, r.rate_limit,
        ({count}), COALESCE(l.pace, ''), {now}, r.priority, r.queued_at
    FROM {firsts} LEFT JOIN django_workflows_limit l ON l.{key} = r.limit_key
"""


_FIRST = """
    SELECT r.{column} FROM django_workflows_run r
    WHERE r.queued_at IS NOT NULL AND r.finished_at IS NULL
    AND r.limit_key = k.limit_key AND {eligible}
    ORDER BY r.priority DESC, r.queued_at, r.id LIMIT 1
"""


def run_lines(
    database: BaseDatabaseWrapper,
    queues: Sequence[str],
    known: tuple[tuple[str, str], ...],
) -> list[Line]:
    """The lines of queued runs of known workflows that are due, one for each key."""
    eligible, values = _eligible(database, queues, known)
    statement = _LINES.format(
        keys=_GROUPS if database.vendor == "mysql" else _KEYS,
        firsts=firsts_sql(
            database,
            "django_workflows_run r",
            "limit_keys k",
            _FIRST.format(
                column="*" if is_postgresql(database) else "id", eligible=eligible
            ),
        ),
        count=_COUNT.format(key="r.limit_key"),
        now=now_sql(database),
        key=quoted(database, "key"),
    )
    with database.cursor() as cursor:
        cursor.execute(statement, values)
        return [
            Line(
                key=row[0],
                limits=run_limits(*row[1:5]),
                at_work=row[5],
                pace=row[6],
                now_us=to_us(row[7]),
                priority=row[8],
                since_us=to_us(row[9]),
            )
            for row in cursor.fetchall()
        ]


def admit_runs(
    database: BaseDatabaseWrapper,
    queues: Sequence[str],
    known: tuple[tuple[str, str], ...],
) -> tuple[int, int | None]:
    """Let queued runs begin as far as their limits allow.

    Returns how many, and when a rate limit lets the next one begin, in microseconds.
    """
    if not known:
        return 0, None
    lines = run_lines(database, queues, known)
    nexts = [next_start_us(lines)]
    admitted = 0
    for line in lines:
        if line.may_start:
            count, next_us = _admit(database, line, queues, known)
            admitted += count
            nexts.append(next_us)
    return admitted, min((us for us in nexts if us is not None), default=None)


def _admit(
    database: BaseDatabaseWrapper,
    line: Line,
    queues: Sequence[str],
    known: tuple[tuple[str, str], ...],
) -> tuple[int, int | None]:
    with transaction(database), database.cursor() as cursor:
        gate = Gate(database, cursor, line.key, _COUNT.format(key="%s"))
        eligible, values = _eligible(database, queues, known)
        cursor.execute(
            "SELECT r.id, r.queue, r.workflow, r.version, r.max_concurrency, "
            "r.rate_limit FROM django_workflows_run r "
            "WHERE r.queued_at IS NOT NULL AND r.finished_at IS NULL "
            f"AND r.limit_key = %s AND {eligible} "
            f"ORDER BY r.priority DESC, r.queued_at, r.id LIMIT {BATCH}"
            f"{skip_locked(database, 'r')}",
            [line.key, *values],
        )
        rows = cursor.fetchall()
        allowed = gate.admit([run_limits(*row[2:]) for row in rows])
        if not allowed:
            return 0, gate.next_us
        marks = ", ".join(["%s"] * allowed)
        cursor.execute(
            f"UPDATE django_workflows_run SET wake_at = {now_sql(database)}, "
            f"queued_at = NULL, fence = fence + 1 WHERE id IN ({marks})",
            [row[0] for row in rows[:allowed]],
        )
        notify(database, DUE, {row[1] for row in rows[:allowed]})
    return allowed, gate.next_us


def _eligible(
    database: BaseDatabaseWrapper,
    queues: Sequence[str],
    known: tuple[tuple[str, str], ...],
) -> tuple[str, list[Any]]:
    queues_in, queue_values = among(database, queues)
    known_here, known_values = known_sql(database, known)
    eligible = (
        f"r.queued_at <= {now_sql(database)} AND r.owner = '' "
        f"AND {likely(f'r.queue {queues_in}')} AND {likely(known_here)}"
    )
    return eligible, [*queue_values, *known_values]
