"""What an event says, for people."""

from __future__ import annotations

from typing import Any

from django.utils.timezone import localtime

from django_workflows.core.details import UNREADABLE
from django_workflows.core.serialization.hiding import HIDDEN
from django_workflows.models import Event
from django_workflows.store.database import to_datetime
from django_workflows.store.rendering import data_json

#: Details that are times, in microseconds.
_TIMES = {"due", "retry_at", "cut_at"}


def said_by(event: Event, workflow: str, *, shows_payloads: bool) -> dict[str, Any]:
    """What an event of a run of this workflow says, with times as people read them."""
    data = data_json(event, workflow)
    for name in _TIMES & set(event.details):
        data[name] = localtime(to_datetime(data[name])).isoformat(" ")
    if UNREADABLE in data and not shows_payloads:
        data[UNREADABLE] = HIDDEN  # nobody knows what there is
    return data
