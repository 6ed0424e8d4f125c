"""Ending a run at once."""

from __future__ import annotations

import json

from django.db import transaction

from django_workflows.models import Event, Hook, Run, Step
from django_workflows.replay.events import HOOK_RECEIVED, RUN_TERMINATED
from django_workflows.store.control.ending import append_end, current_time, require_open
from django_workflows.store.database import alias

_LIVE = (Step.Status.PENDING, Step.Status.RUNNING)


def terminate(run: Run, reason: str = "") -> None:
    """End a run at once; no code of it runs any more.

    Raises InvalidRunStateError for a closed run.
    """
    with transaction.atomic(using=alias()):
        taken = Run.objects.using(alias()).select_for_update().get(pk=run.pk)
        require_open(taken, "terminated")
        taken.finished_at = current_time()
        # Whoever is sending a payload holds the hook's row until it is sent.
        Hook.objects.using(alias()).filter(run_id=run.pk).delete()
        _number_payloads(taken)
        taken.status = Run.Status.TERMINATED
        taken.wake_at = None
        taken.owner = ""
        taken.fence += 1
        taken.last_seq += 1
        taken.is_waiting = False
        taken.save(using=alias())
        Step.objects.using(alias()).filter(run_id=run.pk, status__in=_LIVE).order_by(
            "id"
        ).update(status=Step.Status.CANCELLED, due_at=None, finished_at=current_time())
        run.refresh_from_db(using=alias())
        append_end(run, RUN_TERMINATED, reason)


def _number_payloads(run: Run) -> None:
    """What was accepted is in the log, before its end; no code reads it any more."""
    unread = Event.objects.using(alias()).filter(run_id=run.pk, seq=None)
    for event in unread.filter(type=HOOK_RECEIVED).order_by("id"):
        run.last_seq += 1
        event.seq = run.last_seq
        event.detail = json.dumps({"late": True})
        event.save(using=alias(), update_fields=["seq", "detail"])
    unread.delete()
