"""The notice board of a cluster: memory its processes share, without any lock.

A lock in shared memory stays taken when its holder is killed. So each cell here has
one writer at a time, and a value that is a moment old does no harm.
"""

from __future__ import annotations

import ctypes
import mmap
import os
import time
from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from typing import Self

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)

MAX_WORKERS = 256
MAX_FLIGHT = 1024

FREE, QUEUED = 0, -1
"""What a ticket holds while no worker runs its reactor; else the worker's pid."""

IDLE, WORKING = 0, -1
"""What a worker's ``task`` holds, if not the id of an ordinary task."""


class _WorkerCells(ctypes.Structure):
    _fields_ = [("timer", ctypes.c_double), ("task", ctypes.c_longlong)]


class _Cells(ctypes.Structure):
    _fields_ = [
        ("stop", ctypes.c_bool),
        ("started", ctypes.c_bool),
        ("drain_deadline", ctypes.c_double),
        ("guard_beat", ctypes.c_double),
        ("pusher_beat", ctypes.c_double),
        ("due_since", ctypes.c_double),
        ("locking", ctypes.c_longlong),
        ("pids", ctypes.c_longlong * (MAX_WORKERS + 8)),
        ("tickets", ctypes.c_longlong * MAX_WORKERS),
        ("flight", ctypes.c_longlong * MAX_FLIGHT),
        ("workers", _WorkerCells * MAX_WORKERS),
    ]


class Flag:
    """A boolean of the board with the interface of ``multiprocessing.Event``.

    The original hangs in ``set()`` once a process that waits for it was killed.
    """

    def __init__(self, cells: _Cells, name: str) -> None:
        self._cells = cells
        self._name = name

    def set(self) -> None:
        """Raise the flag for all processes."""
        setattr(self._cells, self._name, True)

    def is_set(self) -> bool:
        """Tell whether any process has raised it."""
        return bool(getattr(self._cells, self._name))


