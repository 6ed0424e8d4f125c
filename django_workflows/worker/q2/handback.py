"""Gives ordinary tasks back that were taken by processes which then died.

Their rows are locked for ``retry`` seconds, mostly minutes. Knowing who held them, the
sentinel can release them at once.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import datetime

from django.db import connections
from django.utils import timezone
from django_q.conf import Conf, logger
from django_q.models import OrmQ
from django_q.monitor import save_task
from django_q.signing import SignedPackage

from django_workflows.store.wakers import Backoff
from django_workflows.worker.q2.board import Board
from django_workflows.worker.q2.broker import WorkflowBroker

MAX_CRASHES = 3
"""Worker processes that an ordinary task may take down before it is given up."""

SETTLED_AFTER = 5.0
"""Seconds after a death when what the process had in hand is done or lost: the
database may have finished a dead pusher's statement, a new monitor has stored all
results that the dead one left in the queue."""

LOCKED_INTERVAL = 0.5
"""Seconds between looks for rows that a dead pusher's last statement locked."""


@dataclass
class _Suspects:
    """Tasks of which a process that died may have had one in hand, unnoticed."""

    tasks: set[int]
    died_at: float
    passed_on_at: float | None = None


class HandBack:
    """The tasks to be given back. No method raises if the database is away."""

    def __init__(
        self, board: Board, broker: WorkflowBroker, begun: Callable[[], set[int]]
    ) -> None:
        """``begun`` returns the tasks that living workers execute."""
        self._board = board
        self._broker = broker
        self._begun = begun
        self._tasks: set[int] = set()
        self._crashes: Counter[int] = Counter()
        self._locked: dict[datetime, float] = {}
        self._suspects: list[_Suspects] = []
        self._look_at = 0.0
        self._backoff = Backoff(0.1, 1.0)

    def take_over(self, tasks: Iterable[int], locking: datetime | None) -> None:
        """Give back what a dead sentinel's cluster left."""
        self._tasks.update(tasks)
        self._note_locking(locking)

    def worker_died(self, task: int) -> None:
        """Give back the task that a worker executed, if it did."""
        if task in self._board.unfinished():
            self._crashes[task] += 1
            self._tasks.add(task)
        self._suspect()

    def pusher_died(self) -> None:
        """Give back what the pusher had taken and no worker has begun."""
        self._tasks |= self._board.unfinished() - self._begun()
        self._note_locking(self._board.locking)
        self._board.locking = None

    def monitor_died(self) -> None:
        """Give back what was executed, unless its result turns out to be saved."""
        self._suspect()

    def everything(self) -> None:
        """Give back all that the cluster still holds, now that it ends."""
        left = self._board.unfinished() | self._board.executed()
        self.take_over(left, self._board.locking)
        self._look_at = 0.0

    def settle(self, *, queue_is_empty: bool) -> None:
        """Do what is to be done by now; what fails is tried again the next time."""
        now = time.monotonic()
        if queue_is_empty:
            self._convict(now)
        locked = [*self._locked] if now >= self._look_at else []
        if not self._tasks and not locked:
            return
        try:
            self._give_up_killers()
            self._broker.release(self._tasks)
            for until in locked:
                self._broker.release_locked(until)
        except Exception:
            logger.exception("Tasks of dead processes could not be given back yet.")
            time.sleep(self._backoff.next())
        else:
            self._backoff.reset()
            for task in self._tasks:
                self._board.land(task)
            self._tasks.clear()
            self._look_at = now + LOCKED_INTERVAL
            self._locked = {
                until: end for until, end in self._locked.items() if now < end
            }
        finally:
            # The sentinel forks: it must not hold a connection.
            connections.close_all()

    def _suspect(self) -> None:
        tasks = self._board.unfinished() | self._board.executed()
        self._suspects.append(_Suspects(tasks, time.monotonic()))

    def _convict(self, now: float) -> None:
        """Find what got lost between a queue and the notice board.

        The pusher asks for more only when it has passed on all it had. If the queue is
        empty after that, every suspect has reached a worker or was lost with one.
        """
        for suspects in [*self._suspects]:
            if suspects.passed_on_at is None:
                if self._board.pusher_beat > suspects.died_at:
                    suspects.passed_on_at = now
            elif now - suspects.passed_on_at > SETTLED_AFTER:
                left = self._board.unfinished() | self._board.executed()
                self._tasks |= suspects.tasks & left - self._begun()
                self._suspects.remove(suspects)

    def _note_locking(self, locking: datetime | None) -> None:
        if locking is not None:
            self._locked[locking] = time.monotonic() + SETTLED_AFTER

    def _give_up_killers(self) -> None:
        for task in [*self._tasks]:
            if self._crashes[task] >= MAX_CRASHES:
                self._give_up(task)
                self._tasks.discard(task)
                del self._crashes[task]

    def _give_up(self, task_id: int) -> None:
        """Store a task that kills its worker each time as failed."""
        row = OrmQ.objects.using(Conf.ORM).filter(pk=task_id).first()
        if row is None:
            return
        task = SignedPackage.loads(row.payload)
        task.update(
            success=False,
            stopped=timezone.now(),
            result=f"Given up: {MAX_CRASHES} worker processes died executing it.",
        )
        logger.critical("Task %s killed %d workers.", task["name"], MAX_CRASHES)
        save_task(task, self._broker)
        self._broker.acknowledge(task_id)
