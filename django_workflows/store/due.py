"""Is there work now, and if not, when?"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from django.db.backends.base.base import BaseDatabaseWrapper

from django_workflows.replay.registry import registry
from django_workflows.store.admission import run_lines
from django_workflows.store.control.expiring import DEADLINES, told_to_end
from django_workflows.store.database import (
    connection,
    database_time,
    marks,
    moment,
    to_us,
)
from django_workflows.store.limits import next_start_us
from django_workflows.store.run_claims import candidates_sql
from django_workflows.store.schedule_times import next_of_schedules
from django_workflows.store.step_claims import readable_offer


@dataclass(frozen=True, slots=True)
class Due:
    """`now`: a run or step could be claimed. `wait`: seconds until the next is due by
    itself, or None if none will be."""

    now: bool
    wait: float | None


# What will be due, and from when on. In the words of the partial indexes, or SQLite
# does not use them.
_KINDS = (
    ("django_workflows_run", "wake_at", ">=", "owner = ''"),
    ("django_workflows_run", "queued_at", ">", "finished_at IS NULL"),
    ("django_workflows_step", "due_at", ">=", "limit_key = ''"),
    ("django_workflows_step", "due_at", ">", "NOT (limit_key = '')"),
)
_NEXT_DUES = """
    SELECT {firsts}, (
        SELECT r.deadline_at FROM {deadlines} ORDER BY r.deadline_at LIMIT 1
    ), EXISTS (SELECT 1 FROM {told_to_end}), ({schedules})
"""


def look(
    queues: Sequence[str],
    database: BaseDatabaseWrapper | None = None,
    *,
    with_schedules: bool = True,
) -> Due:
    """Look for due work of workflows and steps that this process knows, and steps that
    it can read."""
    database = database or connection()
    workflows = registry.workflow_keys()
    steps = registry.known_steps()
    if not workflows:
        return Due(False, None)
    # Before all else: what becomes due while this looks is in the last answer.
    since_us = database_time(database)
    with database.cursor() as cursor:
        for suspects in (False, True):
            candidates, values = candidates_sql(database, queues, workflows, suspects)
            cursor.execute(f"SELECT 1 FROM ({candidates}) AS due LIMIT 1", values)
            if cursor.fetchone() is not None:
                return Due(True, 0.0)
        offer = readable_offer(database, queues, steps)
        lines = offer.lines
        if offer.free or any(line.may_start for line in lines):
            return Due(True, 0.0)
        if offer.has_queued_runs:
            lines += run_lines(database, queues, workflows)
            if any(line.may_start for line in lines):
                return Due(True, 0.0)
        since = moment(database, since_us)
        schedules, known = next_of_schedules(database)
        firsts, values = _firsts(database, queues, since)
        cursor.execute(
            _NEXT_DUES.format(
                firsts=firsts,
                deadlines=DEADLINES,
                told_to_end=told_to_end(database),
                schedules=schedules if with_schedules else "SELECT NULL",
            ),
            [*values, *(known if with_schedules else ())],
        )
        *times, deadline, is_told, scheduled = cursor.fetchone()
        for time in (deadline, scheduled):
            if time is not None and to_us(time) <= since_us:
                return Due(True, 0.0)
        if is_told:
            return Due(True, 0.0)
        next_dues = [
            to_us(time) for time in (*times, deadline, scheduled) if time is not None
        ]
        next_start = next_start_us(lines)
        next_dues += [] if next_start is None else [next_start]
    if not next_dues:
        return Due(False, None)
    return Due(False, max(0.0, (min(next_dues) - since_us) / 1_000_000))


def _firsts(
    database: BaseDatabaseWrapper, queues: Sequence[str], since: Any
) -> tuple[str, list[Any]]:
    """When the next of each kind is due in the queues, as columns, and parameters."""
    columns = []
    if database.vendor == "mysql":
        # Of several queues together it would read all that is due one day.
        for table, column, after, condition in _KINDS:
            first = (
                f"(SELECT {column} AS due FROM {table} WHERE queue = %s "
                f"AND {column} {after} %s AND {condition} ORDER BY {column} LIMIT 1)"
            )
            each = " UNION ALL ".join([first] * len(queues))
            columns.append(f"(SELECT MIN(due) FROM ({each}) AS firsts)")
        values = [value for queue in queues for value in (queue, since)]
    else:
        for table, column, after, condition in _KINDS:
            columns.append(
                f"(SELECT MIN({column}) FROM {table} WHERE queue IN ({marks(queues)}) "
                f"AND {column} {after} %s AND {condition})"
            )
        values = [*queues, since]
    return ", ".join(columns), values * len(_KINDS)
