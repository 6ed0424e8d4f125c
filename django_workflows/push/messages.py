"""What clients are told, as JSON text."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

from django_workflows.core.rendering import payload_fields
from django_workflows.store.following import read_events
from django_workflows.store.rendering import event_json
from django_workflows.store.streams import read_sealed

#: Chunks read at once, and bytes of them unless a single one has more.
PAGE = 200
PAGE_BYTES = 256 * 1024


@dataclass(frozen=True, slots=True)
class Message:
    """One message. A chunk has its index."""

    kind: str
    text: str
    index: int | None = None


def status_message(status: str) -> Message:
    """Where the run is in its life."""
    return _message("status", {"status": status})


#: There will be no more chunks.
CLOSED = Message("closed", '{"type":"closed"}')
#: Nothing has happened for a while.
HEARTBEAT = Message("heartbeat", '{"type":"heartbeat"}')


def chunk_messages(stream_id: str, start: int) -> list[Message]:
    """Chunks of a stream from an index on, as many as are read at once."""
    return [
        _message(
            "chunk",
            {"index": index, **payload_fields(payload), "attempt": attempt},
            index,
        )
        for index, payload, attempt in read_sealed(stream_id, start, PAGE, PAGE_BYTES)
    ]


def event_messages(run_id: str, first: int) -> list[Message]:
    """Entries of a run's log from a number on, as many as are read at once."""
    return [
        _message("event", {"event": event_json(event, event.run.workflow)})
        for event in read_events(run_id, first)
    ]


def _message(kind: str, fields: dict[str, Any], index: int | None = None) -> Message:
    text = json.dumps({"type": kind, **fields}, separators=(",", ":"))
    return Message(kind, text, index)
