"""What one client is told, in which order: the same over websockets and events."""

from __future__ import annotations

import time
from collections.abc import AsyncGenerator, Awaitable, Callable, Sequence
from typing import Protocol

from django_workflows.push.messages import CLOSED, HEARTBEAT, Message, status_message
from django_workflows.store.following import Sight

#: Seconds of silence after which a client is told that the connection still lives.
HEARTBEAT_INTERVAL = 15.0
#: Seconds until what could not be read is tried again.
RETRY = 1.0


class Source(Protocol):
    """A run and one of its streams, as far as they are known here."""

    async def sight(self) -> Sight | None:
        """How they stand; None once the run is gone."""

    async def chunks(self, start: int, end: int) -> Sequence[Message]:
        """Some of the chunks from `start` on, before `end`; none if they cannot be
        read now."""

    async def events(self, start: int, end: int) -> Sequence[Message]:
        """The same for entries of the log, by their numbers."""

    async def wait(self, timeout: float) -> None:
        """Return once they may stand differently, or after `timeout` seconds."""


async def follow(
    source: Source, start: int = 0, *, chunks: bool = True, events: bool = False
) -> AsyncGenerator[Message, None]:
    """Everything there is and will be, until the run has ended.

    `start` is an index; a negative one counts from the end. Chunks and entries are told
    in order and by number, so none is lost or told twice whatever happens meanwhile.
    Without `chunks` the stream does not matter at all, nor whether it is closed.
    """
    sight = await source.sight()
    if start < 0:
        start = max(0, start + (sight.length if sight else 0))
    client = _Client(source, start if chunks else None, events)
    spoke = time.monotonic()
    while True:
        async for message in client.news(sight):
            yield message
            spoke = time.monotonic()
        if client.is_over:
            return
        silence = time.monotonic() - spoke
        if silence >= HEARTBEAT_INTERVAL:
            yield HEARTBEAT
            spoke, silence = time.monotonic(), 0.0
        await source.wait(RETRY if client.is_behind else HEARTBEAT_INTERVAL - silence)
        sight = await source.sight()


class _Client:
    """What a client has been told."""

    def __init__(self, source: Source, start: int | None, events: bool) -> None:
        self._log = _Place(source.events, 1) if events else None
        self._chunks = None if start is None else _Place(source.chunks, start)
        self._status = ""
        self._is_status_last = False
        self._is_told_closed = False
        #: Whether not all that there is could be read.
        self.is_behind = False
        #: Whether there will be nothing more to tell.
        self.is_over = False

    async def news(self, sight: Sight | None) -> AsyncGenerator[Message, None]:
        """What is to be told of a run that stands so."""
        if sight is None:
            self.is_over = True
            if not self._is_told_closed:
                yield CLOSED
            return
        # How a run ended is its last news, but who comes after it hears it at once too.
        if sight.status != self._status and not (self._status and sight.has_ended):
            yield self._tell_status(sight.status)
        for place, end in self._places(sight):
            async for message in place.messages(end):
                self._is_status_last = False
                yield message
        self.is_behind = any(place.next < end for place, end in self._places(sight))
        if self.is_behind:
            return
        if sight.has_ended and not (
            self._is_status_last and sight.status == self._status
        ):
            yield self._tell_status(sight.status)
        is_closed = sight.has_ended if self._chunks is None else sight.is_closed
        if is_closed and not self._is_told_closed:
            self._is_status_last = False
            yield CLOSED
        self._is_told_closed = is_closed
        self.is_over = sight.has_ended

    def _tell_status(self, status: str) -> Message:
        self._status = status
        self._is_status_last = True
        return status_message(status)

    def _places(self, sight: Sight) -> list[tuple[_Place, int]]:
        """Where the client is, and where it could be."""
        places = []
        if self._log is not None:
            places.append((self._log, sight.last_seq + 1))
        if self._chunks is not None:
            places.append((self._chunks, sight.length))
        return places


class _Place:
    """Where a client is in a stream, or in a log."""

    def __init__(
        self, read: Callable[[int, int], Awaitable[Sequence[Message]]], first: int
    ) -> None:
        self._read = read
        self.next = first

    async def messages(self, end: int) -> AsyncGenerator[Message, None]:
        """What comes before `end`, as far as it can be read now."""
        while self.next < end:
            page = await self._read(self.next, end)
            if not page:
                return
            for message in page:
                self.next += 1
                yield message
