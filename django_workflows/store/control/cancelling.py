"""Asking a run to stop."""

from __future__ import annotations

import json

from django.db import transaction
from django.db.models import F

from django_workflows.models import Event, Run
from django_workflows.replay.events import CANCEL_REQUESTED, RUN_CANCELLED
from django_workflows.store.control.ending import append_end, current_time, require_open
from django_workflows.store.database import alias, connection
from django_workflows.store.inbox import insert_inbox
from django_workflows.store.notify import DUE, notify


def cancel(run: Run, reason: str = "") -> None:
    """Ask a run to stop; see ``Run.cancel``."""
    database = connection()
    with transaction.atomic(using=alias()):
        run.refresh_from_db(using=alias())
        if run.status == Run.Status.CANCELLED:
            return
        require_open(run, "cancelled")
        if _cancel_unbegun(run, reason) or _is_cancelling(run):
            return
        insert_inbox(
            database, run.pk, CANCEL_REQUESTED, detail=json.dumps({"reason": reason})
        )
        notify(database, DUE, [run.queue])


def _is_cancelling(run: Run) -> bool:
    """Whether the run has been asked already: a second request must not cut off the
    clean-up that the first one began."""
    events = Event.objects.using(alias()).filter(run_id=run.pk)
    return events.filter(type=CANCEL_REQUESTED).exists()


def _cancel_unbegun(run: Run, reason: str) -> bool:
    """A run that never began, and that nobody owns, is cancelled here and now."""
    changed = (
        Run.objects.using(alias())
        .filter(pk=run.pk, last_seq=1, owner="")
        .update(
            status=Run.Status.CANCELLED,
            finished_at=current_time(),
            wake_at=None,
            fence=F("fence") + 1,
            last_seq=F("last_seq") + 1,
        )
    )
    if not changed:
        return False
    run.refresh_from_db(using=alias())
    append_end(run, RUN_CANCELLED, reason)
    return True
