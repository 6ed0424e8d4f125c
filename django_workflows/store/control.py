"""What people do to runs: cancel and terminate."""

from __future__ import annotations

import json
from datetime import datetime

from django.db import transaction
from django.db.models import F

from django_workflows.errors import InvalidRunStateError
from django_workflows.models import Event, Hook, Run, Step
from django_workflows.replay.events import (
    CANCEL_REQUESTED,
    HOOK_RECEIVED,
    RUN_CANCELLED,
    RUN_TERMINATED,
)
from django_workflows.store.database import (
    alias,
    connection,
    database_time,
    to_datetime,
)
from django_workflows.store.inbox import insert_inbox
from django_workflows.store.notify import DONE, DUE, notify

_LIVE = (Step.Status.PENDING, Step.Status.RUNNING)


def cancel(run: Run, reason: str = "") -> None:
    """Ask a run to stop; see ``Run.cancel``."""
    database = connection()
    with transaction.atomic(using=alias()):
        run.refresh_from_db(using=alias())
        if run.status == Run.Status.CANCELLED:
            return
        _require_open(run, "cancelled")
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
            finished_at=_now(),
            wake_at=None,
            fence=F("fence") + 1,
            last_seq=F("last_seq") + 1,
        )
    )
    if not changed:
        return False
    run.refresh_from_db(using=alias())
    _append_end(run, RUN_CANCELLED, reason)
    return True


def terminate(run: Run, reason: str = "") -> None:
    """End a run at once; no code of it runs any more.

    Raises InvalidRunStateError for a closed run.
    """
    with transaction.atomic(using=alias()):
        taken = Run.objects.using(alias()).select_for_update().get(pk=run.pk)
        _require_open(taken, "terminated")
        taken.finished_at = _now()
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
        ).update(status=Step.Status.CANCELLED, due_at=None, finished_at=_now())
        run.refresh_from_db(using=alias())
        _append_end(run, RUN_TERMINATED, reason)


def _number_payloads(run: Run) -> None:
    """What was accepted is in the log, before its end; no code reads it any more."""
    unread = Event.objects.using(alias()).filter(run_id=run.pk, seq=None)
    for event in unread.filter(type=HOOK_RECEIVED).order_by("id"):
        run.last_seq += 1
        event.seq = run.last_seq
        event.detail = json.dumps({"late": True})
        event.save(using=alias(), update_fields=["seq", "detail"])
    unread.delete()


def _now() -> datetime:
    return to_datetime(database_time(connection()))


def _require_open(run: Run, wanted: str) -> None:
    if run.is_closed:
        raise InvalidRunStateError(
            f"run {run.pk} is {run.status} and cannot be {wanted}", run_id=run.pk
        )


def _append_end(run: Run, kind: str, reason: str) -> None:
    Event.objects.using(alias()).create(
        run_id=run.pk,
        seq=run.last_seq,
        type=kind,
        detail=json.dumps({"reason": reason}),
        created_at=run.finished_at or _now(),
    )
    notify(connection(), DONE, [run.pk])
