"""Where attempts write to streams: through the process's flusher, or directly."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from asgiref.sync import sync_to_async

from django_workflows.core import serialization
from django_workflows.core.payloads import seal
from django_workflows.errors import StepCancelledError
from django_workflows.store.chunks import Append, Author, Refusal, append
from django_workflows.store.database import connection
from django_workflows.worker.flusher import flusher
from django_workflows.worker.stream_buffers import (
    StreamBuffer,
    closed_error,
    refused,
)

if TYPE_CHECKING:
    from django_workflows.worker.attempt import Attempt

_opening = threading.Lock()


def open_output(attempt: Attempt) -> AttemptOutput:
    """The attempt's output, made when it is first asked for."""
    with _opening:
        if attempt.output is None:
            is_direct = attempt.writes_directly or (
                # It holds the database's one write lock until it ends.
                attempt.settings.atomic and connection().vendor == "sqlite"
            )
            output = DirectOutput(attempt) if is_direct else BufferedOutput(attempt)
            attempt.output, attempt.pulse.after_writing = output, output.then
        return attempt.output


def _encode(value: Any) -> bytes:
    return seal(serialization.dumps(value, root="chunk"))


class AttemptOutput:
    """What both ways of writing have in common: the author, and the end."""

    def __init__(self, attempt: Attempt) -> None:
        self._pulse = attempt.pulse
        self._author = Author(
            attempt.run_id,
            attempt.step_id,
            attempt.number,
            attempt.worker_id,
            attempt.workflow["attempt"],
        )
        self._has_ended = False

    def write(self, run_id: str, namespace: str, value: Any) -> None:
        raise NotImplementedError

    async def awrite(self, run_id: str, namespace: str, value: Any) -> None:
        raise NotImplementedError

    def close(self, run_id: str, namespace: str) -> None:
        raise NotImplementedError

    async def aclose(self, run_id: str, namespace: str) -> None:
        raise NotImplementedError

    def finish(self) -> None:
        """The code has ended: all that it wrote is stored when this returns.

        Raises the error that something was refused with, unless the code has seen it.
        """
        raise NotImplementedError

    async def afinish(self) -> None:
        raise NotImplementedError

    def then(self, action: Callable[[], None]) -> None:
        """Call `action` once all that was written so far is stored, never if it is
        not: before this returns, unless that would hold up an event loop."""
        raise NotImplementedError

    def _require_open(self) -> None:
        if self._pulse.stopped:
            raise StepCancelledError(self._pulse.stopped)
        if self._has_ended:
            raise StepCancelledError(
                f"attempt {self._author.attempt} of step {self._author.step_id} has "
                "ended: nothing can be written to streams any more"
            )


