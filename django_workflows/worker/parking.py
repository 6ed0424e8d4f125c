"""Parks runs that cannot go on with today's code."""

from __future__ import annotations

import logging

from django.db.backends.base.base import BaseDatabaseWrapper

from django_workflows.signals import run_blocked
from django_workflows.store import announcements, blocking
from django_workflows.store.announcements import News
from django_workflows.worker import steps
from django_workflows.worker.owned import OwnedRun

logger = logging.getLogger("django_workflows.worker")


def park(
    database: BaseDatabaseWrapper,
    run: OwnedRun,
    error: BaseException,
    code: str,
    now_us: int,
) -> None:
    """Drop a run from memory and mark it as blocked; its log stays as it was.

    How its steps have ended is kept for when it can go on.
    """
    run.close()
    rows, inbox = steps.unstored_steps(run)
    delay = blocking.retry_delay(run.blocked_times)
    reason = f"{type(error).__name__}: {error}"
    is_blocked = blocking.block_run(
        database,
        run.worker_id,
        run.id,
        run.fence,
        reason=reason,
        code=code,
        retry_us=now_us + round(delay * 1_000_000),
        rows=rows,
        inbox=inbox,
    )
    for row in rows:
        if row.status == "running":
            run.running[row.id].has_row = True
    if is_blocked and run_blocked.receivers:
        more = {"reason": reason, "times": run.blocked_times + 1}
        news = News(run_blocked, run.id, run.workflow.name, "running", more)
        announcements.send([news])
    logger.error(
        "run %s of %s is blocked: %s",
        run.id,
        run.workflow.name,
        error,
        extra={"action": "run_blocked", "run_id": run.id},
    )
