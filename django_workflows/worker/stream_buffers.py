"""What attempts have written to streams and the database does not hold yet."""

from __future__ import annotations

import asyncio
import threading
from collections import deque
from collections.abc import Callable
from contextlib import suppress

from django_workflows.errors import StepCancelledError, WorkflowError
from django_workflows.store.chunks import Append, Appended, Author, Refusal
from django_workflows.worker.pulse import Pulse

#: Bytes that may wait to be stored; who writes more waits until they are fewer.
LIMIT = 256 * 1024
#: Bytes at which they are stored without waiting for more.
FULL = 64 * 1024


def closed_error(run_id: str, namespace: str) -> ValueError:
    """What those get who write to a stream that is closed."""
    name = f"the stream {namespace!r}" if namespace else "the stream"
    return ValueError(f"{name} of run {run_id} is closed: nothing can be written to it")


def refused(append: Append, refusal: Refusal) -> Exception:
    """The error of those whose chunks were refused."""
    if refusal is Refusal.CLOSED:
        return closed_error(append.run_id, append.namespace)
    author = append.author
    return StepCancelledError(
        f"attempt {author.attempt} of step {author.step_id} does not count any more: "
        "what it still writes to streams is not stored"
    )


class StreamBuffer:
    """What one attempt has written to one stream, in order.

    All of it is used under the lock that it is made with, but for the waiting.
    """

    def __init__(
        self,
        lock: threading.Lock,
        run_id: str,
        namespace: str,
        author: Author,
        pulse: Pulse,
    ) -> None:
        self._lock = lock
        self._changed = threading.Condition(lock)
        #: Who waits on an event loop.
        self._tell: set[tuple[asyncio.AbstractEventLoop, asyncio.Event]] = set()
        self._run_id = run_id
        self._namespace = namespace
        self._author = author
        self._pulse = pulse
        self._pending: deque[bytes] = deque()
        #: Of what is pending, and on its way.
        self._bytes = 0
        #: Chunks, and the end of the stream, that were written and stored so far.
        self.written = 0
        self._stored = 0
        self._is_closing = False
        self._is_closed = False
        #: The index of the last chunk that was stored.
        self.last_index = -1
        self._error: Exception | None = None
        #: The code of the step has seen it, or there is none.
        self.is_error_told = True

    # -- writing ----------------------------------------------------------------------

    def put(self, payload: bytes) -> None:
        """Take in a chunk. Raises what became of those before it, and ValueError once
        the stream is being closed."""
        self.check()
        if self._is_closing:
            raise closed_error(self._run_id, self._namespace)
        self._pending.append(payload)
        self._bytes += len(payload)
        self.written += 1

    def end(self) -> None:
        """The stream ends here; more than once is once."""
        if self._error is None and not self._is_closing:
            self._is_closing = True
            self.written += 1

    def check(self) -> None:
        """Raise the error that chunks were refused with."""
        if self._error is not None:
            self.is_error_told = True
            raise self._error

    @property
    def is_full(self) -> bool:
        """Whether it is worth storing without waiting for more."""
        return self._bytes >= FULL

    @property
    def has_room(self) -> bool:
        """Whether more may be written now."""
        return self._bytes <= LIMIT

    @property
    def is_empty(self) -> bool:
        """Whether nothing waits to be taken."""
        return not self._pending and (not self._is_closing or self._is_closed)

    def has_stored(self, position: int) -> bool:
        """Whether what was written up to there is stored, or never will be."""
        return self._stored >= position or self._error is not None

    @property
    def has_stored_all(self) -> bool:
        return self.has_stored(self.written)

    # -- storing ----------------------------------------------------------------------

    def take(self, most: int) -> Append | None:
        """What is to be stored next, of at most so many bytes, but one chunk if there
        is one. None if there is nothing to be stored any more."""
        if self._pulse.stopped:
            self.fail(StepCancelledError(self._pulse.stopped))
            return None
        payloads: list[bytes] = []
        size = 0
        while self._pending and (not payloads or size + len(self._pending[0]) <= most):
            payloads.append(self._pending.popleft())
            size += len(payloads[-1])
        closes = self._is_closing and not self._pending
        return Append(self._run_id, self._namespace, self._author, payloads, closes)

    def settle(self, append: Append, appended: Appended) -> None:
        """This is what has become of what was taken."""
        if isinstance(appended, Refusal):
            if append.payloads or appended is Refusal.OVER:
                self.fail(refused(append, appended))
                return
        else:
            self.last_index = appended
        self._bytes -= sum(map(len, append.payloads))
        self._stored += len(append.payloads) + append.closes
        self._is_closed |= append.closes
        self._wake()

    def fail(self, error: Exception) -> None:
        """Nothing of this is stored any more."""
        if self._error is None:
            self._error = error
            self.is_error_told = False
        self._pending.clear()
        self._bytes = 0
        self._is_closed = True
        self._wake()

    def fail_with(self, error: Exception) -> None:
        """The database does not take what was written."""
        self.fail(WorkflowError(f"what was written to a stream is refused: {error}"))

    @property
    def is_stopped(self) -> bool:
        """Whether its attempt does not count any more."""
        return bool(self._pulse.stopped)

    # -- waiting ----------------------------------------------------------------------

    def _wake(self) -> None:
        self._changed.notify_all()
        for loop, told in self._tell:
            with suppress(RuntimeError):  # it has been closed
                loop.call_soon_threadsafe(told.set)

    def wait(self) -> None:
        """Under the lock: wait until something of it is stored, or refused."""
        self._changed.wait()

    async def async_wait(self, is_true: Callable[[], bool]) -> None:
        """Without the lock: wait for what is to become true when something of it is
        stored, or refused."""
        told = asyncio.Event()
        waiting = (asyncio.get_running_loop(), told)
        with self._lock:
            if is_true():
                return
            self._tell.add(waiting)
        try:
            while True:
                await told.wait()
                told.clear()
                with self._lock:
                    if is_true():
                        return
        finally:
            with self._lock:
                self._tell.discard(waiting)
