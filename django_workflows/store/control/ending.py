"""What every way to steer a run shares: its state, and the event at its end."""

from __future__ import annotations

import json
from datetime import datetime

from django_workflows.errors import InvalidRunStateError
from django_workflows.models import Event, Run
from django_workflows.store.database import (
    alias,
    connection,
    database_time,
    to_datetime,
)
from django_workflows.store.notify import DONE, notify


def current_time() -> datetime:
    """The database's time."""
    return to_datetime(database_time(connection()))


def require_open(run: Run, wanted: str) -> None:
    """Raise InvalidRunStateError for a closed run."""
    if run.is_closed:
        raise InvalidRunStateError(
            f"run {run.pk} is {run.status} and cannot be {wanted}", run_id=run.pk
        )


def append_end(run: Run, kind: str, reason: str) -> None:
    """Number the event that ends a run from outside, and wake who waits for it."""
    Event.objects.using(alias()).create(
        run_id=run.pk,
        seq=run.last_seq,
        type=kind,
        detail=json.dumps({"reason": reason}),
        created_at=run.finished_at or current_time(),
    )
    notify(connection(), DONE, [run.pk])
