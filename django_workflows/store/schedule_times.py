"""When a worker has to look after schedules."""

from __future__ import annotations

from typing import Any

from django.db.backends.base.base import BaseDatabaseWrapper

from django_workflows.store.database import among_names
from django_workflows.store.targets import known_workflows

#: The first schedules that this process can serve, with the time at which each is due:
#: its next one, or at once if a run has ended for which it has waited.
_DUES = """
    SELECT id, due FROM (
        SELECT s.id, s.next_run_at AS due FROM django_workflows_schedule s
        WHERE s.next_run_at IS NOT NULL AND s.paused = {no} AND s.is_full = {no}
        AND {known} ORDER BY s.next_run_at LIMIT {most}
    ) AS by_time
    UNION ALL
    SELECT id, due FROM (
        SELECT s.id, s.created_at AS due FROM django_workflows_schedule s
        WHERE s.waits_for > '' AND s.paused = {no} AND {known} AND NOT EXISTS (
            SELECT 1 FROM django_workflows_run r
            WHERE r.id = s.waits_for AND r.finished_at IS NULL
        ) LIMIT {most}
    ) AS by_run
"""


def due_schedules(database: BaseDatabaseWrapper, most: int) -> tuple[str, list[Any]]:
    """A query for (id, due), and its parameters."""
    known_in, names = among_names(database, known_workflows())
    no = "FALSE" if database.vendor == "postgresql" else "0"
    known = f"(s.kind <> 'workflow' OR s.workflow {known_in})"
    return _DUES.format(no=no, known=known, most=most), [*names, *names]


def next_of_schedules(database: BaseDatabaseWrapper) -> tuple[str, list[Any]]:
    """A query for the earliest of them, and its parameters."""
    dues, values = due_schedules(database, 1)
    return f"SELECT MIN(due) FROM ({dues}) AS schedules", values
