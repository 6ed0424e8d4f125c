"""Stores what the steps of a process write to streams: one thread, one connection."""

from __future__ import annotations

import logging
import os
import threading
import time
from collections.abc import Callable, Sequence

from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.utils import Error, InterfaceError, InternalError, OperationalError

from django_workflows.store.chunks import Append, append, find_stored
from django_workflows.store.database import private_connection
from django_workflows.worker.stream_buffers import StreamBuffer

logger = logging.getLogger("django_workflows.worker")

#: Seconds from the beginning of one transaction to that of the next, at least, unless
#: somebody waits for it or a buffer is full.
INTERVAL = 0.02
#: Bytes in one transaction.
BATCH_BYTES = 1 << 20
#: Seconds without work after which the thread ends and gives its connection back.
IDLE = 2.0

#: Seconds until a connection that was lost is made again, for the first time.
PAUSE = 0.05

#: The connection's errors: whether a transaction came through is to be found out.
_LOST = (OperationalError, InterfaceError, InternalError)

Taken = tuple[StreamBuffer, Append]
#: How much each of some buffers is to have stored.
Positions = Sequence[tuple[StreamBuffer, int]]


class Flusher:
    """Takes what is written, by all attempts of the process together."""

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self._work = threading.Condition(self.lock)
        #: Buffers with something to be stored, in the order they are served.
        self._ready: dict[StreamBuffer, None] = {}
        #: What is to be called once buffers have stored so much.
        self._later: list[tuple[Positions, Callable[[], None]]] = []
        self._thread: threading.Thread | None = None
        self._hurries = self._is_asleep = self._is_closing = False
        self._pid = os.getpid()

    def belongs_here(self) -> bool:
        return self._pid == os.getpid()

    def has_news(self, buffer: StreamBuffer, *, hurry: bool) -> None:
        """Under the lock: something was written; `hurry`: store it at once."""
        self._ready[buffer] = None
        self._is_closing = False
        if self._thread is None:
            self._thread = threading.Thread(
                target=self._run, name="workflows-flusher", daemon=True
            )
            self._thread.start()
        hurries, self._hurries = self._hurries, self._hurries or hurry
        if self._is_asleep or self._hurries != hurries:
            self._work.notify()

    def call_after(self, waiting: Positions, action: Callable[[], None]) -> None:
        """Under the lock: call something, on the thread, once the buffers have stored
        all up to these positions, and before anybody learns that. It is called under
        the lock as well."""
        self._later.append((waiting, action))

    def close(self) -> None:
        """Let the thread end as soon as there is nothing to store."""
        with self.lock:
            self._is_closing = True
            self._work.notify()

    def _run(self) -> None:
        database = private_connection()
        next_at = 0.0
        try:
            while True:
                with self.lock:
                    if not self._wait(next_at):
                        self._thread = None
                        return
                    taken = self._take()
                next_at = time.monotonic() + INTERVAL
                self._store(database, taken)
                with self.lock:
                    self._call_due()
        finally:
            database.close()

    def _wait(self, next_at: float) -> bool:
        """Wait until it is time to store something. False if there is nothing to do."""
        while True:
            if not self._ready:
                self._is_asleep = True
                woken = not self._is_closing and self._work.wait(IDLE)
                self._is_asleep = False
                if not woken and not self._ready:
                    return False
                continue
            pause = next_at - time.monotonic()
            if self._hurries or pause <= 0:
                self._hurries = False
                return True
            self._work.wait(pause)

    def _take(self) -> list[Taken]:
        taken: list[Taken] = []
        left = BATCH_BYTES
        for buffer in list(self._ready):
            append = buffer.take(left)
            del self._ready[buffer]
            if append is None:
                continue
            if not buffer.is_empty:
                self._ready[buffer] = None
                self._hurries = True
            taken.append((buffer, append))
            left -= sum(map(len, append.payloads))
            if left <= 0:
                self._hurries |= bool(self._ready)
                break
        return taken

    def _store(self, database: BaseDatabaseWrapper, taken: Sequence[Taken]) -> None:
        """Store what was taken, whatever the database does meanwhile."""
        pause = PAUSE
        while taken:
            try:
                appended = append(database, [each for _, each in taken])
            except _LOST as error:
                logger.warning(
                    "chunks of streams could not be stored, trying again: %s",
                    error,
                    extra={"action": "chunks_retried"},
                )
                taken = self._undecided(database, taken, pause)
                pause = min(2.0, pause * 2)
                continue
            except Exception as error:
                self._single_out(database, taken, error)
                return
            with self.lock:
                for (buffer, each), done in zip(taken, appended, strict=True):
                    buffer.settle(each, done)
                self._call_due()
            return

    def _call_due(self) -> None:
        later, self._later = self._later, []
        for waiting, action in later:
            if all(buffer.has_stored(position) for buffer, position in waiting):
                action()
            else:
                self._later.append((waiting, action))

    def _single_out(
        self, database: BaseDatabaseWrapper, taken: Sequence[Taken], error: Exception
    ) -> None:
        """One value is refused: the other streams must not suffer."""
        if len(taken) > 1:
            for each in taken:
                self._store(database, [each])
            return
        logger.error(
            "chunks of a stream are refused by the database",
            exc_info=error,
            extra={"action": "chunks_refused", "run_id": taken[0][1].run_id},
        )
        with self.lock:
            taken[0][0].fail_with(error)

    def _undecided(
        self, database: BaseDatabaseWrapper, taken: Sequence[Taken], pause: float
    ) -> list[Taken]:
        """After a lost connection: those that are still to be stored."""
        while True:
            time.sleep(pause)
            pause = min(2.0, pause * 2)
            with self.lock:
                # Whoever waits for them has nothing to wait for.
                taken = [each for each in taken if not self._is_over(each)]
            try:
                database.close()
                found = [
                    find_stored(database, each, buffer.last_index)
                    for buffer, each in taken
                ]
            except Error:
                continue
            rest = []
            with self.lock:
                for (buffer, each), index in zip(taken, found, strict=True):
                    if index is None:
                        rest.append((buffer, each))
                    else:
                        buffer.settle(each, index)
                self._call_due()
            return rest

    def _is_over(self, taken: Taken) -> bool:
        buffer, _ = taken
        if buffer.is_stopped:
            buffer.take(0)
        return buffer.is_stopped


_flusher = Flusher()


def flusher() -> Flusher:
    """The one of this process."""
    global _flusher
    if not _flusher.belongs_here():
        _flusher = Flusher()  # the thread stayed behind in the parent of the fork
    return _flusher
