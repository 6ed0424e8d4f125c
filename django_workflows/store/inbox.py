"""The inbox: what anybody may say to a run, without touching the run itself."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from django.db.backends.base.base import BaseDatabaseWrapper

from django_workflows.store.database import is_postgresql, now_sql

#: A worker's runs, in the words of the partial index: SQLite uses it only then.
OWNED = "owner = %s AND NOT (owner = '')"


def unless_paused(time: str) -> str:
    """A time for a run's `wake_at`, in SQL: a paused run is never due by itself."""
    return f"CASE WHEN status = 'paused' THEN NULL ELSE {time} END"


def unread_events(database: BaseDatabaseWrapper) -> str:
    """What to select FROM for unread events `e` and their runs `r`.

    They are few in a long log. SQLite, which counts nothing, has to be told so, and so
    has PostgreSQL while its statistics are behind: it would read all runs.
    """
    run = "django_workflows_run r ON r.id = e.run_id"
    if database.vendor == "sqlite":
        return f"django_workflows_event e INDEXED BY dw_event_inbox CROSS JOIN {run}"
    if is_postgresql(database):
        run = "SELECT * FROM django_workflows_run r WHERE r.id = e.run_id OFFSET 0"
        return f"django_workflows_event e CROSS JOIN LATERAL ({run}) r"
    return f"django_workflows_event e JOIN {run}"


def as_text(detail: Mapping[str, Any]) -> str:
    """The details of an event as its row has them."""
    return json.dumps(detail) if detail else ""


def insert_inbox(
    database: BaseDatabaseWrapper,
    run_id: str,
    kind: str,
    correlation_id: str = "",
    *,
    detail: str = "",
    payload: bytes | None = None,
) -> None:
    """Insert an unnumbered event, in the current transaction."""
    with database.cursor() as cursor:
        cursor.execute(
            "INSERT INTO django_workflows_event "
            "(run_id, seq, type, correlation_id, detail, payload, created_at) "
            f"VALUES (%s, NULL, %s, %s, %s, %s, {now_sql(database)})",
            (run_id, kind, correlation_id, detail, payload),
        )
