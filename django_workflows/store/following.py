"""What those who follow runs look at; to look at many costs what one costs."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import dataclass
from typing import Any

from django.db.backends.base.base import BaseDatabaseWrapper

from django_workflows.models import Event
from django_workflows.store.chunks import stream_id
from django_workflows.store.database import alias, among, connection
from django_workflows.store.history import batches
from django_workflows.store.streams import SHARE

#: Events read at once.
BATCH = 100


@dataclass(frozen=True, slots=True)
class Sight:
    """How a run and one of its streams stand."""

    status: str
    #: The number of the last entry of the log.
    last_seq: int
    #: How many chunks there are.
    length: int
    #: Whether the stream was closed, by itself or with its run.
    is_closed: bool
    has_ended: bool


def look(wanted: Collection[tuple[str, str]]) -> dict[tuple[str, str], Sight]:
    """How runs and streams stand, by run id and namespace; runs that are gone are
    left out.

    A stream that is closed will not grow any more, unless its run is retried.
    """
    database = connection()
    # In this order: all that was written before a run's end is seen with the end.
    runs = _rows(
        database,
        "SELECT id, status, last_seq, finished_at FROM django_workflows_run",
        {run_id for run_id, _ in wanted},
    )
    ids = {each: stream_id(*each) for each in wanted if each[0] in runs}
    read = "SELECT id, length, closed_at FROM django_workflows_stream"
    streams = _rows(database, read, ids.values())
    ended = [
        stream
        for (run_id, _), stream in ids.items()
        if runs[run_id][3] is not None
        and stream in streams
        and streams[stream][2] is None
    ]
    if ended:
        lock = SHARE.get(database.vendor, "")
        streams |= _rows(database, read, ended, lock)
    sights = {}
    for each, stream in ids.items():
        _, status, last_seq, finished_at = runs[each[0]]
        _, length, closed_at = streams.get(stream, (stream, 0, None))
        has_ended = finished_at is not None
        is_closed = has_ended or closed_at is not None
        sights[each] = Sight(status, last_seq, length, is_closed, has_ended)
    return sights


def read_events(run_id: str, first: int, limit: int = BATCH) -> list[Event]:
    """Entries of a run's log from number `first` on, in order, with their run."""
    events = Event.objects.using(alias()).filter(run_id=run_id, seq__gte=first)
    return list(events.select_related("run").order_by("seq")[:limit])


def _rows(
    database: BaseDatabaseWrapper, select: str, ids: Iterable[str], lock: str = ""
) -> dict[str, tuple[Any, ...]]:
    rows = {}
    with database.cursor() as cursor:
        for part in batches(sorted(ids)):
            ids_in, values = among(database, part)
            cursor.execute(f"{select} WHERE id {ids_in} ORDER BY id{lock}", values)
            rows.update({row[0]: row for row in cursor.fetchall()})
    return rows
