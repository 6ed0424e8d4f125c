"""Watches that attempts end in time: one thread for all those in flight."""

from __future__ import annotations

import heapq
import itertools
import threading
import time
from collections.abc import Callable

from django_workflows.worker.attempt import Attempt

#: Entries of attempts that have ended are thrown out beyond so many.
SLACK = 1000


class Deadlines:
    """Calls `time_out` for attempts that run too long, or are silent too long.

    It has no part in what becomes of them, and touches no database: it is on time
    whether or not anybody else is.
    """

    def __init__(self, time_out: Callable[[Attempt, str], None]) -> None:
        self._time_out = time_out
        self._open: set[int] = set()
        self._heap: list[tuple[float, int, Attempt]] = []
        self._numbers = itertools.count()
        self._changed = threading.Condition()
        self._thread: threading.Thread | None = None
        self._is_closed = False

    def watch(self, attempt: Attempt) -> None:
        """The code of an attempt begins now."""
        due, _ = next_deadline(attempt)
        with self._changed:
            if len(self._heap) > SLACK + 2 * len(self._open):
                self._heap = [e for e in self._heap if id(e[2]) in self._open]
                heapq.heapify(self._heap)
            self._open.add(id(attempt))
            is_first = not self._heap or due < self._heap[0][0]
            heapq.heappush(self._heap, (due, next(self._numbers), attempt))
            if self._thread is None:
                self._thread = threading.Thread(
                    target=self._run, name="workflows-deadlines", daemon=True
                )
                self._thread.start()
            elif is_first:
                self._changed.notify()

    def forget(self, attempt: Attempt) -> None:
        """The attempt has ended."""
        with self._changed:
            self._open.discard(id(attempt))

    def close(self) -> None:
        with self._changed:
            self._is_closed = True
            self._changed.notify()

    def _run(self) -> None:
        while True:
            with self._changed:
                late = self._wait_for_next()
            if late is None:
                return
            due, kind = next_deadline(late)
            if due <= time.monotonic():
                self.forget(late)
                self._time_out(late, kind)
                continue
            with self._changed:  # it has given a sign of life since
                heapq.heappush(self._heap, (due, next(self._numbers), late))

    def _wait_for_next(self) -> Attempt | None:
        """The next attempt that is due by its entry; None at the end."""
        while not self._is_closed:
            while self._heap and id(self._heap[0][2]) not in self._open:
                heapq.heappop(self._heap)
            if not self._heap:
                self._changed.wait()
                continue
            left = self._heap[0][0] - time.monotonic()
            if left <= 0:
                return heapq.heappop(self._heap)[2]
            self._changed.wait(left)
        return None


def next_deadline(attempt: Attempt) -> tuple[float, str]:
    """When a begun attempt is late if nothing changes, and in which way."""
    settings, pulse = attempt.settings, attempt.pulse
    ends = []
    if settings.timeout is not None:
        ends.append((pulse.began_at + settings.timeout, "start_to_close"))
    if settings.heartbeat_timeout is not None:
        ends.append((pulse.beat_at + settings.heartbeat_timeout, "heartbeat"))
    return min(ends)
