"""The sentinel of the hardened cluster: it keeps the other processes alive."""

from __future__ import annotations

import os
import time
import uuid
from collections.abc import Iterable
from multiprocessing.connection import wait
from multiprocessing.process import BaseProcess
from queue import Full
from types import FrameType

from django.db import connections
from django_q.brokers import get_broker
from django_q.cluster import Sentinel
from django_q.conf import Conf, logger
from django_q.scheduler import scheduler
from django_q.status import Stat

from django_workflows.conf import conf
from django_workflows.store.wakers import Backoff
from django_workflows.worker.q2 import hooks
from django_workflows.worker.q2.board import IDLE, MAX_WORKERS, Board, WorkerState
from django_workflows.worker.q2.broker import WorkflowBroker
from django_workflows.worker.q2.children import (
    STOP,
    adopt,
    kill,
    run_monitor_process,
    run_pusher_process,
    run_worker_process,
    spawn,
)
from django_workflows.worker.q2.handback import HandBack
from django_workflows.worker.q2.queues import MessageQueue
from django_workflows.worker.q2.watchdog import Watchdog

EXIT_DONE = 0
EXIT_STUCK = 70
"""The watchdog found that due work is not taken."""
EXIT_FAILED = 75
"""The sentinel or its parent failed."""

GUARD_INTERVAL = 0.1
"""Seconds between looks at signals and at the parent; deaths are seen at once."""

SCHEDULER_INTERVAL = 30.0

SUDDEN_DEATH = 2.0
"""A child that died before this age, in seconds, is replaced with a pause."""

PUSHER_GRACE = 1.0
"""Seconds for the pusher to end; what it holds goes back to the database."""

CLOSING_GRACE = 4.0
"""Seconds beyond the grace time for saving results and ending the processes."""


def run_sentinel(
    parent: int,
    board: Board,
    cluster_id: uuid.UUID,
    predecessor: Board | None,
) -> None:
    """Be the sentinel process; the exit code says how it ended.

    ``predecessor`` is the notice board of the sentinel that died before.
    """
    raise SystemExit(HardenedSentinel(board, cluster_id, parent).run(predecessor))


