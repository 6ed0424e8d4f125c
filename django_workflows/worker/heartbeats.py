"""Stores what steps say in their heartbeats, and tells steps what others decided."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Sequence
from queue import Empty, SimpleQueue

from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.utils import DatabaseError, InterfaceError

from django_workflows.store.attempts import (
    left_running,
    running_at,
    write_heartbeat,
)
from django_workflows.store.database import private_connection
from django_workflows.worker.attempt import Attempt
from django_workflows.worker.executor import Executor

logger = logging.getLogger("django_workflows.worker")

#: Seconds between two writes of one attempt's details, at least.
WRITE_INTERVAL = 0.5
#: Seconds between looks for details whose attempt has no row yet.
ROW_INTERVAL = 0.02
#: Seconds between looks for attempts that somebody else has ended.
CHECK_INTERVAL = 1.0
ENDED = "the step was cancelled, or has been ended otherwise"


class Heartbeats:
    """Writes the details of heartbeats, on a thread that the first of them starts.

    `show` asks for the row of an attempt that has none: there is nothing to write to
    before.
    """

    def __init__(
        self, worker_id: str, executor: Executor, show: Callable[[Attempt], None]
    ) -> None:
        self._worker_id = worker_id
        self._executor = executor
        self._show = show
        self._told: SimpleQueue[Attempt | None] = SimpleQueue()
        self._unwritten: dict[int, Attempt] = {}
        self._shown: set[int] = set()
        self._thread: threading.Thread | None = None
        self._lock = threading.Lock()
        self._next_check = 0.0

    def tell(self, attempt: Attempt) -> None:
        """There are new details of an attempt. Any thread may call this."""
        self._told.put(attempt)
        if self._thread is None:
            self._start()

    def _start(self) -> None:
        with self._lock:
            if self._thread is not None:
                return
            self._thread = threading.Thread(
                target=self._run, name="workflows-heartbeats", daemon=True
            )
            self._thread.start()

    def close(self) -> None:
        self._told.put(None)

    # -- details ----------------------------------------------------------------------

    def _run(self) -> None:
        database = private_connection()
        timeout: float | None = None
        while self._take(timeout):
            try:
                timeout = self._write(database)
            except (DatabaseError, InterfaceError):
                logger.warning(
                    "heartbeats could not be stored, trying again",
                    exc_info=True,
                    extra={"action": "heartbeats_retried"},
                )
                database.close()
                timeout = WRITE_INTERVAL
        database.close()

    def _take(self, timeout: float | None) -> bool:
        """Wait for news, at most so many seconds. False at the end."""
        try:
            attempt = self._told.get(timeout=timeout)
            while True:
                if attempt is None:
                    return False
                self._unwritten[id(attempt)] = attempt
                attempt = self._told.get_nowait()
        except Empty:
            return True

    def _write(self, database: BaseDatabaseWrapper) -> float | None:
        """Write what may be written; seconds until more may be, None if nothing is
        left."""
        nexts = []
        for attempt in list(self._unwritten.values()):
            wait = self._write_one(database, attempt)
            if wait is None:
                del self._unwritten[id(attempt)]
                self._shown.discard(id(attempt))
            else:
                nexts.append(wait)
        return min(nexts, default=None)

    def _write_one(
        self, database: BaseDatabaseWrapper, attempt: Attempt
    ) -> float | None:
        pulse = attempt.pulse
        if not pulse.is_unwritten or not self._is_here(attempt):
            return None
        if not attempt.has_row:
            if id(attempt) not in self._shown:
                self._shown.add(id(attempt))
                self._show(attempt)
            return ROW_INTERVAL
        wait = pulse.written_at + WRITE_INTERVAL - time.monotonic()
        if pulse.written_at and wait > 0:
            return wait
        details = pulse.details or b""
        if not write_heartbeat(database, attempt.step_id, attempt.number, details):
            self._next_check = 0.0  # somebody has ended it
            return None
        is_last = pulse.written(details, time.monotonic())
        return None if is_last else WRITE_INTERVAL

    def flush(self, database: BaseDatabaseWrapper, attempts: Sequence[Attempt]) -> None:
        """Write what attempts that are about to be cut off have said last."""
        for attempt in attempts:
            details = attempt.pulse.details
            if details is not None and attempt.pulse.is_unwritten and attempt.has_row:
                write_heartbeat(database, attempt.step_id, attempt.number, details)

    def _is_here(self, attempt: Attempt) -> bool:
        return self._executor.running(attempt.step_id, attempt.number) is attempt

    # -- what others decided ----------------------------------------------------------

    def check(self, database: BaseDatabaseWrapper) -> None:
        """Stop attempts that are running no more by the database's account: they were
        cancelled, have timed out, or their run was ended.

        Does nothing but once a second, and only if attempts with a row are in flight.
        """
        now = time.monotonic()
        if now < self._next_check:
            return
        self._next_check = now + CHECK_INTERVAL
        # In this order: what is in flight now was running when the rows are read.
        here = [
            attempt
            for attempt in self._executor.in_flight()
            if attempt.has_row and not attempt.pulse.stopped
        ]
        if not here:
            return
        running = set(running_at(database, self._worker_id))
        over = {a.step_id: a for a in here if (a.step_id, a.number) not in running}
        if over:
            for step_id in over.keys() - left_running(database, sorted(over)):
                self._stop(over[step_id])

    def _stop(self, attempt: Attempt) -> None:
        if self._is_here(attempt) and not attempt.pulse.stopped:
            self._executor.stop(attempt, ENDED)
