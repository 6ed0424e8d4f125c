"""Is there work now, and if not, when?"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from django.db.backends.base.base import BaseDatabaseWrapper

from django_workflows.replay.definitions import registry
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
from django_workflows.store.step_claims import steps_on_offer


@dataclass(frozen=True, slots=True)
class Due:
    """`now`: a run or step could be claimed. `wait`: seconds until the next is due by
    itself, or None if none will be."""

    now: bool
    wait: float | None


# In the words of the partial indexes, or SQLite does not use them.
_NEXT_DUES = """
    SELECT (
        SELECT MIN(wake_at) FROM django_workflows_run
        WHERE queue {queues} AND wake_at >= %s AND owner = ''
    ), (
        SELECT MIN(queued_at) FROM django_workflows_run
        WHERE queue {queues} AND queued_at > %s AND finished_at IS NULL
    ), (
        SELECT MIN(due_at) FROM django_workflows_step
        WHERE queue {queues} AND due_at >= %s AND limit_key = ''
    ), (
        SELECT MIN(due_at) FROM django_workflows_step
        WHERE queue {queues} AND due_at > %s AND NOT (limit_key = '')
    ), (
        SELECT r.deadline_at FROM {deadlines} ORDER BY r.deadline_at LIMIT 1
    ), EXISTS (SELECT 1 FROM {told_to_end}), ({schedules})
"""


def look(
    queues: Sequence[str],
    database: BaseDatabaseWrapper | None = None,
    *,
    with_schedules: bool = True,
) -> Due:
    """Look for due work of workflows and steps that this process knows."""
    database = database or connection()
    workflows = registry.workflow_keys()
    steps = registry.step_names() or ("",)
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
        offer = steps_on_offer(database, queues, steps, 1, None)
        lines = offer.lines
        if offer.free or any(line.may_start for line in lines):
            return Due(True, 0.0)
        if offer.has_queued_runs:
            lines += run_lines(database, queues, workflows)
            if any(line.may_start for line in lines):
                return Due(True, 0.0)
        since = moment(database, since_us)
        schedules, known = next_of_schedules(database)
        times_of_queues = [*queues, since] * 4
        cursor.execute(
            _NEXT_DUES.format(
                queues=f"IN ({marks(queues)})",
                deadlines=DEADLINES,
                told_to_end=told_to_end(database),
                schedules=schedules if with_schedules else "SELECT NULL",
            ),
            [*times_of_queues, *(known if with_schedules else ())],
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
