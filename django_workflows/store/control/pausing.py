"""Pausing a run, and letting it go on.

A request is an unnumbered event, which the run's owner numbers when it obeys. Only a
run that never began, and has no owner, is changed here and now.
"""

from __future__ import annotations

from typing import Any

from django.db import transaction

from django_workflows.core.authorship import author
from django_workflows.errors import InvalidRunStateError
from django_workflows.models import Event, Run
from django_workflows.replay.events import RUN_PAUSED, RUN_RESUMED
from django_workflows.store.control.rows import (
    append_event,
    lock_run,
    not_found,
    refresh,
    require_open,
    time_after,
)
from django_workflows.store.database import (
    alias,
    connection,
    moment,
    now_sql,
    to_us,
)
from django_workflows.store.inbox import as_text, insert_inbox
from django_workflows.store.notify import DUE, notify


def pause(run: Run) -> None:
    """Ask a run to stand still; see ``Run.pause``."""
    database = connection()
    with transaction.atomic(using=alias()):
        asked = last_request(run)
        refresh(run)
        require_open(run.pk, run.status, "paused")
        if is_paused(run, asked):
            raise InvalidRunStateError(f"run {run.pk} is paused", run_id=run.pk)
        if _pause_unbegun(run):
            return
        insert_inbox(database, run.pk, RUN_PAUSED, detail=as_text(author()))
        notify(database, DUE, [run.queue])


def resume(run: Run) -> None:
    """Let a paused or blocked run go on; see ``Run.resume``."""
    database = connection()
    with transaction.atomic(using=alias()):
        asked = last_request(run)
        refresh(run)
        require_open(run.pk, run.status, "resumed")
        if not is_paused(run, asked) and not run.blocked_reason:
            raise InvalidRunStateError(
                f"run {run.pk} is neither paused nor blocked", run_id=run.pk
            )
        if not _resume_unbegun(run):
            # Also for a blocked run: its log tells that somebody let it try again.
            insert_inbox(database, run.pk, RUN_RESUMED, detail=as_text(author()))
            if run.blocked_reason:
                _try_again(run)
        notify(database, DUE, [run.queue])
    refresh(run)


def last_request(run: Run) -> str | None:
    """What was asked for last and has not been obeyed yet.

    Looked up before the run's status, which is what a request has led to if it is not
    found here any more.
    """
    requests = Event.objects.using(alias()).filter(
        run_id=run.pk, seq=None, type__in=(RUN_PAUSED, RUN_RESUMED)
    )
    return requests.order_by("-id").values_list("type", flat=True).first()


def is_paused(run: Run, asked: str | None) -> bool:
    """Whether an open run stands still, or will after what was asked for last."""
    return (asked or run.status) in (RUN_PAUSED, Run.Status.PAUSED)


def _try_again(run: Run) -> None:
    """Make a blocked run due, with whatever code there is."""
    database = connection()
    with database.cursor() as cursor:
        cursor.execute(
            f"UPDATE django_workflows_run SET wake_at = {now_sql(database)}, "
            "fence = fence + 1 WHERE id = %s AND owner = '' AND blocked_reason <> '' "
            "AND status IN ('pending', 'running')",
            (run.pk,),
        )


# -- runs that never began ------------------------------------------------------------


def _pause_unbegun(run: Run) -> bool:
    row = _lock_unbegun(run, "paused")
    if row is None:
        return False
    last_seq, wake_at, queued_at = row
    database = connection()
    times = {"wake_at": wake_at, "queued_at": queued_at}
    detail = {name: to_us(value) for name, value in times.items() if value is not None}
    _set_unbegun(run, last_seq, RUN_PAUSED, {**detail, **author()})
    with database.cursor() as cursor:
        cursor.execute(
            "UPDATE django_workflows_run SET status = 'paused', wake_at = NULL, "
            "queued_at = NULL WHERE id = %s",
            (run.pk,),
        )
    refresh(run)
    return True


def _resume_unbegun(run: Run) -> bool:
    if run.status != Run.Status.PAUSED:
        return False
    row = _lock_unbegun(run, "resumed")
    if row is None:
        return False
    database = connection()
    paused = (
        Event.objects.using(alias())
        .filter(run_id=run.pk, type=RUN_PAUSED, seq__isnull=False)
        .order_by("-seq")
        .first()
    )
    times: dict[str, Any] = paused.details if paused else {}
    wake_us, queued_us = times.get("wake_at"), times.get("queued_at")
    time_us = _set_unbegun(run, row[0], RUN_RESUMED, author())
    if run.blocked_reason or (wake_us is None and queued_us is None):
        wake_us = time_us
    with database.cursor() as cursor:
        cursor.execute(
            "UPDATE django_workflows_run SET status = 'pending', wake_at = %s, "
            "queued_at = %s WHERE id = %s",
            (moment(database, wake_us), moment(database, queued_us), run.pk),
        )
    return True


def _lock_unbegun(run: Run, wanted: str) -> tuple[Any, ...] | None:
    """Lock a run that nobody has begun: its last number and start times."""
    if run.started_at is not None or run.owner:
        return None
    row = lock_run(
        connection(),
        run.pk,
        "status, last_seq, wake_at, queued_at, owner, started_at",
    )
    if row is None:
        raise not_found(run.pk)
    status, last_seq, wake_at, queued_at, owner, started_at = row
    require_open(run.pk, status, wanted)
    if started_at is not None or owner or status != run.status:
        return None
    return last_seq, wake_at, queued_at


def _set_unbegun(run: Run, last_seq: int, kind: str, detail: dict[str, Any]) -> int:
    database = connection()
    time_us = time_after(database, run.pk, last_seq)
    append_event(database, run.pk, last_seq + 1, kind, time_us, detail)
    with database.cursor() as cursor:
        cursor.execute(
            "UPDATE django_workflows_run SET fence = fence + 1, "
            "last_seq = last_seq + 1 WHERE id = %s",
            (run.pk,),
        )
    return time_us
