"""Runs attempts: on threads, on one asyncio loop, or in processes of their own."""

from __future__ import annotations

import asyncio
import os
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

from asgiref.sync import ThreadSensitiveContext

from django_workflows.worker.attempt import (
    Attempt,
    Ended,
    run_async,
    run_sync,
)
from django_workflows.worker.connections import (
    IDLE,
    close_broken_connections,
    close_dead_connections,
)
from django_workflows.worker.isolation import IsolatedProcesses
from django_workflows.worker.threads import LentThread, LentThreads, ThreadPool

#: Isolated processes at once, per worker.
PROCESSES = min(4, os.cpu_count() or 1)


#: Seconds for the clean-up code of asynchronous steps when their worker ends.
CLEAN_UP = 1.0

#: Takes the end of an attempt, and what to call once it is in safe hands: until then
#: the attempt counts as in flight.
Report = Callable[[Ended, Callable[[], None]], None]


class Executor:
    """Runs attempts and reports their ends, from whatever thread they end on."""

    def __init__(self, threads: int, async_steps: int, report: Report) -> None:
        self._report = report
        self._threads = ThreadPool(threads, "workflows-step")
        self._lent = LentThreads(threads)
        self._isolated = IsolatedProcesses(PROCESSES)
        self._loop: asyncio.AbstractEventLoop | None = None
        self._tasks: dict[str, asyncio.Task[None]] = {}
        self._lock = threading.Lock()
        self._thread = threading.local()
        self._in_flight: dict[tuple[str, int], Attempt] = {}
        self._limits = {"thread": threads, "async": async_steps, "process": PROCESSES}
        self._used = dict.fromkeys(self._limits, 0)
        #: How long a synchronous step takes here, in seconds, as of late.
        self._typical = 0.05

    # -- room -------------------------------------------------------------------------

    def room(self, kind: str) -> int:
        """How many more attempts of a kind (see `KINDS`) to take.

        Where steps are short, some are taken in advance, so that a thread never waits
        for the commit that starts its next step.
        """
        ahead = 0
        if kind == "thread":
            ahead = min(100, int(0.05 / max(self._typical, 0.0005)))
        return self._limits[kind] + ahead - self._used[kind]

    def in_flight(self) -> list[Attempt]:
        with self._lock:
            return list(self._in_flight.values())

    def running(self, step_id: str, number: int) -> Attempt | None:
        """The attempt, if it is in flight here."""
        return self._in_flight.get((step_id, number))

    # -- running ----------------------------------------------------------------------

    def submit(self, attempts: Sequence[Attempt]) -> None:
        """Run attempts whose start is committed."""
        on_loop = []
        with self._lock:
            for attempt in attempts:
                self._in_flight[attempt.step_id, attempt.number] = attempt
                self._used[attempt.kind] += 1
        for attempt in attempts:
            kind = attempt.kind
            if kind == "async":
                on_loop.append(attempt)
            elif kind == "process":
                self._isolated.submit(attempt, self._ended)
            else:
                attempt.lend = self._lend_thread
                self._threads.submit(lambda a=attempt: self._run(a))  # type: ignore[misc]
        if on_loop:
            self._get_loop().call_soon_threadsafe(self._start_tasks, on_loop)

    def cancel(self, step_id: str) -> None:
        """Cancel an asynchronous step; a synchronous one runs on, to no effect."""
        if self._loop is not None:
            self._loop.call_soon_threadsafe(self._cancel_task, step_id)

    def _run(self, attempt: Attempt) -> None:
        began = time.monotonic()
        if began - getattr(self._thread, "idle_since", began) > IDLE:
            close_dead_connections()
        ended = run_sync(attempt)
        close_broken_connections()
        self._thread.idle_since = time.monotonic()
        ended.seconds = self._thread.idle_since - began
        self._typical += (ended.seconds - self._typical) * 0.05
        self._ended(ended)

    @contextmanager
    def _lend_thread(self) -> Iterator[None]:
        """A thread that waits for another run must not keep that run from a thread."""
        with self._lock:
            self._used["thread"] -= 1
        self._threads.resize(+1)
        try:
            yield
        finally:
            self._threads.resize(-1)
            with self._lock:
                self._used["thread"] += 1

    def _ended(self, ended: Ended) -> None:
        attempt = ended.attempt

        def done() -> None:
            with self._lock:
                self._in_flight.pop((attempt.step_id, attempt.number), None)
                self._used[attempt.kind] -= 1

        self._report(ended, done)

    # -- the loop of asynchronous steps -----------------------------------------------

    def _get_loop(self) -> asyncio.AbstractEventLoop:
        if self._loop is None:
            self._loop = asyncio.new_event_loop()
            threading.Thread(
                target=_run_loop, args=(self._loop,), name="workflows-loop", daemon=True
            ).start()
        return self._loop

    def _start_tasks(self, attempts: list[Attempt]) -> None:
        assert self._loop is not None
        for attempt in attempts:
            task = self._loop.create_task(self._run_on_loop(attempt))
            self._tasks[attempt.step_id] = task

    def _cancel_task(self, step_id: str) -> None:
        task = self._tasks.get(step_id)
        if task is not None:
            task.cancel()

    async def _run_on_loop(self, attempt: Attempt) -> None:
        began = time.monotonic()
        thread = LentThread(self._lent)
        try:
            async with ThreadSensitiveContext(executor=thread):
                ended = await run_async(attempt)
        except BaseException as error:
            ended = Ended(attempt, error=error)
        finally:
            thread.give_back()
            self._tasks.pop(attempt.step_id, None)
        ended.seconds = time.monotonic() - began
        self._ended(ended)

    # -- end --------------------------------------------------------------------------

    def wait_idle(self, timeout: float) -> bool:
        """Wait until nothing is in flight; False if it still is after `timeout`."""
        deadline = time.monotonic() + timeout
        while self._in_flight and time.monotonic() < deadline:
            time.sleep(0.02)
        return not self._in_flight

    def close(self) -> None:
        self._threads.close()
        self._lent.close()
        self._isolated.close()
        if self._loop is not None:
            self._loop.call_soon_threadsafe(self._loop.stop)


def _run_loop(loop: asyncio.AbstractEventLoop) -> None:
    """Run the loop of asynchronous steps; those that are left when it stops end here.

    Left to the collector, their clean-up code would run on any thread.
    """
    loop.run_forever()
    left = asyncio.all_tasks(loop)
    for task in left:
        task.cancel()
    if left:
        loop.run_until_complete(asyncio.wait(left, timeout=CLEAN_UP))
    loop.close()
