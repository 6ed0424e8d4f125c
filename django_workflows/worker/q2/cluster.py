"""The hardened cluster, as run by ``manage.py workflows worker``.

    main process (this module; no database, nothing that could hang)
      └ sentinel: replaces dead children, hands ordinary tasks back
          ├ pusher: asks the broker for messages
          ├ workers: run reactors and ordinary tasks
          └ monitor: acknowledges ordinary tasks

Whatever is killed is replaced by its parent and takes its own children with it. Only
the main process has none above it: a supervisor such as systemd restarts it.
"""

from __future__ import annotations

import os
import signal
import time
from collections import deque
from collections.abc import Sequence
from contextlib import suppress
from multiprocessing.process import BaseProcess
from types import FrameType

from django.db import connections
from django_q.brokers import get_broker
from django_q.cluster import Cluster
from django_q.conf import Conf, logger

from django_workflows.conf import conf
from django_workflows.errors import WorkflowError
from django_workflows.worker.q2.board import MAX_WORKERS, Board
from django_workflows.worker.q2.broker import WorkflowBroker
from django_workflows.worker.q2.children import spawn
from django_workflows.worker.q2.sentinel import (
    CLOSING_GRACE,
    EXIT_STUCK,
    run_sentinel,
)
from django_workflows.worker.q2.watchdog import LONGEST_PAUSE, PATIENCE

LOOK_INTERVAL = 0.1

SECOND_SIGNAL_AFTER = 0.5
"""Seconds after which a second signal means "now": some tools send the first twice."""

MAX_RESTARTS, RESTART_WINDOW = 5, 60.0
"""Sentinels that may die within so many seconds before the command gives up."""


def run_worker(queues: Sequence[str], processes: int | None = None) -> int:
    """Run a cluster for ``queues`` until SIGTERM or SIGINT; return the exit code.

    ``processes`` is the number of worker processes, by default that of
    ``Q_CLUSTER["workers"]``. Must be called in the main thread. Returns 0 after an
    orderly end, 1 if the cluster was stuck or had to be killed.

    Raises:
        ValueError: a queue's name or the number of processes is not usable.
        WorkflowError: ``Q_CLUSTER`` names another broker class.
    """
    if not queues or any(not name or "," in name for name in queues):
        raise ValueError(f"Not a list of queue names: {', '.join(queues)!r}")
    if processes is not None and not 1 <= processes <= MAX_WORKERS:
        raise ValueError(f"The number of processes must be 1 to {MAX_WORKERS}.")
    # django-q2 has read its settings long ago, so that its own --name comes too late.
    os.environ["WORKFLOWS_QUEUES"] = ",".join(queues)
    if "default" not in queues:
        Conf.CLUSTER_NAME = queues[0]
    if processes is not None:
        Conf.WORKERS = Conf.QUEUE_LIMIT = processes
    if not isinstance(get_broker(), WorkflowBroker):
        raise WorkflowError(
            "The cluster's broker cannot run workflows. In the settings, write "
            "Q_CLUSTER = django_workflows.q_cluster(...)"
        )
    return HardenedCluster().run()


class HardenedCluster(Cluster):  # type: ignore[misc]
    """The main process: passes signals on and replaces a dead sentinel."""

    def __init__(self) -> None:
        super().__init__()  # makes sig_handler the handler of SIGTERM and SIGINT
        self._asked_at: list[float] = []
        self._deaths: deque[float] = deque(maxlen=MAX_RESTARTS)

    def sig_handler(self, signum: int, frame: FrameType | None) -> None:
        """Note the signal; :meth:`run` acts on it outside of the handler."""
        self._asked_at.append(time.monotonic())

    def run(self) -> int:
        """Keep a sentinel alive until a signal comes; return the exit code."""
        predecessor = None
        while True:
            board = Board()
            code = self._run_sentinel(board, predecessor)
            if code is not None:
                return code
            predecessor = board

    def _run_sentinel(self, board: Board, predecessor: Board | None) -> int | None:
        """See one sentinel through; return the exit code or None to start another."""
        connections.close_all()
        board.guard_beat = time.monotonic()
        sentinel = spawn(
            "sentinel",
            run_sentinel,
            os.getpid(),
            board,
            self.cluster_id,
            predecessor,
        )
        in_time = self._watch(sentinel, board)
        if not in_time:
            sentinel.kill()
        sentinel.join()
        if sentinel.exitcode and sentinel.exitcode < 0:
            # Killed, it left its children behind (except on Linux, see `adopt`).
            for pid in board.pids:
                with suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
        if self._asked_at:
            return 0 if in_time and sentinel.exitcode == 0 else 1
        if sentinel.exitcode == EXIT_STUCK:
            return 1
        logger.critical(
            "The sentinel died (exit code %s); replacing it.", sentinel.exitcode
        )
        now = time.monotonic()
        many = len(self._deaths) == MAX_RESTARTS
        if many and now - self._deaths[0] < RESTART_WINDOW:
            logger.critical("The sentinel dies again and again; giving up.")
            return 1
        self._deaths.append(now)
        return None

    def _watch(self, sentinel: BaseProcess, board: Board) -> bool:
        """Wait for the sentinel to end; false if it has to be killed."""
        looked_at = resumed_at = time.monotonic()
        deadline: float | None = None
        while sentinel.is_alive():
            sentinel.join(LOOK_INTERVAL)
            now = time.monotonic()
            if now - looked_at > LONGEST_PAUSE:
                resumed_at = now  # We were suspended, so the sentinel may have been.
            looked_at = now
            if self._asked_at and deadline is None:
                deadline = now + conf.GRACE + 3 * CLOSING_GRACE
                sentinel.terminate()
            if deadline is not None and now > deadline:
                logger.critical("The cluster does not stop in time; killing it.")
                return False
            if self._asked_twice():
                logger.critical("Asked to stop a second time; killing the cluster.")
                return False
            if now - max(board.guard_beat, resumed_at) > PATIENCE:
                logger.critical("The sentinel does not move; killing it.")
                return False
        return True

    def _asked_twice(self) -> bool:
        asked = self._asked_at
        return len(asked) > 1 and asked[-1] - asked[0] > SECOND_SIGNAL_AFTER
