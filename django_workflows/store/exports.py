"""Histories of runs as JSON documents, made to be replayed elsewhere.

A payload that is stored sealed stays sealed: whoever replays it needs the same codec
and keys. The run's seed, from which its random(), its uuid4() and the tokens of its
hooks to come derive, is never written in clear unless it is asked for: it goes in
sealed if payloads are sealed, and stays out if not.
"""

from __future__ import annotations

from base64 import b64decode, b64encode
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from django_workflows.core.payloads import is_sealed, seal, unseal
from django_workflows.models import Event, Run, Stream
from django_workflows.replay.events import LogEvent
from django_workflows.store.database import to_us
from django_workflows.store.history import history

FORMAT = "django_workflows.history"
FORMAT_VERSION = 1

#: Columns of a run that go into its document as they are.
_PLAIN = (
    "id",
    "workflow",
    "version",
    "status",
    "key",
    "queue",
    "priority",
    "attributes",
    "epoch",
    "attempt",
    "parent_id",
    "root_id",
    "continued_from_id",
)
_TIMES = ("created_at", "started_at", "finished_at", "deadline_at")
#: Those without which nothing can be replayed, and what they have to be.
_NEEDED: dict[str, type] = {"id": str, "workflow": str, "version": str}


@dataclass(frozen=True)
class History:
    """A run and its log, out of the database or out of a document."""

    run: Run
    events: list[LogEvent] = field(repr=False)
    #: Where it comes from, if not out of the database.
    source: str = ""


def export_history(run: Run, *, with_seed: bool = False) -> dict[str, Any]:
    """A run's history as plain JSON values; see :func:`read_history`.

    `with_seed` writes the run's secret seed in clear, for replays where its database
    and the codec's keys are out of reach. Who has it knows the values that the run is
    going to draw.
    """
    document: dict[str, Any] = {"format": FORMAT, "format_version": FORMAT_VERSION}
    document["run"] = {name: getattr(run, name) for name in _PLAIN} | {
        name: None if time is None else time.isoformat()
        for name in _TIMES
        for time in [getattr(run, name)]
    }
    document["seed"] = _seed(bytes(run.seed), with_seed)
    document["events"] = [_event(event) for event in history(run)]
    document["streams"] = [_stream(stream) for stream in run.streams.all()]
    return document


def _stream(stream: Stream) -> dict[str, Any]:
    """What there is of a stream: a replay needs nothing of what is in it."""
    return {
        "namespace": stream.namespace,
        "length": stream.length,
        "is_closed": stream.is_closed,
    }


def _seed(seed: bytes, in_clear: bool) -> dict[str, str] | None:
    if in_clear:
        return {"clear": _text64(seed)}
    # As text: the first byte of a seed may be the one that marks what is sealed.
    sealed = seal(seed.hex().encode())
    return {"sealed": _text64(sealed)} if is_sealed(sealed) else None


def _event(event: Event) -> dict[str, Any]:
    return {
        "seq": event.seq,
        "type": event.type,
        "correlation_id": event.correlation_id,
        "created_at": event.created_at.isoformat(),
        "detail": event.details,
        "payload": None if event.payload is None else _payload(bytes(event.payload)),
    }


def _payload(stored: bytes) -> str | dict[str, str]:
    """What is not sealed is JSON text, and may be read as such."""
    if is_sealed(stored):
        return {"sealed": _text64(stored)}
    try:
        return stored.decode()
    except UnicodeDecodeError:
        return {"base64": _text64(stored)}


def read_history(document: Any, source: str = "") -> History:
    """The history in a document made by :func:`export_history`.

    Raises ValueError for what is none, and UnknownCodeError if it is sealed and this
    process lacks the key.
    """
    try:
        if document["format"] != FORMAT:
            raise ValueError(f"its format is {document['format']!r}")
        if document["format_version"] != FORMAT_VERSION:
            raise ValueError(f"its format version is {document['format_version']!r}")
        run = _read_run(document["run"], document.get("seed"))
        events = [_read_event(event) for event in document["events"]]
        numbers = [event.seq for event in events]
        if numbers != list(range(1, len(numbers) + 1)) or not numbers:
            raise ValueError("its events are not numbered from 1 without a gap")
    except (AttributeError, LookupError, TypeError, ValueError) as error:
        found = f"{error}" if isinstance(error, ValueError) else repr(error)
        raise ValueError(
            f"{source or 'this'} is no history exported by django_workflows: {found}"
        ) from error
    return History(run, events, source)


def _read_run(values: Mapping[str, Any], seed: Mapping[str, str] | None) -> Run:
    for name, kind in _NEEDED.items():
        if not isinstance(values[name], kind):
            raise ValueError(f"its run has {values[name]!r} as {name}")
    run = Run(**{name: values[name] for name in _PLAIN if name in values})
    for name in _TIMES:
        if values.get(name) is not None:
            setattr(run, name, datetime.fromisoformat(values[name]))
    if seed is None:
        run.seed = b""
    elif "clear" in seed:
        run.seed = _bytes64(seed["clear"])
    else:
        run.seed = bytes.fromhex(_unsealed(seed).decode())
    return run


def _read_event(values: Mapping[str, Any]) -> LogEvent:
    payload = values["payload"]
    if isinstance(payload, Mapping):
        payload = (
            _unsealed(payload) if "sealed" in payload else _bytes64(payload["base64"])
        )
    elif payload is not None:
        payload = payload.encode()
    return LogEvent(
        values["type"],
        values["correlation_id"],
        time=to_us(datetime.fromisoformat(values["created_at"])),
        detail=dict(values["detail"]),
        payload=payload,
        seq=values["seq"],
    )


def _unsealed(value: Mapping[str, str]) -> bytes:
    return unseal(_bytes64(value["sealed"]))


def _text64(data: bytes) -> str:
    return b64encode(data).decode()


def _bytes64(text: str) -> bytes:
    return b64decode(text, validate=True)
