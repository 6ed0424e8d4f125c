"""Runs and streams as they go on, for whoever looks on at a terminal."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

from django_workflows.errors import WorkflowError, WorkflowRunNotFoundError
from django_workflows.models import Event, Run
from django_workflows.push.messages import chunk_messages
from django_workflows.store.chunks import stream_id
from django_workflows.store.database import connection
from django_workflows.store.following import Sight, look, read_events
from django_workflows.store.streams import topics
from django_workflows.store.watching import watching


def follow_stream(
    run: Run, namespace: str = "", start: int = 0, *, waits: bool = True
) -> Iterator[dict[str, Any]]:
    """The chunks of a stream as they come, until it is closed; without `waits` those
    that are there. A negative `start` counts from the end."""
    stream = stream_id(run.pk, namespace)
    index: int | None = None
    for sight in _sights(run, namespace, waits=waits):
        if index is None:
            index = start if start >= 0 else max(0, sight.length + start)
        while index < sight.length and (page := chunk_messages(stream, index)):
            index += len(page)
            yield from (json.loads(message.text) for message in page)
        if sight.is_closed or not waits:
            return


def follow_log(run: Run) -> Iterator[list[Event]]:
    """The entries of a run's log as they come, several at a time, until it has ended.

    An empty list follows whenever the run may stand differently without a new entry.
    """
    first = 1
    for sight in _sights(run, ""):
        while first <= sight.last_seq and (page := read_events(run.pk, first)):
            first = (page[-1].seq or 0) + 1
            yield page
        if sight.has_ended:
            return
        yield []


def _sights(run: Run, namespace: str, *, waits: bool = True) -> Iterator[Sight]:
    """How a run and its stream stand, again and again, as often as there may be news.

    Raises WorkflowError where news cannot be seen, and once the run is gone.
    """
    wanted = (run.pk, namespace)
    with watching(*topics(*wanted)) as watch:
        while True:
            sight = look([wanted]).get(wanted)
            if sight is None:
                raise WorkflowRunNotFoundError(f"run {run.pk} is gone", run_id=run.pk)
            yield sight
            if connection().in_atomic_block:
                raise WorkflowError("what comes next cannot be seen in a transaction")
            watch.wait()
