"""Asking a run to stop."""

from __future__ import annotations

from django.db import transaction
from django.db.models import Max, Q
from django.db.models.functions import Coalesce

from django_workflows.core.authorship import author
from django_workflows.models import Event, Run
from django_workflows.replay.events import (
    CANCEL_REQUESTED,
    RUN_CANCELLED,
    RUN_RESUMED,
    RUN_RETRIED,
)
from django_workflows.store.control.ending import end_run
from django_workflows.store.control.rows import (
    lock_run,
    not_found,
    refresh,
    require_open,
)
from django_workflows.store.database import alias, connection
from django_workflows.store.inbox import as_text, insert_inbox
from django_workflows.store.notify import DUE, notify


def cancel(run: Run, reason: str = "") -> bool:
    """Ask a run to stop; see ``Run.cancel``. Returns whether it had to be asked."""
    database = connection()
    with transaction.atomic(using=alias()):
        refresh(run)
        if run.status == Run.Status.CANCELLED:
            return False
        require_open(run.pk, run.status, "cancelled")
        if _cancel_unbegun(run, reason):
            return True
        if not is_cancelling(run):
            detail = as_text({"reason": reason, **author()})
            insert_inbox(database, run.pk, CANCEL_REQUESTED, detail=detail)
        elif run.status == Run.Status.PAUSED:
            insert_inbox(database, run.pk, RUN_RESUMED, detail=as_text(author()))
        else:
            return False
        notify(database, DUE, [run.queue])
    return True


def is_cancelling(run: Run) -> bool:
    """Whether the run has been asked already: a second request must not cut off the
    clean-up that the first one began. What came before a retry in place is void."""
    events = Event.objects.using(alias()).filter(run_id=run.pk)
    retried = events.filter(type=RUN_RETRIED).aggregate(
        seq=Coalesce(Max("seq"), 0),
    )["seq"]
    return events.filter(
        Q(seq=None) | Q(seq__gt=retried), type=CANCEL_REQUESTED
    ).exists()


def _cancel_unbegun(run: Run, reason: str) -> bool:
    """A run that never began, and that nobody owns, is cancelled here and now. One
    that continues another is part of what has begun: its code gets to clean up."""
    if run.started_at is not None or run.owner or run.continued_from_id:
        return False
    database = connection()
    row = lock_run(database, run.pk, "status, last_seq, owner, started_at")
    if row is None:
        raise not_found(run.pk)
    status, last_seq, owner, started_at = row
    if status == Run.Status.CANCELLED:
        return True
    require_open(run.pk, status, "cancelled")
    if started_at is not None or owner:
        return False
    detail = {"reason": reason, **author()}
    end_run(database, run.pk, last_seq, RUN_CANCELLED, detail)
    run.refresh_from_db(using=alias())
    return True
