"""Threads that run synchronous code of steps."""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable
from concurrent.futures import Executor, Future, ThreadPoolExecutor
from queue import SimpleQueue
from typing import Any

from django.db import connections

from django_workflows.worker.connections import (
    IDLE,
    close_broken_connections,
    close_dead_connections,
)


class ThreadPool:
    """A bounded pool that starts its threads as they are needed.

    Plainer than a ThreadPoolExecutor, and several times faster for short jobs: no
    future is made for a job, which reports its end itself.
    """

    def __init__(self, size: int, name: str) -> None:
        self._size = size
        self._name = name
        self._jobs: SimpleQueue[Callable[[], None] | None] = SimpleQueue()
        self._threads: set[threading.Thread] = set()
        self._made = 0
        #: Jobs submitted and not yet done.
        self._open = 0
        self._lock = threading.Lock()

    def submit(self, job: Callable[[], None]) -> None:
        """Run a job, which must not raise, as soon as a thread is free."""
        with self._lock:
            self._open += 1
            self._start_thread_if_needed()
        self._jobs.put(job)

    def resize(self, by: int) -> None:
        """Allow more or fewer threads; one too many ends after its job."""
        with self._lock:
            self._size += by
            self._start_thread_if_needed()

    def close(self) -> None:
        """Let the threads end when they have done what is queued."""
        for _ in self._threads:
            self._jobs.put(None)

    def _start_thread_if_needed(self) -> None:
        count = len(self._threads)
        if self._open <= count or count >= self._size:
            return
        self._made += 1
        thread = threading.Thread(
            target=self._work, name=f"{self._name}-{self._made}", daemon=True
        )
        self._threads.add(thread)
        thread.start()

    def _work(self) -> None:
        try:
            while True:
                job = self._jobs.get()
                if job is None:
                    return
                job()
                with self._lock:
                    self._open -= 1
                    if len(self._threads) > self._size:
                        self._threads.discard(threading.current_thread())
                        return
        finally:
            connections.close_all()


class LentThreads:
    """Gives each asynchronous step that needs one a thread of its own.

    asgiref runs the ORM calls of one context on one thread. By itself it would make a
    new thread, and with it a new connection, for every step; here a bounded number of
    threads is lent, and their connections live on.
    """

    def __init__(self, size: int) -> None:
        self._size = size
        #: Threads that nobody has, and since when.
        self._free: list[tuple[ThreadPoolExecutor, float]] = []
        self._made = 0
        self._waiting: deque[LentThread] = deque()
        self._is_closed = False
        self._lock = threading.Lock()

    def acquire(self, borrower: LentThread) -> ThreadPoolExecutor | None:
        """A thread, or None: the borrower is given one later."""
        with self._lock:
            if self._free:
                thread, since = self._free.pop()
                if time.monotonic() - since > IDLE:
                    thread.submit(close_dead_connections)
                return thread
            if self._made < self._size:
                self._made += 1
                return ThreadPoolExecutor(1, thread_name_prefix="workflows-async-step")
            self._waiting.append(borrower)
            return None

    def release(self, thread: ThreadPoolExecutor) -> None:
        with self._lock:
            if self._is_closed:
                _end(thread)
                return
            if not self._waiting:
                self._free.append((thread, time.monotonic()))
                return
            borrower = self._waiting.popleft()
        borrower.given(thread)

    def close(self) -> None:
        with self._lock:
            self._is_closed = True
            free, self._free = self._free, []
        for thread, _ in free:
            _end(thread)


def _end(thread: ThreadPoolExecutor) -> None:
    thread.submit(connections.close_all)
    thread.shutdown(wait=False)


class LentThread(Executor):
    """The executor of one asynchronous step, as asgiref sees it."""

    def __init__(self, lender: LentThreads) -> None:
        self._lender = lender
        self._thread: ThreadPoolExecutor | None = None
        self._asked = self._is_over = False
        self._early: list[tuple[Future[Any], Callable[[], Any]]] = []
        self._lock = threading.Lock()

    def submit(self, function: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Any:
        """Run a function on the step's thread."""

        def job() -> Any:
            return function(*args, **kwargs)

        with self._lock:
            if self._thread is None and not self._asked:
                self._asked = True
                self._thread = self._lender.acquire(self)
            if self._thread is not None:
                return self._thread.submit(job)
            future: Future[Any] = Future()
            self._early.append((future, job))
            return future

    def given(self, thread: ThreadPoolExecutor) -> None:
        with self._lock:
            if self._is_over:
                self._lender.release(thread)
                return
            self._thread = thread
            early, self._early = self._early, []
        for future, job in early:
            thread.submit(_run_into, future, job)

    def give_back(self) -> None:
        """The step has ended: look at its connections and give the thread back."""
        with self._lock:
            self._is_over = True
            thread, self._thread = self._thread, None
        if thread is not None:
            thread.submit(close_broken_connections)
            self._lender.release(thread)


def _run_into(future: Future[Any], job: Callable[[], Any]) -> None:
    if not future.set_running_or_notify_cancel():
        return
    try:
        future.set_result(job())
    except BaseException as error:
        future.set_exception(error)
