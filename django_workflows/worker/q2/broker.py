"""django-q2's broker that also runs workflows.

django-q2 calls :meth:`WorkflowBroker.dequeue` in an endless loop, in a process of its
own (the pusher). That makes it the place for wake-ups, due timers and dead workers.
"""

from __future__ import annotations

import random
import time
from collections.abc import Iterable
from datetime import datetime
from typing import TYPE_CHECKING, Any

from django.db import connections
from django.utils import timezone
from django_q.brokers.orm import ORM
from django_q.conf import Conf, logger
from django_q.models import OrmQ

from django_workflows.conf import conf
from django_workflows.store.database import marks
from django_workflows.store.notify import DUE, notify
from django_workflows.store.wakers import Backoff, Waker, make_waker
from django_workflows.worker.q2 import hooks, packages
from django_workflows.worker.q2.board import Board
from django_workflows.worker.q2.packages import served_queues

if TYPE_CHECKING:
    from django_workflows.store.sweep import DeadWatch

LONGEST_WAIT = 0.5
"""Seconds between looks, whatever the wakers say."""

SECOND_REACTOR_AFTER = 0.05
"""Seconds that work stays due beside a running reactor before it gets help."""

IDLE_GAP, BUSY_GAP = 0.005, 0.02
"""Least seconds between two looks: every commit wakes us, ours and the reactors'."""

SATURATED_WAIT = 0.01
"""Seconds between looks at the notice board while every worker runs a reactor."""

CLOCK_TICK = 0.01
"""Seconds to the second look after a wake-up without work: by a database's coarse
clock, what was committed a moment ago may be due only at its next tick."""

ENDING_SLICE = 0.1
"""Seconds after which a waiting pusher notices that it shall end."""

QUEUED_PATIENCE = 30.0
"""Seconds after which a package that no worker has begun is taken for lost."""

LONG_PUSH = 0.25
"""Seconds of handing over one batch after which tasks are taken one by one."""

ACKNOWLEDGE_TRIES = 5


LOCK_ROWS = """
WITH due AS MATERIALIZED (
    SELECT id FROM {table} WHERE key IN ({keys}) AND lock <= %s
    ORDER BY id LIMIT %s {skip}
)
UPDATE {table} SET lock = %s WHERE id IN (SELECT id FROM due) RETURNING id, payload
"""


