"""Runs attempts: on threads, on one asyncio loop, or in processes of their own."""

from __future__ import annotations

import asyncio
import os
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial

from asgiref.sync import ThreadSensitiveContext

from django_workflows.errors import StepTimeoutError
from django_workflows.worker.attempt import (
    Attempt,
    Ended,
)
from django_workflows.worker.connections import (
    IDLE,
    close_broken_connections,
    close_dead_connections,
)
from django_workflows.worker.deadlines import Deadlines
from django_workflows.worker.flusher import flusher
from django_workflows.worker.isolation import IsolatedProcesses
from django_workflows.worker.running import run_async, run_sync
from django_workflows.worker.threads import LentThread, LentThreads, ThreadPool

#: Isolated processes at once, per worker.
PROCESSES = min(4, os.cpu_count() or 1)


#: Seconds for the clean-up code of asynchronous steps when their worker ends.
CLEAN_UP = 1.0

#: Seconds that the loop of asynchronous steps may take to cancel one of them.
LOOP_PATIENCE = 5.0

#: Takes the end of an attempt, and what to call once it is in safe hands: until then
#: the attempt counts as in flight.
Report = Callable[[Ended, Callable[[], None]], None]


class Executor:
    """Runs attempts and reports their ends, from whatever thread they end on."""

    def __init__(
        self,
        threads: int,
        async_steps: int,
        report: Report,
        on_details: Callable[[Attempt], None] = lambda attempt: None,
    ) -> None:
        self._report = report
        self._on_details = on_details
        self._deadlines = Deadlines(self._time_out)
        self._threads = ThreadPool(threads, "workflows-step")
        self._lent = LentThreads(threads)
        self._isolated = IsolatedProcesses(PROCESSES)
        self._loop: asyncio.AbstractEventLoop | None = None
        self._tasks: dict[tuple[str, int], asyncio.Task[None]] = {}
        #: Since when the loop has been asked for something that it has not done.
        self._asked_loop = 0.0
        self._lock = threading.Lock()
        self._thread = threading.local()
        #: By step: an attempt that was given up is in flight no more.
        self._in_flight: dict[str, Attempt] = {}
        self._limits = {"thread": threads, "async": async_steps, "process": PROCESSES}
        self._used = dict.fromkeys(self._limits, 0)
        #: Threads whose attempt is over although its code still runs.
        self.threads_given_up = 0
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
        attempt = self._in_flight.get(step_id)
        return attempt if attempt is not None and attempt.number == number else None

    @property
    def is_worn_out(self) -> bool:
        """Whether so much runs here that was given up that only the end of the process
        can help: a thread cannot be stopped, nor a loop that never gets to wait."""
        if self.threads_given_up >= self._limits["thread"]:
            return True
        asked = self._asked_loop
        return bool(asked) and time.monotonic() - asked > LOOP_PATIENCE

    # -- running ----------------------------------------------------------------------

    def submit(self, attempts: Sequence[Attempt]) -> None:
        """Run attempts whose start is committed."""
        on_loop = []
        with self._lock:
            for attempt in attempts:
                before = self._in_flight.get(attempt.step_id)
                if before is not None:  # cancelled, and not yet at its end
                    self._used[before.kind] -= 1
                self._in_flight[attempt.step_id] = attempt
                self._used[attempt.kind] += 1
                attempt.pulse.on_beat = partial(self._heard, attempt)
        for attempt in attempts:
            kind = attempt.kind
            if kind == "async":
                on_loop.append(attempt)
            elif kind == "process":
                self._isolated.submit(attempt, self._begun, self._ended)
            else:
                attempt.lend = self._lend_thread
                attempt.pulse.waits = True
                self._threads.submit(lambda a=attempt: self._run(a))  # type: ignore[misc]
        if on_loop:
            self._get_loop().call_soon_threadsafe(self._start_tasks, on_loop)

    def _heard(self, attempt: Attempt, has_details: bool) -> None:
        if has_details:
            self._on_details(attempt)

    def cancel(self, step_id: str) -> None:
        """Tell the step that it is cancelled, if it runs here."""
        attempt = self._in_flight.get(step_id)
        if attempt is not None:
            self.stop(attempt, "the step was cancelled")

    def stop(self, attempt: Attempt, why: str) -> None:
        """What comes of an attempt does not count any more: tell it so.

        Asynchronous code is cancelled. Other code learns it from its next heartbeat;
        its thread does not count as a slot any more.
        """
        attempt.pulse.stopped = why
        if attempt.kind == "thread":
            self._give_up(attempt)
        elif attempt.kind == "async":
            self._asked_loop = self._asked_loop or time.monotonic()
            self._get_loop().call_soon_threadsafe(self._cancel_task, attempt)
        elif attempt.pulse.tell is not None:
            attempt.pulse.tell(why)

    def _give_up(self, attempt: Attempt) -> None:
        with self._lock:
            pulse = attempt.pulse
            if not pulse.began_at or pulse.is_given_up:
                return  # it will see before it begins that it need not
            if pulse.is_through:
                return  # its thread is free by itself
            if self._in_flight.get(attempt.step_id) is not attempt:
                return
            del self._in_flight[attempt.step_id]
            pulse.is_given_up = True
            self._used["thread"] -= 1
            self.threads_given_up += 1
        self._threads.resize(+1)

    def _time_out(self, attempt: Attempt, kind: str) -> None:
        with self._lock:
            if attempt.pulse.is_over:
                return
            attempt.pulse.is_over = True
        settings = attempt.settings
        if kind == "heartbeat":
            what = f"gave no heartbeat for {settings.heartbeat_timeout:g} s"
        else:
            what = f"took longer than {settings.timeout:g} s"
        message = f"attempt {attempt.number} of step {attempt.title} {what}"
        if attempt.pulse.kill is not None:
            attempt.pulse.kill()
        else:
            self.stop(attempt, message)
        error = StepTimeoutError(message, kind=kind)
        self._hand_in(Ended(attempt, error=error, timed_out=kind))

    def _run(self, attempt: Attempt) -> None:
        pulse, began = attempt.pulse, time.monotonic()
        pulse.begin()
        if pulse.stopped:
            self._ended(Ended(attempt, is_void=True))
            return
        if attempt.settings.has_attempt_timeout:
            self._deadlines.watch(attempt)
        if began - getattr(self._thread, "idle_since", began) > IDLE:
            close_dead_connections()
        ended = run_sync(attempt)
        close_broken_connections()
        self._thread.idle_since = time.monotonic()
        ended.seconds = self._thread.idle_since - began
        self._typical += (ended.seconds - self._typical) * 0.05
        self._ended(ended)
        with self._lock:
            pulse.is_through = True
            if not pulse.is_given_up:
                return
            self.threads_given_up -= 1
        self._threads.resize(-1)

    def _begun(self, attempt: Attempt) -> None:
        """The code of an attempt begins, in a process of its own."""
        attempt.pulse.begin()
        if attempt.settings.has_attempt_timeout:
            self._deadlines.watch(attempt)

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
        """The code of an attempt has come to its end."""
        attempt = ended.attempt
        if attempt.settings.has_attempt_timeout:
            self._deadlines.forget(attempt)
            with self._lock:
                if attempt.pulse.is_over:
                    return  # too late
                attempt.pulse.is_over = True
        self._hand_in(ended)

    def _hand_in(self, ended: Ended) -> None:
        attempt = ended.attempt

        def done() -> None:
            with self._lock:
                if self._in_flight.get(attempt.step_id) is attempt:
                    del self._in_flight[attempt.step_id]
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
            self._tasks[attempt.step_id, attempt.number] = task

    def _cancel_task(self, attempt: Attempt) -> None:
        self._asked_loop = 0.0
        task = self._tasks.get((attempt.step_id, attempt.number))
        if task is None:
            return
        task.cancel()
        if not attempt.pulse.began_at:
            # Of such a task not a line is run, not even what tells of its end.
            del self._tasks[attempt.step_id, attempt.number]
            self._ended(Ended(attempt, is_void=True))

    async def _run_on_loop(self, attempt: Attempt) -> None:
        pulse, began = attempt.pulse, time.monotonic()
        pulse.begin()
        if attempt.settings.has_attempt_timeout:
            self._deadlines.watch(attempt)
        thread = LentThread(self._lent)
        try:
            async with ThreadSensitiveContext(executor=thread):
                ended = await run_async(attempt)
        except BaseException as error:
            ended = Ended(attempt, error=error)
        finally:
            thread.give_back()
            self._tasks.pop((attempt.step_id, attempt.number), None)
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
        self._deadlines.close()
        self._threads.close()
        self._lent.close()
        self._isolated.close()
        flusher().close()
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
