"""The cluster's child processes: how each begins, and how it meets its end."""

from __future__ import annotations

import ctypes
import os
import signal
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from multiprocessing.process import BaseProcess
from queue import Empty
from types import FrameType
from typing import Any

from django_q.cluster import get_mp_context
from django_q.conf import logger
from django_q.monitor import monitor
from django_q.pusher import pusher
from django_q.worker import worker

from django_workflows.worker import process
from django_workflows.worker.q2.board import IDLE, WORKING, Flag, WorkerState
from django_workflows.worker.q2.broker import WorkflowBroker
from django_workflows.worker.q2.queues import MessageQueue

STOP = "STOP"
"""The message that ends a django-q2 worker or monitor."""

RECYCLED = -2
"""What a django-q2 worker tells the sentinel as it makes room for another one."""

LOOK = 1.0
"""Seconds after which an idle worker looks whether it shall end."""

_PR_SET_PDEATHSIG = 1
_libc = ctypes.CDLL(None) if sys.platform == "linux" else None
_ENDINGS = (signal.SIGTERM, signal.SIGINT)

Handler = Callable[[int, FrameType | None], Any] | signal.Handlers


def spawn(name: str, target: Callable[..., None], *args: Any) -> BaseProcess:
    """Fork a process that runs ``target(*args)``.

    SIGTERM and SIGINT are held back until the child has its own handlers; ``target``
    must call :func:`adopt` when it is ready for them.
    """
    child: BaseProcess = get_mp_context().Process(
        target=target, args=args, name=f"workflows-{name}"
    )
    with _held_back():
        child.start()
    return child


def adopt(parent: int, on_term: Handler) -> None:
    """Make this process a good child of ``parent``: end with it, obey SIGTERM.

    On Linux the kernel kills us when the parent dies. A terminal's SIGINT goes to all
    processes at once and is left to the main process.
    """
    end_with_parent(parent, signal.SIGKILL)
    signal.signal(signal.SIGTERM, on_term)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, _ENDINGS)


def end_with_parent(parent: int, signum: signal.Signals) -> None:
    """Get this signal when ``parent`` dies, on Linux; end now if it has already."""
    if _libc is not None:
        _libc.prctl(_PR_SET_PDEATHSIG, signum)
    if os.getppid() != parent:
        os._exit(1)


@contextmanager
def _held_back() -> Iterator[None]:
    before = signal.pthread_sigmask(signal.SIG_BLOCK, _ENDINGS)
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def run_worker_process(
    parent: int,
    tasks: MessageQueue,
    results: MessageQueue,
    state: WorkerState,
    timeout: int | None,
) -> None:
    """Execute tasks until told to stop; SIGTERM drains."""
    intake = _Intake(tasks, state)

    def drain(signum: int, frame: FrameType | None) -> None:
        intake.draining = True
        process.request_drain()

    process.ends_when_drained = True
    adopt(parent, drain)
    try:
        # Connecting takes longer than a step: not when the first run is waiting.
        process.current()
    except Exception:
        logger.exception("Not ready for workflows yet; trying again with the first.")
    worker(intake, results, state, timeout)


class _Intake:
    """The worker's end of the task queue, which notes what the worker executes."""

    def __init__(self, tasks: MessageQueue, state: WorkerState) -> None:
        self._tasks = tasks
        self._state = state
        self.draining = False

    def get(self) -> Any:
        """Return the next task, or :data:`STOP`."""
        self._state.task = IDLE
        while not process.is_draining():
            with suppress(Empty):
                task = self._tasks.get(timeout=LOOK)
                if task != STOP:
                    self._state.task = task["ack_id"] or WORKING
                return task
        if not self.draining:
            # Not because the cluster ends: another process takes this one's place.
            self._state.value = RECYCLED
        return STOP


def run_pusher_process(
    parent: int, tasks: MessageQueue, stop: Flag, broker: WorkflowBroker
) -> None:
    """Move messages from the broker to the queue until told to stop."""

    def end(signum: int, frame: FrameType | None) -> None:
        broker.ending = True

    adopt(parent, end)
    pusher(tasks, _Either(stop, broker), broker)


class _Either:
    """The event that ends the pusher: the cluster stops, or it got a SIGTERM."""

    def __init__(self, stop: Flag, broker: WorkflowBroker) -> None:
        self._stop = stop
        self._broker = broker

    def is_set(self) -> bool:
        return self._broker.ending or self._stop.is_set()


def run_monitor_process(
    parent: int, results: MessageQueue, broker: WorkflowBroker
) -> None:
    """Acknowledge and save results until told to stop by the sentinel."""
    adopt(parent, signal.SIG_IGN)
    monitor(results, broker)


def kill(child: BaseProcess) -> None:
    """Kill a child and collect it."""
    child.kill()
    child.join()