class WorkflowBroker(ORM):  # type: ignore[misc]
    """Takes ordinary tasks from the database and hands out reactors for workflows.

    Ordinary tasks are delivered at least once, as by django-q2's own ORM broker: a row
    is locked for ``retry`` seconds and deleted when its task was executed. While
    workflow work is due a worker gets the task ``work``, which has no row.
    """

    hardened = False
    """Whether ``manage.py workflows worker`` runs us, not ``qcluster``."""

    board: Board | None = None
    """The cluster's notice board; None outside of a cluster."""

    ending = False
    """Set (by a signal handler, too) to end the wait of :meth:`dequeue` soon."""

    def __init__(self, list_key: str | None = None) -> None:
        super().__init__(list_key)
        self.workers = int(Conf.WORKERS)
        self._alias: str = Conf.ORM or "default"
        self._backoff = Backoff(0.1, 1.0)
        self._waker: Waker | None = None
        self._watch: DeadWatch | None = None
        self._looked_at = 0.0
        self._sweep_at = 0.0
        self._queued_at = 0.0
        self._due_at: float | None = None
        self._woken = False
        self._returned: tuple[float, int] = (0.0, 0)

    # -- the producers' side ----------------------------------------------------

    def enqueue(self, task: str) -> Any:
        """Store an ordinary task in the caller's transaction and wake the clusters."""
        task_id = super().enqueue(task)
        notify(connections[self._alias], DUE, [self.list_key])
        return task_id

    # -- the cluster's side -------------------------------------------------------

    def ping(self) -> bool:
        """Prepare a cluster: django-q2's sentinel calls this before it forks."""
        if self.board is None:
            self.board = Board()
            hooks.connect(self.board)
        return True

    def dequeue(self) -> list[tuple[int | None, str]]:
        """Return the next messages as (acknowledgement, package), or none after a wait.

        Never raises: django-q2 would pause for ten seconds.
        """
        try:
            messages = self._next()
        except Exception:
            logger.exception("Looking for work failed; trying again.")
            pause = self._backoff.next()
            self._disconnect()
            time.sleep(pause)
            return []
        self._backoff.reset()
        return messages

    def acknowledge(self, task_id: int) -> None:
        """Delete an executed task, with patience while the database is away."""
        backoff = Backoff(0.1, 1.0)
        for attempt in range(1, ACKNOWLEDGE_TRIES + 1):
            try:
                super().acknowledge(task_id)
            except Exception:
                if attempt == ACKNOWLEDGE_TRIES:
                    logger.exception("Task %s could not be acknowledged.", task_id)
                    return
                connections[self._alias].close()
                time.sleep(backoff.next())
            else:
                break
        if self.board is not None:
            self.board.land(task_id)

    def release(self, task_ids: Iterable[int]) -> None:
        """Make tasks that were taken but not executed available again, at once."""
        rows = OrmQ.objects.using(self._alias).filter(pk__in=[*task_ids])
        rows.update(lock=timezone.now())

    def release_locked(self, until: datetime) -> None:
        """Make the tasks available again that were locked until exactly then."""
        rows = OrmQ.objects.using(self._alias).filter(key__in=self._keys(), lock=until)
        rows.update(lock=timezone.now())

    def close(self) -> None:
        """Give back what :meth:`dequeue` has opened."""
        if self._waker is not None:
            self._waker.close()
            self._waker = None

    def _next(self) -> list[tuple[int | None, str]]:
        if self.board is None:
            raise RuntimeError("dequeue() was called before ping()")
        now = time.monotonic()
        if self._waker is None:
            self._begin()
        self.board.pusher_beat = now
        running, queued = self._reactors(self.board)
        self._keep_gap(BUSY_GAP if running else IDLE_GAP)
        self._sweep()
        messages, wait = self._take_work(self.board, running, queued)
        try:
            messages += self._take_tasks(self.board)
        except Exception:
            if messages:
                # Its ticket must not wait for a package that is never handed out.
                self.board.forget_queued()
            raise
        if not messages:
            if self._woken:
                wait = min(wait, CLOCK_TICK)
            self._woken = self._wait(wait)
        self._returned = (time.monotonic(), len(messages))
        return messages

    def _begin(self) -> None:
        if not self.hardened:
            logger.warning(
                "This is django-q2's own cluster, which a killed process can stop. "
                "The hardened way to run workflows is: manage.py workflows worker"
            )
        self._waker = make_waker([DUE], conf.DATABASE)

    def _disconnect(self) -> None:
        for alias in {self._alias, conf.DATABASE}:
            connections[alias].close()

    def _keep_gap(self, gap: float) -> None:
        """Hold back if the last look found nothing and was less than ``gap`` ago."""
        early = self._looked_at + gap - time.monotonic()
        if early > 0 and self._returned[1] == 0:
            time.sleep(early)
        self._looked_at = time.monotonic()

    # -- dead workers ---------------------------------------------------------------

    def _sweep(self) -> None:
        from django_workflows.store import announcements
        from django_workflows.store.sweep import DeadWatch, sweep

        now = time.monotonic()
        if now < self._sweep_at:
            return
        if self._watch is None:
            self._watch = DeadWatch()
        # A jittered period, so that many clusters do not sweep in step.
        self._sweep_at = now + random.uniform(0.5, 1.0)
        with announcements.in_background():
            sweep(self._watch)

    # -- workflows --------------------------------------------------------------------

    def _reactors(self, board: Board) -> tuple[int, int]:
        """Return how many reactors run, and how many packages are on their way."""
        running, queued = board.reactors(self.workers)
        if queued and time.monotonic() - self._queued_at > QUEUED_PATIENCE:
            board.forget_queued()
            queued = 0
        return running, queued

    def _take_work(
        self, board: Board, running: int, queued: int
    ) -> tuple[list[tuple[int | None, str]], float]:
        """Return a package for one more reactor if one is needed, and when to look.

        The first is needed when anything is due; one more when something is still due
        a moment later, so that those which run are not taking it all.
        """
        from django_workflows.store.due import look

        if running >= self.workers:
            return [], SATURATED_WAIT
        if queued:
            return [], SECOND_REACTOR_AFTER
        due = look(served_queues())
        now = time.monotonic()
        if not due.now:
            self._due_at = None
            board.due_since = 0.0
            return [], LONGEST_WAIT if due.wait is None else due.wait
        if running:
            self._due_at = self._due_at or now
            left = self._due_at + SECOND_REACTOR_AFTER - now
            if left > 0:
                return [], left
        self._due_at = None
        ticket = board.issue_ticket(self.workers)
        if ticket is None:
            return [], SECOND_REACTOR_AFTER
        self._queued_at = now
        board.due_since = board.due_since or now
        return [(None, packages.work_package(ticket))], 0.0

    def _wait(self, seconds: float) -> bool:
        """Wait for a sign of new work; true if there was one."""
        assert self._waker is not None
        deadline = time.monotonic() + min(seconds, LONGEST_WAIT)
        while not self.ending:
            left = deadline - time.monotonic()
            if left <= 0:
                return False
            if self._waker.wait(min(left, ENDING_SLICE)):
                return True
        return False

    # -- ordinary tasks -------------------------------------------------------------

    def _take_tasks(self, board: Board) -> list[tuple[int | None, str]]:
        """Lock a batch of due rows and return those that are fit to be run."""
        if board.locking is not None:
            # The last statement failed; perhaps only its answer was lost.
            self.release_locked(board.locking)
        board.locking = until = self.timeout(None)
        rows = self._lock_rows(self._batch(), until)
        if rows:
            board.take_off(task_id for task_id, _ in rows)
        board.locking = None
        fit: list[tuple[int | None, str]] = []
        for task_id, payload in rows:
            complaint = packages.complaint(payload)
            if complaint is None:
                fit.append((task_id, payload))
            else:
                logger.error("Dropping task %s: %s", task_id, complaint)
                self.acknowledge(task_id)
        return fit

    def _keys(self) -> list[str]:
        return [*dict.fromkeys([self.list_key, *served_queues()])]

    def _batch(self) -> int:
        """Return how many tasks to take: one if the last batch was slow to go.

        Long tasks are left for clusters that are free, and do not hold up workflows.
        """
        since, count = self._returned
        slow = count > 0 and time.monotonic() - since > LONG_PUSH
        return 1 if slow else int(Conf.BULK)

    def _lock_rows(self, limit: int, until: datetime) -> list[tuple[int, str]]:
        """Lock up to ``limit`` due rows, the oldest first."""
        connection = connections[self._alias]
        keys = self._keys()
        now = timezone.now()
        rows = OrmQ.objects.using(self._alias)
        due = rows.filter(key__in=keys, lock__lte=now).order_by("pk")
        if connection.vendor not in ("postgresql", "sqlite"):
            return [
                (row.pk, row.payload)
                for row in due[:limit]
                if rows.filter(pk=row.pk, lock=row.lock).update(lock=until)
            ]
        # On SQLite the UPDATE would take the one write lock even if it found nothing.
        if connection.vendor == "sqlite" and not due.exists():
            return []
        adapt = connection.ops.adapt_datetimefield_value
        sql = LOCK_ROWS.format(
            table=connection.ops.quote_name(OrmQ._meta.db_table),
            keys=marks(keys),
            skip="FOR UPDATE SKIP LOCKED" if connection.vendor == "postgresql" else "",
        )
        with connection.cursor() as cursor:
            cursor.execute(sql, [*keys, adapt(now), limit, adapt(until)])
            return sorted(cursor.fetchall())
