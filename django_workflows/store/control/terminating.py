"""Ending a run at once."""

from __future__ import annotations

from django.db import transaction

from django_workflows.models import Run
from django_workflows.replay.events import RUN_TERMINATED
from django_workflows.store.control.ending import end_run
from django_workflows.store.control.rows import lock_run, not_found, require_open
from django_workflows.store.database import alias, connection


def terminate(run: Run, reason: str = "") -> None:
    """End a run at once; see ``Run.terminate``."""
    database = connection()
    with transaction.atomic(using=alias()):
        row = lock_run(database, run.pk, "status, last_seq")
        if row is None:
            raise not_found(run.pk)
        status, last_seq = row
        require_open(run.pk, status, "terminated")
        end_run(database, run.pk, last_seq, RUN_TERMINATED, {"reason": reason})
    run.refresh_from_db(using=alias())
