"""Parks runs that cannot go on with today's code, and lets them try again."""

from __future__ import annotations

from collections.abc import Sequence

from django.db.backends.base.base import BaseDatabaseWrapper

from django_workflows.core.payloads import seal
from django_workflows.replay.events import LogEvent
from django_workflows.store.database import moment, transaction
from django_workflows.store.inbox import insert_inbox
from django_workflows.store.round_rows import detail_text, insert_steps
from django_workflows.store.round_types import StepRow

#: Seconds until a blocked run is tried again: one minute, doubling up to an hour.
FIRST_DELAY = 60
LAST_DELAY = 3600


def retry_delay(times: int) -> float:
    """Seconds to wait after a run has been blocked `times` times in a row."""
    return float(min(LAST_DELAY, FIRST_DELAY * 2 ** min(times, 10)))


def block_run(
    database: BaseDatabaseWrapper,
    worker_id: str,
    run_id: str,
    fence: int,
    *,
    reason: str,
    code: str,
    retry_us: int,
    rows: Sequence[StepRow] = (),
    inbox: Sequence[LogEvent] = (),
) -> bool:
    """Give a run up as blocked. Its log stays as it is. False if it was lost before.

    `rows` and `inbox` say how steps stand that the log does not know about yet.
    """
    with transaction(database), database.cursor() as cursor:
        cursor.execute(
            "UPDATE django_workflows_run SET owner = '', fence = fence + 1, "
            "status = 'running', "
            "blocked_reason = %s, blocked_code = %s, "
            "blocked_times = blocked_times + 1, wake_at = %s, is_alone = %s, "
            "is_waiting = %s "
            "WHERE id = %s AND owner = %s AND fence = %s",
            (
                reason.replace("\0", "\\0"),
                code,
                moment(database, retry_us),
                False,
                False,
                run_id,
                worker_id,
                fence,
            ),
        )
        if cursor.rowcount != 1:
            return False
        insert_steps(database, rows)
        for event in inbox:
            insert_inbox(
                database,
                run_id,
                event.type,
                event.correlation_id,
                detail=detail_text(event),
                payload=None if event.payload is None else seal(event.payload),
            )
    return True
