"""Is there work now, and if not, when?"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from django.db.backends.base.base import BaseDatabaseWrapper

from django_workflows.replay.definitions import registry
from django_workflows.store.claims import NOT_PAUSED, candidates_sql
from django_workflows.store.database import (
    connection,
    database_time,
    moment,
    now_sql,
    to_us,
)


@dataclass(frozen=True, slots=True)
class Due:
    """`now`: a run or step could be claimed. `wait`: seconds until the next is due by
    itself, or None if none will be."""

    now: bool
    wait: float | None


def look(queues: Sequence[str], database: BaseDatabaseWrapper | None = None) -> Due:
    """Look for due work of workflows and steps that this process knows."""
    database = database or connection()
    workflows = registry.workflow_keys()
    steps = [step.name for step in registry.all_steps()]
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
        marks = ", ".join(["%s"] * len(queues))
        now = now_sql(database)
        if steps:
            cursor.execute(
                "SELECT 1 FROM django_workflows_step WHERE "
                f"queue IN ({marks}) AND due_at <= {now} AND status = 'pending' "
                f"AND name IN ({', '.join(['%s'] * len(steps))}) "
                f"AND {NOT_PAUSED} LIMIT 1",
                [*queues, *steps],
            )
            if cursor.fetchone() is not None:
                return Due(True, 0.0)
        since = moment(database, since_us)
        cursor.execute(
            "SELECT (SELECT MIN(wake_at) FROM django_workflows_run "
            f"WHERE queue IN ({marks}) AND wake_at >= %s AND owner = ''), "
            "(SELECT MIN(due_at) FROM django_workflows_step "
            f"WHERE queue IN ({marks}) AND due_at >= %s)",
            [*queues, since, *queues, since],
        )
        next_dues = [to_us(value) for value in cursor.fetchone() if value is not None]
    if not next_dues:
        return Due(False, None)
    return Due(False, max(0.0, (min(next_dues) - since_us) / 1_000_000))