class HardenedSentinel(Sentinel):  # type: ignore[misc]
    """Replaces dead processes, hands their ordinary tasks back, and ends in order."""

    def __init__(self, board: Board, cluster_id: uuid.UUID, parent: int) -> None:
        broker = get_broker()
        super().__init__(board.stop, board.started, cluster_id, broker, start=False)
        self.board = board
        self.broker: WorkflowBroker = broker
        self.broker.board = board
        self.broker.hardened = True
        hooks.connect(board)
        self.parent_pid = parent
        self.monitor: BaseProcess | None = None
        self.pusher: BaseProcess | None = None
        self.task_queue = MessageQueue(int(Conf.QUEUE_LIMIT))
        self.result_queue = MessageQueue()
        self.watchdog = Watchdog()
        self.leaving: dict[BaseProcess, float] = {}
        self._born: dict[BaseProcess, float] = {}
        self._backoff = Backoff(0.1, 1.0)
        self._spawn_at = 0.0
        self._hand_back = HandBack(board, broker, self._begun)
        self._stat_at = 0.0
        self._schedule_at = time.monotonic() + SCHEDULER_INTERVAL
        # Last: a signal that was held back arrives in there.
        adopt(parent, self._on_sigterm)

    def run(self, predecessor: Board | None) -> int:
        """Guard the cluster until it shall end; return the exit code."""
        if predecessor is not None:
            # The results of executed tasks died in the queue: they run again.
            left = predecessor.unfinished() | predecessor.executed()
            self._hand_back.take_over(left, predecessor.locking)
        code = EXIT_FAILED
        try:
            code = self._guard()
            if code == EXIT_DONE:
                self._drain()
        except Exception:
            logger.exception("The sentinel failed.")
        finally:
            for process in self._children():
                kill(process)
            self.task_queue.close()
            self.result_queue.close()
            self._hand_back.everything()
            self._hand_back.settle(queue_is_empty=False)
        return code

    def _on_sigterm(self, signum: int, frame: FrameType | None) -> None:
        self.board.stop.set()

    # -- guarding -----------------------------------------------------------------

    def _guard(self) -> int:
        announced = False
        while not self.board.stop.is_set():
            now = time.monotonic()
            self.board.guard_beat = now
            if os.getppid() != self.parent_pid:
                logger.critical("The main process is gone; the cluster ends.")
                return EXIT_FAILED
            self._look_after_children(now)
            self._hand_back.settle(queue_is_empty=self.task_queue.empty())
            if stuck := self._stuck(now):
                logger.critical("The cluster is stuck: %s.", stuck)
                return EXIT_STUCK
            self._housekeeping(now)
            if not announced:
                announced = True
                self.board.started.set()
                logger.info(
                    "Workflows cluster running: %d workers, guarded by %d.",
                    self.pool_size,
                    self.pid,
                )
            wait([process.sentinel for process in self._children()], GUARD_INTERVAL)
        return EXIT_DONE

    def _children(self) -> list[BaseProcess]:
        auxiliary = [self.monitor, self.pusher]
        return [*self.pool, *self.leaving, *filter(None, auxiliary)]

    def _look_after_children(self, now: float) -> None:
        """Collect the dead and fill the gaps."""
        for process in [*self.pool]:
            self._look_after_worker(process, now)
        for process, deadline in [*self.leaving.items()]:
            if not process.is_alive():
                del self.leaving[process]
            elif now > deadline:
                logger.critical("Worker %s does not end; killing it.", process.pid)
                kill(process)
        if self.monitor and not self.monitor.is_alive():
            self._mourn(self.monitor, "monitor", now)
            self.monitor = None
            self._hand_back.monitor_died()
        if self.pusher and not self.pusher.is_alive():
            self._mourn(self.pusher, "pusher", now)
            self.pusher = None
            self._empty_task_queue()
        if now >= self._spawn_at:
            self._fill_gaps(now)

    def _look_after_worker(self, process: BaseProcess, now: float) -> None:
        state: WorkerState = process.timer  # type: ignore[attr-defined]
        if process.is_alive():
            if state.overdue:
                logger.critical("Worker %s exceeded its time limit.", process.pid)
                kill(process)
            elif state.is_leaving:
                self.pool.remove(process)
                self.leaving[process] = now + conf.GRACE + CLOSING_GRACE
                return
            else:
                return
        self.pool.remove(process)
        if state.is_leaving:
            return
        self._mourn(process, "worker", now)
        self.board.forget_queued()
        self._hand_back.worker_died(state.task)

    def _mourn(self, process: BaseProcess, role: str, now: float) -> None:
        logger.critical(
            "The %s %s died (exit code %s); replacing it.",
            role,
            process.pid,
            process.exitcode,
        )
        self.reincarnations += 1
        if now - self._born.pop(process, 0.0) < SUDDEN_DEATH:
            self._spawn_at = now + self._backoff.next()
        else:
            self._backoff.reset()

    def _fill_gaps(self, now: float) -> None:
        connections.close_all()
        me = os.getpid()
        while len(self.pool) < self.pool_size:
            used = {process.timer.number for process in [*self.pool, *self.leaving]}
            number = next(n for n in range(MAX_WORKERS) if n not in used)
            state = self.board.worker(number)
            process = spawn(
                "worker",
                run_worker_process,
                me,
                self.task_queue,
                self.result_queue,
                state,
                self.timeout,
            )
            process.timer = state  # type: ignore[attr-defined]
            self.pool.append(process)
            self._born[process] = now
        if self.monitor is None:
            self.monitor = spawn(
                "monitor", run_monitor_process, me, self.result_queue, self.broker
            )
            self._born[self.monitor] = now
        if self.pusher is None:
            self.pusher = spawn(
                "pusher",
                run_pusher_process,
                me,
                self.task_queue,
                self.board.stop,
                self.broker,
            )
            self._born[self.pusher] = now
            self.board.pusher_beat = now
        self.board.pids = [process.pid or 0 for process in self._children()]

    def _stuck(self, now: float) -> str | None:
        return self.watchdog.look(
            now,
            idle=all(process.timer.task == IDLE for process in self.pool),
            waiting=not self.task_queue.empty(),
            pusher_beat=self.board.pusher_beat,
            due_since=self.board.due_since,
        )

    def _housekeeping(self, now: float) -> None:
        if now >= self._stat_at:
            self._stat_at = now + float(Conf.GUARD_CYCLE)
            Stat(self).save()
        if Conf.SCHEDULER and now >= self._schedule_at:
            self._schedule_at = now + SCHEDULER_INTERVAL
            scheduler(broker=self.broker)
            connections.close_all()

    def _empty_task_queue(self) -> None:
        """Give back what no worker has begun."""
        self.task_queue.take_all()
        self.board.forget_queued()
        self._hand_back.pusher_died()

    def _begun(self) -> set[int]:
        return {process.timer.task for process in [*self.pool, *self.leaving]}

    # -- ending ---------------------------------------------------------------------

    def _drain(self) -> None:
        """End in order: what runs may finish, what has not begun goes back."""
        deadline = self.board.begin_drain(conf.GRACE)
        logger.info("Workflows cluster stopping.")
        for process in [*self.pool, *self.leaving, self.pusher]:
            if process is not None and process.is_alive():
                process.terminate()
        if self.pusher is not None:
            self.pusher.join(PUSHER_GRACE)
            kill(self.pusher)
        self._empty_task_queue()
        self._send_stops(self.task_queue, len(self.pool), deadline)
        self._wait_for([*self.pool, *self.leaving], deadline + CLOSING_GRACE)
        if self.monitor is not None:
            # What the workers have left of the grace time is there for the results.
            end = max(deadline, time.monotonic()) + CLOSING_GRACE
            self._send_stops(self.result_queue, 1, end)
            self._wait_for([self.monitor], end)

    def _send_stops(self, queue: MessageQueue, count: int, deadline: float) -> None:
        try:
            for _ in range(count):
                queue.put(STOP, timeout=max(0.0, deadline - time.monotonic()))
        except Full:
            logger.critical("The queue is full; the processes will be killed.")

    def _wait_for(self, processes: Iterable[BaseProcess], deadline: float) -> None:
        """Wait for the processes to end; kill those that have not at the deadline."""
        alive = [process for process in processes if process.is_alive()]
        while alive and time.monotonic() < deadline:
            self.board.guard_beat = time.monotonic()
            wait([process.sentinel for process in alive], GUARD_INTERVAL)
            alive = [process for process in alive if process.is_alive()]
        for process in alive:
            logger.critical("Process %s did not end in time; killed.", process.pid)
            kill(process)