class BufferedOutput(AttemptOutput):
    """Writes through the flusher, and so beside any transaction of the step."""

    def __init__(self, attempt: Attempt) -> None:
        super().__init__(attempt)
        self._flusher = flusher()
        self._buffers: dict[tuple[str, str], StreamBuffer] = {}

    def write(self, run_id: str, namespace: str, value: Any) -> None:
        payload = _encode(value)
        with self._flusher.lock:
            buffer, position = self._put(run_id, namespace, payload)
            if _may_wait():
                # The first chunk tells whether the stream is open at all.
                while not buffer.has_room or (
                    position == 1 and not buffer.has_stored(1)
                ):
                    buffer.wait()
            buffer.check()

    async def awrite(self, run_id: str, namespace: str, value: Any) -> None:
        payload = _encode(value)
        with self._flusher.lock:
            buffer, position = self._put(run_id, namespace, payload)
        await buffer.async_wait(
            lambda: buffer.has_room and (position > 1 or buffer.has_stored(1))
        )
        with self._flusher.lock:
            buffer.check()

    def close(self, run_id: str, namespace: str) -> None:
        with self._flusher.lock:
            buffer = self._end(run_id, namespace)
            if _may_wait():
                while not buffer.has_stored_all:
                    buffer.wait()
            buffer.check()

    async def aclose(self, run_id: str, namespace: str) -> None:
        with self._flusher.lock:
            buffer = self._end(run_id, namespace)
        await buffer.async_wait(lambda: buffer.has_stored_all)
        with self._flusher.lock:
            buffer.check()

    def finish(self) -> None:
        with self._flusher.lock:
            for buffer in self._unstored(is_last=True):
                while not buffer.has_stored_all:
                    buffer.wait()
            self._tell_errors()

    async def afinish(self) -> None:
        with self._flusher.lock:
            unstored = self._unstored(is_last=True)
        for buffer in unstored:
            await buffer.async_wait(lambda b=buffer: b.has_stored_all)  # type: ignore[misc]
        with self._flusher.lock:
            self._tell_errors()

    def then(self, action: Callable[[], None]) -> None:
        with self._flusher.lock:
            waiting = [(buffer, buffer.written) for buffer in self._unstored()]
            if waiting and not (_may_wait() and asyncio._get_running_loop() is None):
                self._flusher.call_after(waiting, action)
                return
            for buffer, position in waiting:
                while not buffer.has_stored(position):
                    buffer.wait()
        action()

    def _put(
        self, run_id: str, namespace: str, payload: bytes
    ) -> tuple[StreamBuffer, int]:
        self._require_open()
        buffer = self._buffer(run_id, namespace)
        buffer.put(payload)
        hurry = buffer.written == 1 or buffer.is_full
        self._flusher.has_news(buffer, hurry=hurry)
        return buffer, buffer.written

    def _end(self, run_id: str, namespace: str) -> StreamBuffer:
        self._require_open()
        buffer = self._buffer(run_id, namespace)
        buffer.end()
        if not buffer.has_stored_all:
            self._flusher.has_news(buffer, hurry=True)
        return buffer

    def _buffer(self, run_id: str, namespace: str) -> StreamBuffer:
        found = self._buffers.get((run_id, namespace))
        if found is None:
            found = self._buffers[run_id, namespace] = StreamBuffer(
                self._flusher.lock, run_id, namespace, self._author, self._pulse
            )
        return found

    def _unstored(self, *, is_last: bool = False) -> list[StreamBuffer]:
        """Buffers that are to be stored now; `is_last`: nothing more may be written."""
        self._has_ended |= is_last
        found = [b for b in self._buffers.values() if not b.has_stored_all]
        for buffer in found:
            self._flusher.has_news(buffer, hurry=True)
        return found

    def _tell_errors(self) -> None:
        for buffer in self._buffers.values():
            if not buffer.is_error_told:
                buffer.check()


def _may_wait() -> bool:
    """Whether what this thread waits for may be stored meanwhile: not while it holds
    the one write lock that SQLite has."""
    database = connection()
    return not (database.vendor == "sqlite" and database.in_atomic_block)


class DirectOutput(AttemptOutput):
    """Writes on the step's connection, and in its transaction if it is in one."""

    def __init__(self, attempt: Attempt) -> None:
        super().__init__(attempt)
        #: What was written on an event loop, where the database cannot be used.
        self._late: list[Append] = []
        self._closed: set[str] = set()

    def write(self, run_id: str, namespace: str, value: Any) -> None:
        self._put(run_id, namespace, _encode(value))
        self._store_unless_on_loop()

    async def awrite(self, run_id: str, namespace: str, value: Any) -> None:
        self._put(run_id, namespace, _encode(value))
        await sync_to_async(self._store)()

    def close(self, run_id: str, namespace: str) -> None:
        self._end(run_id, namespace)
        self._store_unless_on_loop()

    async def aclose(self, run_id: str, namespace: str) -> None:
        self._end(run_id, namespace)
        await sync_to_async(self._store)()

    def finish(self) -> None:
        self._has_ended = True
        self._store()

    async def afinish(self) -> None:
        self._has_ended = True
        if self._late:
            await sync_to_async(self._store)()

    def then(self, action: Callable[[], None]) -> None:
        self._store_unless_on_loop()
        action()

    def _put(self, run_id: str, namespace: str, payload: bytes) -> None:
        self._require_open()
        each = Append(run_id, namespace, self._author, [payload])
        if each.stream_id in self._closed:
            raise closed_error(run_id, namespace)
        self._late.append(each)

    def _end(self, run_id: str, namespace: str) -> None:
        self._require_open()
        each = Append(run_id, namespace, self._author, [], closes=True)
        if each.stream_id not in self._closed:
            self._closed.add(each.stream_id)
            self._late.append(each)

    def _store_unless_on_loop(self) -> None:
        if asyncio._get_running_loop() is None:
            self._store()

    def _store(self) -> None:
        late, self._late = self._late, []
        for each in late:
            (appended,) = append(connection(), [each])
            if isinstance(appended, Refusal) and (
                each.payloads or appended is Refusal.OVER
            ):
                raise refused(each, appended)
