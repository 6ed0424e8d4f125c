"""What a worker process has one of: identity, heartbeat, executor and reactor."""

from __future__ import annotations

import ctypes
import logging
import os
import random
import sys
import threading
import time
import traceback
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from django.db import connections
from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.utils import DatabaseError, InterfaceError

from django_workflows.conf import conf
from django_workflows.core.ids import new_id
from django_workflows.replay.events import LogEvent
from django_workflows.replay.execution import BurstTimeout
from django_workflows.store import announcements, workers
from django_workflows.store.attempts import cut_attempts
from django_workflows.store.database import alias, database_time, private_connection
from django_workflows.store.notify import DUE
from django_workflows.store.wakers import make_waker
from django_workflows.worker.attempt import Ended, judge, report_ends
from django_workflows.worker.clock import DatabaseClock
from django_workflows.worker.code import code_digest
from django_workflows.worker.executor import Executor
from django_workflows.worker.heartbeats import Heartbeats
from django_workflows.worker.owned import OwnedRun
from django_workflows.worker.reactor import Reactor

logger = logging.getLogger("django_workflows.worker")

#: Seconds for which a process that ends waits for receivers of signals, at most.
SIGNALS_GRACE = 5.0

_draining = threading.Event()
#: The cluster notices by itself that this process is draining, and ends it.
ends_when_drained = False
_current: WorkerProcess | None = None


def serve_queues() -> tuple[str, ...]:
    """WORKFLOWS_QUEUES of the environment, else Q_CLUSTER_NAME, else `default`."""
    given = os.environ.get("WORKFLOWS_QUEUES", "")
    queues = tuple(name.strip() for name in given.split(",") if name.strip())
    return queues or (os.environ.get("Q_CLUSTER_NAME") or "default",)


def current() -> WorkerProcess:
    """This process as a worker, entered into the database at the first call."""
    global _current
    if _current is not None and _current.pid != os.getpid():
        _current = None  # the parent's, before a fork
    if _current is not None and _current.is_dead:
        _current.give_up()
        _current = None
    if _current is None:
        _current = WorkerProcess(serve_queues())
    return _current


def discard() -> None:
    """Forget this worker after a failure; the next call of `current` begins anew."""
    global _current
    if _current is not None and _current.pid == os.getpid():
        _current.give_up()
    _current = None


def request_drain() -> None:
    """Take nothing new any more and come to an end. Safe in a signal handler."""
    _draining.set()
    if _current is not None and _current.pid == os.getpid():
        _current.reactor.arrivals.put(None)


def is_draining() -> bool:
    """Whether this process takes nothing new any more and shall end."""
    return _draining.is_set()


def shutdown(grace: float) -> None:
    """Let steps end, at most `grace` seconds, and sign off. For the process's end."""
    _draining.set()
    if _current is not None and _current.pid == os.getpid():
        _current.shutdown(grace)


def _closing_after(job: Callable[[], None]) -> None:
    try:
        job()
    finally:
        connections.close_all()


@dataclass(slots=True)
class Burst:
    """Workflow code that runs now, on `thread`, since `event` was delivered to it.

    `spent` are the seconds of it up to the last look at it, `looked_at`.
    """

    run: OwnedRun
    event: LogEvent | None
    looked_at: float
    spent: float = 0.0
    thread: int = field(default_factory=threading.get_ident)


