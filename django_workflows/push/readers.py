"""A few threads that read the database for all clients of this process."""

from __future__ import annotations

import asyncio
import os
import threading
from collections.abc import Callable
from concurrent.futures import Future
from queue import Empty, SimpleQueue
from typing import Any, TypeVar

from django.db import connections
from django.db.utils import DatabaseError, InterfaceError

T = TypeVar("T")

#: Threads, and so connections to each database, at most.
SIZE = 4
#: Seconds without work after which a thread gives its connections back and ends.
IDLE = 1.0


class Readers:
    """Threads that come with the work and go with it."""

    def __init__(self, size: int) -> None:
        self._size = size
        self._jobs: SimpleQueue[tuple[Future[Any], Callable[[], Any]]] = SimpleQueue()
        self._lock = threading.Lock()
        self._threads = 0
        #: Jobs that are queued or being done.
        self._open = 0
        self._pid = os.getpid()

    def belongs_here(self) -> bool:
        return self._pid == os.getpid()

    async def run(self, job: Callable[[], T]) -> T:
        """What `job` returns, called in one of the threads."""
        future: Future[T] = Future()
        with self._lock:
            self._open += 1
            self._jobs.put((future, job))
            if self._threads < min(self._open, self._size):
                self._threads += 1
                threading.Thread(
                    target=self._work, name="workflows-reader", daemon=True
                ).start()
        return await asyncio.wrap_future(future)

    def _work(self) -> None:
        try:
            while True:
                try:
                    future, job = self._jobs.get(timeout=IDLE)
                except Empty:
                    with self._lock:
                        if not self._jobs.empty():
                            continue
                        self._threads -= 1
                        return
                if future.set_running_or_notify_cancel():
                    _do(future, job)
                with self._lock:
                    self._open -= 1
        finally:
            connections.close_all()


def _do(future: Future[Any], job: Callable[[], Any]) -> None:
    try:
        result = job()
    except (DatabaseError, InterfaceError) as error:
        # The next job shall not suffer from it.
        connections.close_all()
        future.set_exception(error)
    except BaseException as error:
        future.set_exception(error)
    else:
        future.set_result(result)


_readers = Readers(SIZE)


def get_readers() -> Readers:
    """The threads of this process."""
    global _readers
    if not _readers.belongs_here():
        _readers = Readers(SIZE)  # the threads stayed behind in the parent of the fork
    return _readers
