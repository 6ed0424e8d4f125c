"""Ends replays whose code does not come to an end, as a worker's watchdog would."""

from __future__ import annotations

import ctypes
import sys
import threading
import time
import traceback
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from types import TracebackType
from typing import Self

from django_workflows.replay.execution import BurstTimeout, Execution


class Patience:
    """Watches replays on the thread that enters it, for as long as it is entered.

    A burst that takes longer than `seconds` is interrupted by BurstTimeout, and its
    execution is told why.
    """

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self._thread = threading.get_ident()
        self._lock = threading.Lock()
        self._execution: Execution | None = None
        self._replays = 0
        self._over = threading.Event()
        self._watcher = threading.Thread(
            target=self._watch, name="workflows-patience", daemon=True
        )

    def __enter__(self) -> Self:
        self._watcher.start()
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._over.set()
        self._watcher.join()

    @contextmanager
    def with_(self, execution: Execution) -> Iterator[None]:
        """Watch one replay. BurstTimeout may be raised up to the end of the block."""
        with self._lock:
            self._execution = execution
            self._replays += 1
        try:
            yield
        finally:
            while self._execution is not None:
                # Once this is through, no interruption is under way any more.
                with suppress(BurstTimeout), self._lock:
                    self._execution = None

    def _watch(self) -> None:
        since = time.monotonic()
        burst: tuple[int, int] | None = None
        while not self._over.wait(self._seconds / 10):
            with self._lock:
                if self._execution is None:
                    burst = None
                    continue
                current = (self._replays, id(self._execution.event))
                if current != burst:
                    since, burst = time.monotonic(), current
                elif time.monotonic() - since > self._seconds:
                    since = time.monotonic()
                    self._interrupt(self._execution)

    def _interrupt(self, execution: Execution) -> None:
        frame = sys._current_frames()[self._thread]
        execution.interrupt("".join(traceback.format_stack(frame)[-6:]), frame)
        ctypes.pythonapi.PyThreadState_SetAsyncExc(
            ctypes.c_ulong(self._thread), ctypes.py_object(BurstTimeout)
        )