class WorkerProcess:
    """This process as a worker. `work` runs the reactor on the calling thread."""

    def __init__(self, queues: tuple[str, ...]) -> None:
        # One computing thread would otherwise hold up the reactor for 5 ms at each of
        # its returns from the database.
        sys.setswitchinterval(1e-4)
        self.pid = os.getpid()
        self.id = new_id("wrkr")
        self.queues = queues
        self.is_dead = False
        self.code = code_digest()
        self.database = private_connection()
        workers.register(self.database, self.id, queues, self.code)
        self.clock = DatabaseClock(database_time(self.database))
        self._reporting = threading.Lock()
        self._reactor_runs = False
        self.executor = Executor(
            conf.THREADS,
            conf.ASYNC_STEPS,
            self._report,
            lambda attempt: self.heartbeats.tell(attempt),
        )
        self.reactor = Reactor(
            self.database, self.id, queues, self.executor, self.clock, self.code
        )
        self.heartbeats = Heartbeats(self.id, self.executor, self.reactor.show)
        self.reactor.handover = self._reporting
        self.reactor.on_burst = self.reactor.loader.on_burst = self._note_burst
        self.reactor.committer.may_retry = lambda: not self.is_dead
        self._stop = threading.Event()
        self._burst: Burst | None = None
        self._burst_lock = threading.Lock()
        self._rounds = 0
        #: When the burst that is under way, or the last one, has begun.
        self._burst_began = 0.0
        self._listening = threading.Event()
        for target in (self._beat, self._listen):
            threading.Thread(
                target=target, name=f"workflows{target.__name__}", daemon=True
            ).start()

    # -- the reactor's slice ----------------------------------------------------------

    def work(self) -> None:
        """Run rounds until there is nothing to do for a while, or the slice is over."""
        with announcements.in_background():
            self._work()

    def _work(self) -> None:
        began = time.monotonic()
        slice_end, linger = began + conf.SLICE, conf.LINGER
        idle_since = began
        with self._reporting:
            self._reactor_runs = True
        self._listening.set()
        reactor = self.reactor
        reactor.look_at_all()
        try:
            while not self.is_dead:
                timeout = reactor.seconds_to_next(0.25)
                if not reactor.is_busy:
                    timeout = min(
                        timeout, max(0.0, idle_since + linger - time.monotonic())
                    )
                ended = reactor.wait(timeout)
                draining = _draining.is_set()
                if self._round(ended, claim=not draining) or reactor.is_busy:
                    idle_since = time.monotonic()
                self._rounds += 1
                now = time.monotonic()
                if draining or now > slice_end or now - idle_since >= linger:
                    break
            self._let_go()
        finally:
            self._listening.clear()
            with self._reporting:
                self._reactor_runs = False
        self._report_left()

    def _let_go(self) -> None:
        """Give all runs up; one whose row somebody has locked keeps us here."""
        while not self.is_dead:
            try:
                if self.reactor.let_go():
                    return
            except (DatabaseError, InterfaceError):
                self._recover()
            time.sleep(0.02)
        self.reactor.forget_all()

    def _round(self, ended: list[Ended], *, claim: bool) -> bool:
        """A round, or a pause if the database is away."""
        try:
            busy = self.reactor.round(ended, claim=claim)
        except (DatabaseError, InterfaceError) as error:
            logger.warning(
                "the database failed in a round, trying again: %s",
                error,
                extra={"action": "round_broken"},
            )
            self._recover()
            return True
        return busy

    def _recover(self) -> None:
        pause = 0.1
        while not self.is_dead:
            time.sleep(pause)
            pause = min(2.0, pause * 2)
            try:
                self.reactor.recover()
                return
            except (DatabaseError, InterfaceError):
                continue

    def _report(self, ended: Ended, done: Callable[[], None]) -> None:
        """Ends of attempts go to the reactor while it runs, else to the inbox."""
        with self._reporting:
            if self._reactor_runs:
                done()
                self.reactor.report(ended)
                return

        def report() -> None:
            self._report_directly(ended)
            done()

        if ended.attempt.kind == "async" or ended.timed_out:
            # Its thread is the loop's, or the one that watches all attempts, which
            # must not wait for the database.
            threading.Thread(target=_closing_after, args=(report,)).start()
        else:
            report()

    def _report_left(self) -> None:
        for ended in self.reactor.take_ends():
            self._report_directly(ended, self.database)

    def _report_directly(self, ended: Ended, database: Any = None) -> None:
        if ended.is_recorded or ended.is_void or not ended.attempt.has_row:
            return
        now_us = self.clock.now_us()
        verdict = judge(ended, now_us, conf.MAX_STEP_CRASHES, random.Random())
        pause = 0.1
        while not self.is_dead:
            try:
                report_ends(
                    database or connections[alias()],
                    [(ended.attempt, verdict)],
                    now_us,
                )
                return
            except (DatabaseError, InterfaceError):
                logger.warning(
                    "the end of a step could not be stored, trying again",
                    exc_info=True,
                    extra={"action": "step_end_retried"},
                )
                (database or connections[alias()]).close()
                time.sleep(pause)
                pause = min(2.0, pause * 2)

    # -- threads beside it ------------------------------------------------------------

    def _beat(self) -> None:
        """Give signs of life as long as rounds make progress; watch the bursts."""
        database = private_connection()
        next_beat = 0.0
        while not self._stop.wait(min(0.2, conf.BURST_TIMEOUT / 4)):
            self._watch_burst()
            self._check_attempts(database)
            self._check_executor()
            now = time.monotonic()
            if now < next_beat:
                continue
            if self._burst is not None and now - self._burst_began > conf.LEASE:
                logger.critical(
                    "the reactor does not come back; this process ends",
                    extra={"action": "reactor_stuck", "worker": self.id},
                )
                os._exit(70)
            next_beat = now + conf.LEASE / 4
            try:
                told = workers.beat(
                    database,
                    self.id,
                    len(self.reactor.owned),
                    len(self.executor.in_flight()),
                )
            except (DatabaseError, InterfaceError):
                database.close()
                next_beat = now + 0.5
                continue
            if told is None:
                self.is_dead = True
                logger.error(
                    "worker %s was taken for dead; its runs are worked on elsewhere",
                    self.id,
                    extra={"action": "worker_declared_dead", "worker": self.id},
                )
                break
            self.clock.set(told)
        database.close()

    def _check_attempts(self, database: BaseDatabaseWrapper) -> None:
        try:
            self.heartbeats.check(database)
        except (DatabaseError, InterfaceError):
            database.close()  # the next look, or the next beat, tries again

    def _check_executor(self) -> None:
        """Have this process replaced if it is worn out: also one that has nothing to do
        but to wait for attempts that will not end."""
        if self.executor.is_worn_out and not _draining.is_set():
            logger.warning(
                "steps that were given up do not end (%d threads, or the event loop); "
                "this process is replaced",
                self.executor.threads_given_up,
                extra={"action": "worker_worn_out", "worker": self.id},
            )
            request_drain()

    def _listen(self) -> None:
        """Wake the reactor when the database may hold something new for it."""
        waker = make_waker([DUE], alias())
        while not self._stop.is_set():
            if not self._listening.wait(0.5):
                continue
            if waker.wait(0.25):
                self.reactor.wake()
        waker.close()

    def _note_burst(self, run: OwnedRun | None) -> None:
        if run is not None:
            with self._burst_lock:
                self._burst_began = time.monotonic()
                self._burst = Burst(run, run.execution.event, self._burst_began)
            return
        while self._burst is not None:
            # Once this is through, no interruption is on its way any more.
            try:
                with self._burst_lock:
                    self._burst = None
            except BurstTimeout:
                continue

    def _watch_burst(self) -> None:
        with self._burst_lock:
            if self._burst is None:
                return
            burst, now = self._burst, time.monotonic()
            event = burst.run.execution.event
            if event is not burst.event:
                # A replay, or a run that has got much to do: one burst after another.
                burst.event = event
                burst.spent, burst.looked_at, self._burst_began = 0.0, now, now
                return
            # If nobody has looked for longer, it is the process that stood still.
            burst.spent += min(now - burst.looked_at, conf.BURST_TIMEOUT / 4)
            burst.looked_at = now
            if burst.spent < conf.BURST_TIMEOUT:
                return
            burst.spent = 0.0
            frame = sys._current_frames().get(burst.thread)
            stack = "".join(traceback.format_stack(frame)[-6:]) if frame else ""
            burst.run.execution.interrupt(stack, frame)
            ctypes.pythonapi.PyThreadState_SetAsyncExc(
                ctypes.c_ulong(burst.thread), ctypes.py_object(BurstTimeout)
            )

    # -- end --------------------------------------------------------------------------

    def shutdown(self, grace: float) -> None:
        """Let steps end, cut off those that don't, and sign off."""
        if not self.executor.wait_idle(grace):
            left = self.executor.in_flight()
            logger.warning(
                "%d steps did not end within %s s and run again elsewhere",
                len(left),
                grace,
                extra={"action": "steps_cut_off"},
            )
            self.heartbeats.flush(self.database, left)
            cut_attempts(self.database, [(a.step_id, a.number) for a in left])
        workers.unregister(self.database, self.id)
        announcements.wait_until_sent(min(grace, SIGNALS_GRACE))
        self.abandon()

    def give_up(self) -> None:
        """After a failure: nothing in memory counts; others go on at once."""
        self.reactor.forget_all()
        try:
            self.database.close()
            workers.unregister(self.database, self.id)
        except (DatabaseError, InterfaceError):
            logger.warning(
                "worker %s could not sign off; its runs go on after a lease",
                self.id,
                exc_info=True,
                extra={"action": "worker_not_signed_off", "worker": self.id},
            )
        self.abandon()

    def abandon(self) -> None:
        """Stop the threads without a word to the database."""
        self._stop.set()
        self.is_dead = True
        self.heartbeats.close()
        self.executor.close()
        self.database.close()
