"""Following a run in a thread, for servers that have nothing else (WSGI).

A thread is kept for each client, so there are few of them, and not for long: whoever is
sent away comes again, and goes on where it was.
"""

from __future__ import annotations

import threading
import time
from collections.abc import AsyncGenerator, Iterator, Sequence
from contextlib import ExitStack, aclosing, suppress
from typing import TypeVar

from django_workflows.push.following import follow
from django_workflows.push.messages import Message, chunk_messages, event_messages
from django_workflows.push.requests import Wanted
from django_workflows.store.chunks import stream_id
from django_workflows.store.following import Sight, look
from django_workflows.store.streams import topics
from django_workflows.store.watching import LOOK_AGAIN, Watch, watching

T = TypeVar("T")

#: Seconds for which a client may wait for news.
LONGEST_WAIT = 15.0
#: Clients that may wait at once in one process; others are told what there is.
MOST_WAITING = 4

_places = threading.BoundedSemaphore(MOST_WAITING)


class _OverError(Exception):
    """The client has waited long enough, or there is no room to wait."""


async def followed(wanted: Wanted) -> AsyncGenerator[Message, None]:
    """What `follow` tells, for a while. It blocks its thread and never suspends."""
    may_wait = _places.acquire(blocking=False)
    try:
        with ExitStack() as stack, suppress(_OverError):
            source = _Source(wanted, stack, may_wait)
            messages = follow(source, wanted.start, chunks=wanted.chunks)
            async with aclosing(messages):
                async for message in messages:
                    yield message
    finally:
        if may_wait:
            _places.release()


def drained(values: AsyncGenerator[T, None]) -> Iterator[T]:
    """The values of an asynchronous generator that never suspends."""
    try:
        while True:
            try:
                values.__anext__().send(None)
            except StopIteration as done:
                yield done.value
            except StopAsyncIteration:
                return
    finally:
        with suppress(StopIteration):
            values.aclose().send(None)


class _Source:
    """A `Source` that reads with the thread's own connection."""

    def __init__(self, wanted: Wanted, stack: ExitStack, may_wait: bool) -> None:
        self._key = (wanted.run_id, wanted.namespace)
        self._stream_id = stream_id(*self._key)
        self._stack = stack
        self._watch: Watch | None = None
        self._end = time.monotonic() + (LONGEST_WAIT if may_wait else 0)

    async def sight(self) -> Sight | None:
        return look([self._key]).get(self._key)

    async def chunks(self, start: int, end: int) -> Sequence[Message]:
        return chunk_messages(self._stream_id, start)[: end - start]

    async def events(self, start: int, end: int) -> Sequence[Message]:
        return event_messages(self._key[0], start)[: end - start]

    async def wait(self, timeout: float) -> None:
        left = self._end - time.monotonic()
        if left <= 0:
            raise _OverError
        if self._watch is None:
            # It is looked at once more before the first wait.
            self._watch = self._stack.enter_context(watching(*topics(*self._key)))
            return
        self._watch.wait(min(timeout, left, LOOK_AGAIN))
