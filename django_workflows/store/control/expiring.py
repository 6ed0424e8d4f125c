"""Ends runs whose time is over, or that were told to end, whatever they are doing.

It takes no code of theirs, so that any worker does it for all: also for runs of queues
and workflows that it does not serve, for blocked and for paused ones.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass

from django.db.backends.base.base import BaseDatabaseWrapper

from django_workflows.core.details import show_details
from django_workflows.models import Run
from django_workflows.replay.events import RUN_TERMINATED, RUN_TIMED_OUT
from django_workflows.store.control.ending import end_run
from django_workflows.store.control.rows import lock_run
from django_workflows.store.database import now_sql, to_us, transaction
from django_workflows.store.inbox import unread_events

logger = logging.getLogger("django_workflows.store")

#: Runs ended in one look.
AT_ONCE = 50
#: Of runs `r` that may still be in time, in the words of the partial index.
DEADLINES = (
    "django_workflows_run r WHERE r.deadline_at IS NOT NULL AND r.finished_at IS NULL"
)


@dataclass(frozen=True, slots=True)
class Expired:
    """Runs that a look has ended, and when the next one's time is over."""

    ids: list[str]
    next_us: int | None


def told_to_end(database: BaseDatabaseWrapper) -> str:
    """What to select FROM for unread requests `e` to end the open run `r` at once."""
    return (
        f"{unread_events(database)} WHERE e.seq IS NULL "
        f"AND e.type = '{RUN_TERMINATED}' AND r.finished_at IS NULL"
    )


def end_expired(database: BaseDatabaseWrapper) -> Expired:
    """End runs whose deadline has passed, or whose inbox holds a `run_terminated`.

    It waits for nobody: a run that somebody has locked is left to the next look.
    """
    next_us = None
    with database.cursor() as cursor:
        cursor.execute(
            f"SELECT r.id, r.deadline_at, r.deadline_at <= {now_sql(database)} "
            f"FROM {DEADLINES} ORDER BY r.deadline_at LIMIT {AT_ONCE}",
            (),
        )
        late = []
        for run_id, deadline_at, is_over in cursor.fetchall():
            if not is_over:
                next_us = to_us(deadline_at)
                break
            late.append(run_id)
        cursor.execute(
            f"SELECT DISTINCT r.id FROM {told_to_end(database)} LIMIT {AT_ONCE}", ()
        )
        told = [row[0] for row in cursor.fetchall()]
    ended = [run_id for run_id in sorted(told) if _terminate(database, run_id)]
    ended += [run_id for run_id in sorted(late) if _time_out(database, run_id)]
    return Expired(ended, next_us)


def _time_out(database: BaseDatabaseWrapper, run_id: str) -> bool:
    with transaction(database):
        columns = f"status, last_seq, deadline_at, deadline_at <= {now_sql(database)}"
        row = lock_run(database, run_id, columns, wait=False)
        if row is None:
            return False
        status, last_seq, deadline_at, is_over = row
        if status not in Run.OPEN or not is_over:
            return False
        detail = {"deadline": to_us(deadline_at)}
        if not end_run(database, run_id, last_seq, RUN_TIMED_OUT, detail, wait=False):
            return False
    logger.warning(
        "run %s has reached its deadline",
        run_id,
        extra={"action": "run_timed_out", "run_id": run_id},
    )
    return True


def _terminate(database: BaseDatabaseWrapper, run_id: str) -> bool:
    with transaction(database), database.cursor() as cursor:
        row = lock_run(database, run_id, "status, last_seq", wait=False)
        if row is None or row[0] not in Run.OPEN:
            return False
        cursor.execute(
            "SELECT detail FROM django_workflows_event WHERE run_id = %s "
            "AND seq IS NULL AND type = %s ORDER BY id",
            (run_id, RUN_TERMINATED),
        )
        request = cursor.fetchone()
        if request is None:
            return False
        detail = show_details(request[0])
        return end_run(database, run_id, row[1], RUN_TERMINATED, detail, wait=False)
