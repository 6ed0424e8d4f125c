"""What is due in the queues and not at work yet, and since when.

Cheap however much that is: it jumps from queue to queue in the indexes of open work,
and counts no further than `COUNTED`. Two statements for any number of queues.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django_workflows.models import Run
from django_workflows.store.database import (
    alias,
    connection,
    moment,
    to_datetime,
    to_us,
)

#: No count goes beyond this: from there on it is "very many".
COUNTED = 1_000
#: Queues looked at, at most.
QUEUES = 100

#: Each kind of waiting work in the words of its partial index: the table, what is true
#: of it, and since when it waits. First two kinds of runs, then two of steps.
_KINDS = (
    ("django_workflows_run", "wake_at IS NOT NULL", "wake_at"),
    (
        "django_workflows_run",
        "queued_at IS NOT NULL AND finished_at IS NULL",
        "queued_at",
    ),
    ("django_workflows_step", "due_at IS NOT NULL AND limit_key = ''", "due_at"),
    ("django_workflows_step", "due_at IS NOT NULL AND NOT (limit_key = '')", "due_at"),
)


@dataclass(frozen=True)
class QueueWait:
    """What is due in a queue, and since when the oldest is, and the oldest run."""

    name: str
    due_runs: int
    due_steps: int
    oldest_due_at: datetime
    oldest_run_at: datetime | None


def waits_of_queues(now: datetime) -> list[QueueWait]:
    """The queues in which something is due, by name."""
    database = connection()
    due_by = moment(database, to_us(now))
    with database.cursor() as cursor:
        is_mysql = database.vendor == "mysql"
        cursor.execute(_groups_sql() if is_mysql else _names_sql(), ())
        names = sorted({row[0] for row in cursor.fetchall()})[:QUEUES]
        if not names:
            return []
        values: list[Any] = []
        for name in names:
            values += [name, *[name, due_by] * 2 * len(_KINDS)]
        cursor.execute(" UNION ALL ".join([_due_sql()] * len(names)), values)
        rows = cursor.fetchall()
    waits = (_wait(name, found[0::2], found[1::2]) for name, *found in sorted(rows))
    return [wait for wait in waits if wait is not None]


def oldest_run(wait: QueueWait, now: datetime) -> Run | None:
    """The run that waits longest in a queue; None if it has been taken meanwhile."""
    runs = Run.objects.using(alias()).filter(queue=wait.name)
    # In the words of the partial indexes.
    woken = runs.filter(wake_at__isnull=False, wake_at__lte=now).order_by("wake_at")
    queued = runs.filter(
        queued_at__isnull=False, finished_at__isnull=True, queued_at__lte=now
    ).order_by("queued_at")
    found = [(run.wake_at or now, run) for run in woken[:1]]
    found += [(run.queued_at or now, run) for run in queued[:1]]
    return min(found, key=lambda each: each[0])[1] if found else None


def _wait(name: str, counts: list[int], times: list[Any]) -> QueueWait | None:
    dues = [None if time is None else to_datetime(to_us(time)) for time in times]
    oldest = min(filter(None, dues), default=None)
    if oldest is None:
        return None
    return QueueWait(
        name,
        min(sum(counts[:2]), COUNTED),
        min(sum(counts[2:]), COUNTED),
        oldest,
        min(filter(None, dues[:2]), default=None),
    )


def _names_sql() -> str:
    """The queues in which something waits, found from one to the next in each index."""
    jumps, ends = [], []
    for number, (table, condition, _column) in enumerate(_KINDS):
        jumps.append(
            f"jump{number}(name, number) AS ("
            f"SELECT MIN(queue), 1 FROM {table} WHERE {condition} UNION ALL SELECT "
            f"(SELECT MIN(queue) FROM {table} WHERE {condition} AND queue > name), "
            f"number + 1 FROM jump{number} "
            f"WHERE name IS NOT NULL AND number < {QUEUES})"
        )
        ends.append(f"SELECT name FROM jump{number} WHERE name IS NOT NULL")
    return f"WITH RECURSIVE {', '.join(jumps)} {' UNION ALL '.join(ends)}"


def _groups_sql() -> str:
    """The same for MySQL and MariaDB, whose indexes hold what has ended, too: they find
    the last entry of each queue, which waits if any does. By jumps they would read all.
    """
    kinds = sorted({(table, column) for table, _condition, column in _KINDS})
    return " UNION ALL ".join(
        f"SELECT queue FROM {table} GROUP BY queue HAVING MAX({column}) IS NOT NULL"
        for table, column in kinds
    )


def _due_sql() -> str:
    """How much is due in a queue, and since when the oldest is, for each kind."""
    columns = []
    for table, condition, column in _KINDS:
        due = f"FROM {table} WHERE {condition} AND queue = %s AND {column} <= %s"
        # In no order, or all of them would be read to be sorted.
        few = f"SELECT 1 AS due {due} LIMIT {COUNTED}"
        columns.append(f"(SELECT COUNT(*) FROM ({few}) AS few)")
        columns.append(f"(SELECT MIN({column}) {due})")
    return f"SELECT %s AS queue, {', '.join(columns)}"