class Board:
    """Shared memory; made before the fork, inherited by the children.

    Times are ``time.monotonic()`` seconds, which all processes of a host share.
    """

    def __init__(self) -> None:
        self._memory = mmap.mmap(-1, ctypes.sizeof(_Cells))
        self._cells = _Cells.from_buffer(self._memory)
        self.stop = Flag(self._cells, "stop")
        self.started = Flag(self._cells, "started")

    # -- liveness -------------------------------------------------------------

    @property
    def guard_beat(self) -> float:
        """When the sentinel last went through its loop."""
        return float(self._cells.guard_beat)

    @guard_beat.setter
    def guard_beat(self, when: float) -> None:
        self._cells.guard_beat = when

    @property
    def pusher_beat(self) -> float:
        """When the pusher last asked the broker for messages."""
        return float(self._cells.pusher_beat)

    @pusher_beat.setter
    def pusher_beat(self, when: float) -> None:
        self._cells.pusher_beat = when

    @property
    def due_since(self) -> float:
        """Since when workflow work is due and no worker has begun on it; 0: none."""
        return float(self._cells.due_since)

    @due_since.setter
    def due_since(self, when: float) -> None:
        self._cells.due_since = when

    @property
    def pids(self) -> list[int]:
        """The sentinel's children."""
        return [pid for pid in self._cells.pids[:] if pid]

    @pids.setter
    def pids(self, pids: Iterable[int]) -> None:
        size = len(self._cells.pids)
        listed = [*pids][:size]
        self._cells.pids[:] = listed + [0] * (size - len(listed))

    # -- draining -------------------------------------------------------------

    def begin_drain(self, grace: float) -> float:
        """Tell all that the cluster ends in ``grace`` seconds; return when."""
        self._cells.drain_deadline = time.monotonic() + grace
        return float(self._cells.drain_deadline)

    def grace_left(self, grace: float) -> float:
        """Return the seconds a process may take to end (``grace`` if not draining)."""
        deadline = float(self._cells.drain_deadline)
        return max(0.0, deadline - time.monotonic()) if deadline else grace

    # -- reactors -------------------------------------------------------------

    def reactors(self, limit: int) -> tuple[int, int]:
        """Return how many reactors run and how many packages wait for a worker.

        A ticket whose worker is gone is free again.
        """
        running = queued = 0
        for number, holder in enumerate(self._cells.tickets[:limit]):
            if holder == QUEUED:
                queued += 1
            elif holder != FREE:
                if _is_alive(holder):
                    running += 1
                else:
                    self._cells.tickets[number] = FREE
        return running, queued

    def issue_ticket(self, limit: int) -> int | None:
        """Take a free ticket among the first ``limit``; None if there is none."""
        for number, holder in enumerate(self._cells.tickets[:limit]):
            if holder == FREE:
                self._cells.tickets[number] = QUEUED
                return number
        return None

    def begin_work(self, ticket: int) -> None:
        """Note that this process runs the reactor the ticket was issued for."""
        self._cells.tickets[ticket] = os.getpid()
        self._cells.due_since = 0.0

    def end_work(self, ticket: int) -> None:
        """Give the ticket back."""
        if self._cells.tickets[ticket] == os.getpid():
            self._cells.tickets[ticket] = FREE

    def forget_queued(self) -> None:
        """Free the tickets of packages that may have died on their way."""
        for number, holder in enumerate(self._cells.tickets[:]):
            if holder == QUEUED:
                self._cells.tickets[number] = FREE

    # -- ordinary tasks ---------------------------------------------------------

    @property
    def locking(self) -> datetime | None:
        """Until when the pusher is about to lock rows; None if it is not.

        If it dies meanwhile, nobody knows which rows those were, but for this time.
        """
        since_epoch = int(self._cells.locking)
        return _EPOCH + since_epoch * _MICROSECOND if since_epoch else None

    @locking.setter
    def locking(self, until: datetime | None) -> None:
        self._cells.locking = (until - _EPOCH) // _MICROSECOND if until else 0

    def take_off(self, task_ids: Iterable[int]) -> None:
        """Note tasks that the pusher took from the database."""
        cells = self._cells.flight
        known = cells[:]
        free = [index for index, value in enumerate(known) if value == 0]
        for task_id in task_ids:
            if -task_id in known:
                cells[known.index(-task_id)] = task_id
            elif task_id not in known and free:
                cells[free.pop()] = task_id

    def touch_down(self, task_id: int) -> None:
        """Note that a task was executed, whatever its result."""
        self._replace(task_id, -task_id)

    def land(self, task_id: int) -> None:
        """Forget a task that was acknowledged."""
        self._replace(task_id, 0)
        self._replace(-task_id, 0)

    def unfinished(self) -> set[int]:
        """Return the tasks that were taken from the database and not executed."""
        return {task_id for task_id in self._cells.flight[:] if task_id > 0}

    def executed(self) -> set[int]:
        """Return the tasks that were executed and not acknowledged."""
        return {-task_id for task_id in self._cells.flight[:] if task_id < 0}

    def _replace(self, old: int, new: int) -> None:
        known = self._cells.flight[:]
        if old in known:
            self._cells.flight[known.index(old)] = new

    # -- workers ----------------------------------------------------------------

    def worker(self, number: int) -> WorkerState:
        """Return the cells of the ``number``-th worker, reset."""
        state = WorkerState(self._cells.workers[number], number)
        state.reset()
        return state


class WorkerState:
    """What one worker tells the sentinel.

    Stands in for the ``multiprocessing.Value`` that django-q2's worker takes as its
    timer. Only the worker writes, so no lock is needed: a running time limit is kept
    as a point in time, not counted down by the sentinel.
    """

    def __init__(self, cells: _WorkerCells, number: int) -> None:
        self._cells = cells
        self.number = number

    def reset(self) -> None:
        """Prepare the cells for a new worker."""
        self._cells.timer = -1.0
        self._cells.task = IDLE

    @property
    def value(self) -> float:
        """Seconds left of the time limit, or -1 none, 0 timed out, -2 recycled."""
        timer = float(self._cells.timer)
        return max(0.0, timer - time.monotonic()) if timer > 0 else timer

    @value.setter
    def value(self, seconds: float) -> None:
        self._cells.timer = time.monotonic() + seconds if seconds > 0 else seconds

    @property
    def overdue(self) -> bool:
        """Whether the time limit has passed and the worker did not notice."""
        timer = float(self._cells.timer)
        return 0 < timer < time.monotonic()

    @property
    def is_leaving(self) -> bool:
        """Whether the worker is about to end: timed out or recycled."""
        return float(self._cells.timer) in (0.0, -2.0)

    def get_lock(self) -> Self:
        """Return a context manager that does nothing; see the class."""
        return self

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc_info: object) -> None:
        return None

    @property
    def task(self) -> int:
        """The ordinary task being executed, or :data:`IDLE` or :data:`WORKING`."""
        return int(self._cells.task)

    @task.setter
    def task(self, task_id: int) -> None:
        self._cells.task = task_id


def _is_alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True
