"""What processes use: CPU time and memory, as the operating system counts it."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from types import TracebackType
from typing import Self

import psutil

MIB = 2**20


def family(pids: Sequence[int]) -> Iterator[psutil.Process]:
    """These processes and all their descendants, as far as they still live."""
    for pid in pids:
        try:
            parent = psutil.Process(pid)
            yield parent
            yield from parent.children(recursive=True)
        except psutil.NoSuchProcess:
            continue


@dataclass(frozen=True)
class CpuTimes:
    """CPU time used so far, in milliseconds.

    ``machine`` is everything on this machine; what is neither worker nor caller
    is mostly the database.
    """

    machine: float
    worker: float
    caller: float

    @classmethod
    def now(cls, worker_pids: Sequence[int]) -> CpuTimes:
        """Read the counters."""
        total = psutil.cpu_times()
        machine = sum(
            getattr(total, name, 0.0)
            for name in ("user", "system", "nice", "irq", "softirq")
        )
        worker = sum(_used(process) for process in family(worker_pids))
        own = psutil.Process().cpu_times()
        return cls(machine * 1e3, worker * 1e3, (own.user + own.system) * 1e3)

    def __sub__(self, earlier: CpuTimes) -> CpuTimes:
        return CpuTimes(
            self.machine - earlier.machine,
            self.worker - earlier.worker,
            self.caller - earlier.caller,
        )


def _used(process: psutil.Process) -> float:
    try:
        times = process.cpu_times()
    except psutil.NoSuchProcess:
        return 0.0
    # Children that have ended and been waited for count too.
    ended: float = times.children_user + times.children_system
    used: float = times.user + times.system + ended
    return used


class MemoryWatch:
    """Samples the memory of processes and their descendants while it is open.

    Peaks in MiB: ``rss`` is the sum over all processes, in which pages shared
    after a fork count once for each; ``pss`` shares them out (Linux; else 0) and is
    looked at once, at the end, because looking holds the processes up;
    ``largest`` is the RSS of the biggest single process. ``before`` is the RSS
    at the start.
    """

    def __init__(self, pids: Sequence[int], interval: float = 0.2) -> None:
        self.rss = self.pss = self.largest = self.before = 0.0
        self._pids = tuple(pids)
        self._interval = interval
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)

    def __enter__(self) -> Self:
        self._sample()
        self.before = self.rss
        self._thread.start()
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._stop.set()
        self._thread.join()
        self._sample()
        self.pss = sum(map(_pss, family(self._pids)))

    def _watch(self) -> None:
        while not self._stop.wait(self._interval):
            self._sample()

    def _sample(self) -> None:
        rss = 0.0
        for process in family(self._pids):
            try:
                memory = process.memory_info()
            except (psutil.NoSuchProcess, psutil.AccessDenied):
                continue
            rss += memory.rss / MIB
            self.largest = max(self.largest, memory.rss / MIB)
        self.rss = max(self.rss, rss)


def _pss(process: psutil.Process) -> float:
    try:
        return float(getattr(process.memory_full_info(), "pss", 0)) / MIB
    except (psutil.NoSuchProcess, psutil.AccessDenied):
        return 0.0
