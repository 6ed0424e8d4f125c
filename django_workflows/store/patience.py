"""Ends bursts whose code does not come to an end where no worker's watchdog does."""

from __future__ import annotations

import ctypes
import sys
import threading
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Self

from django_workflows.replay.execution import BurstTimeout, Execution

#: How often a burst is looked at while it may go on.
LOOKS = 10


class Patience:
    """Watches bursts, for as long as it is entered.

    A burst that takes longer than `seconds()` is interrupted by BurstTimeout, and its
    execution is told why. Looks at it are what counts: the whole process may stand
    still for a while.
    """

    def __init__(self, seconds: Callable[[], float]) -> None:
        self._seconds = seconds
        self._thread = 0
        self._lock = threading.Lock()
        self._execution: Execution | None = None
        self._begun = 0
        self._over = threading.Event()
        self._watcher = threading.Thread(
            target=self._watch, name="workflows-patience", daemon=True
        )

    def __enter__(self) -> Self:
        self._watcher.start()
        return self

    def __exit__(self, *exc_info: object) -> None:
        self._over.set()
        self._watcher.join()

    @contextmanager
    def with_(self, execution: Execution) -> Iterator[None]:
        """Watch one replay. BurstTimeout may be raised up to the end of the block."""
        self.begin(execution)
        try:
            yield
        finally:
            self.end()

    def begin(self, execution: Execution) -> None:
        """Watch what the calling thread does with it, until `end`."""
        with self._lock:
            self._thread = threading.get_ident()
            self._execution = execution
            self._begun += 1

    def end(self) -> None:
        while self._execution is not None:
            # Once this is through, no interruption is under way any more.
            with suppress(BurstTimeout), self._lock:
                self._execution = None

    def _watch(self) -> None:
        looks = 0
        burst: tuple[int, int] | None = None
        while not self._over.wait(self._seconds() / LOOKS):
            with self._lock:
                if self._execution is None:
                    burst = None
                    continue
                current = (self._begun, id(self._execution.event))
                if current != burst:
                    looks, burst = 0, current
                    continue
                looks += 1
                if looks == LOOKS:
                    looks = 0
                    self._interrupt(self._execution)

    def _interrupt(self, execution: Execution) -> None:
        frame = sys._current_frames()[self._thread]
        execution.interrupt("".join(traceback.format_stack(frame)[-6:]), frame)
        ctypes.pythonapi.PyThreadState_SetAsyncExc(
            ctypes.c_ulong(self._thread), ctypes.py_object(BurstTimeout)
        )
