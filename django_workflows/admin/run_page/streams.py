"""The streams: the last of what the run has written under each namespace."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django.db.models import Q
from django.http import HttpRequest
from django.urls import NoReverseMatch, reverse
from django.utils.translation import gettext as _

from django_workflows.admin.payloads import Payload, payload_of
from django_workflows.admin.run_page.addresses import address
from django_workflows.admin.run_page.subject import Subject
from django_workflows.core.rendering import payload_to_json
from django_workflows.models import Stream, StreamChunk
from django_workflows.store.database import alias
from django_workflows.store.short_payloads import (
    is_too_large,
    payload_in,
    with_payloads,
)

#: Streams of a page, and the last chunks of each.
STREAMS = 20
CHUNKS = 20


@dataclass(frozen=True, slots=True)
class Chunk:
    """A value as it was written; None if it is too large to be shown here."""

    index: int
    attempt: int
    created_at: datetime
    data: Payload | None


@dataclass(frozen=True, slots=True)
class Shown:
    """A stream and its last chunks."""

    id: str
    namespace: str
    length: int
    is_closed: bool
    chunks: list[Chunk]
    #: Leads to the page on which this stream is followed chunk by chunk.
    follow: str | None
    is_followed: bool


def panel(subject: Subject) -> dict[str, Any] | None:
    """The streams by namespace; None if nothing was written."""
    run = subject.run
    found = Stream.objects.using(alias()).filter(run_id=run.pk).order_by("namespace")
    streams = list(found[: STREAMS + 1])
    if not streams:
        return None
    chunks = _last_chunks(streams[:STREAMS]) if subject.shows_payloads else {}
    url = _sse_url(subject)
    followed = subject.request.GET.get("follow") if url else None
    return {
        "title": _("Streams"),
        "streams": [
            Shown(
                stream.pk,
                stream.namespace,
                stream.length,
                run.is_closed or stream.closed_at is not None,
                chunks.get(stream.pk, []),
                _follow(subject.request, stream) if url else None,
                followed == stream.namespace,
            )
            for stream in streams[:STREAMS]
        ],
        "has_more": len(streams) > STREAMS,
        "shows_payloads": subject.shows_payloads,
        "unfollow": address(subject.request, "streams", follow=None),
        "start": -CHUNKS,
    }


def _last_chunks(streams: Sequence[Stream]) -> dict[str, list[Chunk]]:
    """The last chunks of some streams, read at once."""
    lasts = Q(pk__in=[])
    for stream in streams:
        lasts |= Q(stream=stream.pk, index__gte=stream.length - CHUNKS)
    rows = StreamChunk.objects.using(alias()).filter(lasts).order_by("stream", "index")
    chunks: dict[str, list[Chunk]] = {stream.pk: [] for stream in streams}
    for row in with_payloads(rows):
        plain = payload_to_json(payload_in(row))
        data = None if is_too_large(row) else payload_of(plain)
        chunks[row.stream_id].append(
            Chunk(row.index, row.attempt, row.created_at, data)
        )
    return chunks


def _follow(request: HttpRequest, stream: Stream) -> str:
    return address(request, f"stream-{stream.pk}", follow=stream.namespace)


def _sse_url(subject: Subject) -> str | None:
    """Where the REST API, if the project has it, sends chunks as they are written."""
    if not subject.shows_payloads or subject.run.is_closed:
        return None
    try:
        return reverse("workflows_api:run-stream", args=[subject.run.pk])
    except NoReverseMatch:
        return None
