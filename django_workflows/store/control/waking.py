"""Ending a run's sleeps before their time."""

from __future__ import annotations

from django.db import transaction

from django_workflows.core.authorship import author
from django_workflows.models import Run
from django_workflows.replay.events import WAKE_REQUESTED
from django_workflows.store.control.rows import refresh, require_open
from django_workflows.store.database import alias, connection
from django_workflows.store.inbox import as_text, insert_inbox
from django_workflows.store.notify import DUE, notify


def wake(run: Run) -> bool:
    """End a run's current sleeps; see ``Run.wake``. Returns whether it can sleep
    anywhere."""
    database = connection()
    with transaction.atomic(using=alias()):
        refresh(run)
        require_open(run.pk, run.status, "woken")
        if run.started_at is None and not run.owner:
            return False  # it has not begun, so it sleeps nowhere
        insert_inbox(database, run.pk, WAKE_REQUESTED, detail=as_text(author()))
        notify(database, DUE, [run.queue])
    return True
