"""Waits for the end of runs."""

from __future__ import annotations

import asyncio
import os
import threading
import time
from contextlib import nullcontext, suppress
from dataclasses import dataclass
from typing import Any, Self

from asgiref.sync import sync_to_async

from django_workflows.core import context, failures, serialization
from django_workflows.core.durations import Duration, to_seconds
from django_workflows.core.payloads import unseal
from django_workflows.errors import (
    WorkflowRunCancelledError,
    WorkflowRunFailedError,
    WorkflowRunNotFoundError,
    WorkflowRunTerminatedError,
    WorkflowRunTimedOutError,
)
from django_workflows.models import Run
from django_workflows.store.chains import current_run_id
from django_workflows.store.database import alias, connection
from django_workflows.store.notify import DONE
from django_workflows.store.wakers import make_waker

#: Longest wait, in seconds, before looking again although nothing was announced.
LOOK_AGAIN = 0.5


class EndWatcher:
    """One thread per process that hears of ended runs, for everyone who waits."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        #: Who waits on an event loop.
        self._tell: set[tuple[asyncio.AbstractEventLoop, asyncio.Event]] = set()
        self._generation = 0
        self._waiting = 0
        self._thread: threading.Thread | None = None
        self._pid = os.getpid()

    def __enter__(self) -> Self:
        with self._changed:
            self._waiting += 1
            if self._thread is None:
                self._thread = threading.Thread(
                    target=self._listen, name="workflows-results", daemon=True
                )
                self._thread.start()
        return self

    def __exit__(self, *exc_info: object) -> None:
        with self._changed:
            self._waiting -= 1

    @property
    def generation(self) -> int:
        return self._generation

    def wait(self, seen: int, timeout: float) -> None:
        """Wait until something has been announced since generation `seen`."""
        with self._changed:
            self._changed.wait_for(lambda: self._generation != seen, timeout)

    async def async_wait(self, seen: int, timeout: float) -> None:
        """The same on an event loop."""
        loop = asyncio.get_running_loop()
        changed = asyncio.Event()
        told = (loop, changed)
        with self._changed:
            if self._generation != seen:
                return
            self._tell.add(told)
        try:
            async with asyncio.timeout(timeout):
                await changed.wait()
        except TimeoutError:
            return
        finally:
            with self._changed:
                self._tell.discard(told)

    def belongs_here(self) -> bool:
        return self._pid == os.getpid()

    def _listen(self) -> None:
        waker = make_waker([DONE], alias())
        idle_since = time.monotonic()
        try:
            while True:
                woken = waker.wait(LOOK_AGAIN)
                with self._changed:
                    if self._waiting:
                        idle_since = time.monotonic()
                    elif time.monotonic() - idle_since > 5:
                        self._thread = None
                        return
                    if woken:
                        self._generation += 1
                        self._changed.notify_all()
                        for loop, changed in self._tell:
                            with suppress(RuntimeError):  # it has been closed
                                loop.call_soon_threadsafe(changed.set)
        finally:
            waker.close()


_watcher = EndWatcher()


def _get_watcher() -> EndWatcher:
    global _watcher
    if not _watcher.belongs_here():
        _watcher = EndWatcher()  # the thread stayed behind in the parent of the fork
    return _watcher


def wait_for_result(run: Run, timeout: Duration | None = None) -> Any:
    """Wait for a run's end; see ``Run.result``."""
    wait = _Wait(run, timeout)
    outcome = wait.look()
    if outcome is None:
        _refuse_in_transaction(run)
        step = context.current_step()
        lent = nullcontext() if step is None else step.waiting()
        with lent, _get_watcher() as watcher:
            seen = watcher.generation
            while (outcome := wait.look()) is None:
                watcher.wait(seen, wait.longest())
                seen = watcher.generation
    return _unpack(outcome)


async def await_result(run: Run, timeout: Duration | None = None) -> Any:
    """The same without holding a thread while nothing happens."""
    wait = _Wait(run, timeout)
    look = sync_to_async(wait.look)
    outcome = await look()
    if outcome is None:
        await sync_to_async(_refuse_in_transaction)(run)
        with _get_watcher() as watcher:
            seen = watcher.generation
            while (outcome := await look()) is None:
                await watcher.async_wait(seen, wait.longest())
                seen = watcher.generation
    return _unpack(outcome)


@dataclass(frozen=True, slots=True)
class _End:
    """How the last run of a chain has ended, with the payload of its last event."""

    run_id: str
    workflow: str
    status: str
    payload: bytes | None


class _Wait:
    """What is waited for, and how long. Raises ValueError for what is no duration."""

    def __init__(self, run: Run, timeout: Duration | None) -> None:
        self._run = run
        #: The last run of the chain, as far as it is known.
        self._run_id = run.pk
        self._status: str = run.status
        self._end = None if timeout is None else time.monotonic() + to_seconds(timeout)

    def look(self) -> _End | None:
        """The end if it has come. Raises WorkflowRunNotFoundError."""
        while True:
            status, payload = _read_end(self._run_id)
            self._status = status
            if self._run_id == self._run.pk:
                self._run.status = status
            if status in Run.OPEN:
                return None
            if status != Run.Status.CONTINUED_AS_NEW:
                return _End(self._run_id, self._run.workflow, status, payload)
            following = current_run_id(self._run_id)
            if following == self._run_id:
                raise WorkflowRunNotFoundError(
                    f"run {self._run_id} has continued as a run that is gone",
                    run_id=self._run_id,
                )
            self._run_id = following

    def longest(self) -> float:
        """Seconds until the next look. Raises TimeoutError after the last one."""
        if self._end is None:
            return LOOK_AGAIN
        left = self._end - time.monotonic()
        if left <= 0:
            raise TimeoutError(f"run {self._run_id} is still {self._status}")
        return min(left, LOOK_AGAIN)


def _refuse_in_transaction(run: Run) -> None:
    if connection().in_atomic_block:
        raise RuntimeError(
            f"result() of the open run {run.pk} inside transaction.atomic(): its end "
            "would not be seen, and with an uncommitted start() never come. Call it "
            "after the block; in tests use django_workflows.testing."
        )


def _read_end(run_id: str) -> tuple[str, bytes | None]:
    """A run's status and, if it has ended, the payload of its last event."""
    with connection().cursor() as cursor:
        cursor.execute(
            "SELECT r.status, e.payload FROM django_workflows_run r "
            "LEFT JOIN django_workflows_event e ON e.run_id = r.id "
            "AND e.seq = r.last_seq AND r.finished_at IS NOT NULL WHERE r.id = %s",
            (run_id,),
        )
        row = cursor.fetchone()
    if row is None:
        raise WorkflowRunNotFoundError(f"there is no workflow run {run_id!r}")
    return row[0], None if row[1] is None else unseal(bytes(row[1]))


def _unpack(end: _End) -> Any:
    run_id, workflow, payload = end.run_id, end.workflow, end.payload
    status = Run.Status(end.status)
    if status == Run.Status.COMPLETED:
        return None if payload is None else serialization.loads(payload)
    if status == Run.Status.FAILED:
        cause = failures.rebuild(payload or b"")
        raise WorkflowRunFailedError(
            f"run {run_id} of {workflow} failed: {type(cause).__name__}: {cause}",
            run_id=run_id,
            cause=cause,
        ) from cause
    error = {
        Run.Status.CANCELLED: WorkflowRunCancelledError,
        Run.Status.TERMINATED: WorkflowRunTerminatedError,
    }.get(status, WorkflowRunTimedOutError)
    raise error(f"run {run_id} of {workflow} is {status}", run_id=run_id)
