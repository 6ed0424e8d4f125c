"""Finds dead workers and lets others go on with what they held."""

from __future__ import annotations

import json
import logging
import os
import socket
import time
from dataclasses import dataclass, field
from typing import Any

from django.db.backends.base.base import BaseDatabaseWrapper

from django_workflows.conf import conf
from django_workflows.replay.events import STEP_RETRYING
from django_workflows.signals import run_blocked
from django_workflows.store import limits, retention
from django_workflows.store.announcements import News, announce
from django_workflows.store.chains import forward_requests
from django_workflows.store.database import connection, marks, now_sql, transaction
from django_workflows.store.inbox import (
    OWNED,
    insert_inbox,
    unless_paused,
    unread_events,
)
from django_workflows.store.notify import DUE, notify
from django_workflows.store.workers import process_identity

logger = logging.getLogger("django_workflows.store")

#: Runs that have killed so many workers, each time alone, are blocked.
MAX_RUN_CRASHES = 3
#: Stray events deleted in one sweep, at most.
STRAYS_AT_ONCE = 1000
#: Seconds between looks for runs whose retention is over, of each cluster.
PRUNE_EVERY = 60.0
BLOCKED_BY_CRASHES = (
    "its workflow code has killed {crashes} workers in a row, each time while it was "
    "the only run being advanced"
)


@dataclass(slots=True)
class DeadWatch:
    """What one observer has seen of each worker's heartbeat, and for how long.

    Time in which the observer did not look counts for little: then it was perhaps the
    database, and not the workers, that was away.
    """

    #: By worker: its last heartbeat, and the seconds for which it has stood still.
    seen: dict[str, tuple[int, float]] = field(default_factory=dict)
    last_look: float = 0.0
    #: When to look again for runs whose retention is over.
    next_prune: float = 0.0

    def observe(self, beats: dict[str, int], lease: float) -> set[str]:
        """Take in all heartbeats; return the workers silent for a whole lease."""
        now = time.monotonic()
        watched = min(now - self.last_look, lease / 4)
        self.last_look = now
        silence = {}
        for worker_id, beat in beats.items():
            known, seconds = self.seen.get(worker_id, (-1, 0.0))
            silence[worker_id] = (beat, seconds + watched if known == beat else 0.0)
        self.seen = silence
        return {
            worker_id for worker_id, (_, seconds) in silence.items() if seconds >= lease
        }


def sweep(watch: DeadWatch, database: BaseDatabaseWrapper | None = None) -> int:
    """Declare workers dead that are; returns how many. Then see to what is left over.

    A worker is dead if its process is gone on this host, or if `watch` has seen the
    same heartbeat for a full ``WORKFLOWS["LEASE"]``.
    """
    database = database or connection()
    with database.cursor() as cursor:
        cursor.execute(
            "SELECT id, host, pid, process_started, beat FROM django_workflows_worker "
            "WHERE stopped_at IS NULL"
        )
        rows = cursor.fetchall()
    silent = watch.observe({row[0]: row[4] for row in rows}, conf.LEASE)
    dead = 0
    for worker_id, host, pid, identity, beat in rows:
        if worker_id in silent or _is_gone(host, pid, identity):
            dead += declare_dead(database, worker_id, beat)
    free_left_over(database)
    forward_requests(database)
    delete_strays(database)
    if time.monotonic() >= watch.next_prune:
        limits.forget_idle(database)
        pruned = retention.prune_some()
        if pruned < retention.BATCH_OF_WORKERS:
            watch.next_prune = time.monotonic() + PRUNE_EVERY
    return dead


def _is_gone(host: str, pid: int, identity: str) -> bool:
    """Whether the process is seen to be gone; only where it could be seen at all."""
    own = process_identity(os.getpid())
    if not own or not identity or host != socket.gethostname():
        return False
    if own.rpartition(":")[0] != identity.rpartition(":")[0]:
        return False
    return process_identity(pid) != identity


def declare_dead(database: BaseDatabaseWrapper, worker_id: str, beat: int) -> bool:
    """Free all that a dead worker held. False if it was alive or swept already."""
    now = now_sql(database)
    with transaction(database), database.cursor() as cursor:
        cursor.execute(
            f"UPDATE django_workflows_worker SET stopped_at = {now}, runs = 0, "
            "steps = 0 WHERE id = %s AND beat = %s AND stopped_at IS NULL",
            (worker_id, beat),
        )
        if cursor.rowcount != 1:
            return False
        runs = _free_runs(database, cursor, worker_id)
        steps = _free_steps(database, cursor, worker_id)
    logger.warning(
        "worker %s is dead; %d runs and %d steps go on elsewhere",
        worker_id,
        runs,
        steps,
        extra={"action": "worker_dead", "worker": worker_id},
    )
    return True


def free_left_over(database: BaseDatabaseWrapper) -> int:
    """Free what belongs to workers that have stopped; returns how many there were.

    A worker that was suspended, and does not know yet that it was declared dead, may
    have claimed more; one that stopped in good order may have been in a hurry.
    """
    alive = "SELECT id FROM django_workflows_worker WHERE stopped_at IS NULL"
    with database.cursor() as cursor:
        # In the words of the partial indexes, or SQLite does not use them.
        cursor.execute(
            "SELECT DISTINCT owner FROM django_workflows_run "
            f"WHERE NOT (owner = '') AND owner NOT IN ({alive})"
        )
        stopped = {row[0] for row in cursor.fetchall()}
        cursor.execute(
            "SELECT DISTINCT worker FROM django_workflows_step "
            f"WHERE status = 'running' AND worker NOT IN ({alive})"
        )
        stopped |= {row[0] for row in cursor.fetchall()}
    for worker_id in sorted(stopped):
        with transaction(database), database.cursor() as cursor:
            runs = _free_runs(database, cursor, worker_id)
            steps = _free_steps(database, cursor, worker_id)
        logger.warning(
            "%d runs and %d steps were left with worker %s, which has stopped",
            runs,
            steps,
            worker_id,
            extra={"action": "left_over_freed", "worker": worker_id},
        )
    return len(stopped)


def delete_strays(database: BaseDatabaseWrapper) -> int:
    """Delete what nobody will ever read: unnumbered events of runs that have ended, or
    that have been deleted.

    Ends of steps that outlived their run, and requests that came too late. Payloads of
    hooks are not among them: the round that ends a run numbers those. Nor are results
    of steps and children that a retry of their run would go on from.
    """
    with database.cursor() as cursor:
        cursor.execute(
            f"SELECT e.id FROM {unread_events(database)} "
            "WHERE e.seq IS NULL AND r.finished_at IS NOT NULL "
            "AND r.status <> 'continued_as_new' "
            "AND NOT (e.type IN ('step_completed', 'child_completed') "
            "AND r.status IN ('failed', 'cancelled', 'timed_out')) "
            f"LIMIT {STRAYS_AT_ONCE}"
        )
        ids = [row[0] for row in cursor.fetchall()]
        cursor.execute(
            "SELECT e.id FROM django_workflows_event e WHERE e.seq IS NULL AND "
            "(SELECT r.id FROM django_workflows_run r WHERE r.id = e.run_id) IS NULL "
            f"LIMIT {STRAYS_AT_ONCE}"
        )
        ids += [row[0] for row in cursor.fetchall()]
        if ids:
            cursor.execute(
                "DELETE FROM django_workflows_event WHERE seq IS NULL "
                f"AND id IN ({marks(ids)})",
                ids,
            )
    return len(ids)


def _free_runs(database: BaseDatabaseWrapper, cursor: Any, worker_id: str) -> int:
    now = now_sql(database)
    cursor.execute(
        f"SELECT DISTINCT queue FROM django_workflows_run WHERE {OWNED}", (worker_id,)
    )
    queues = [row[0] for row in cursor.fetchall()]
    limit = MAX_RUN_CRASHES + 1
    reason = BLOCKED_BY_CRASHES.format(crashes=MAX_RUN_CRASHES)
    if run_blocked.receivers:
        _announce_blocked(database, cursor, worker_id, reason, limit)
    cursor.execute(
        "UPDATE django_workflows_run SET status = 'running', "
        "blocked_reason = %s, blocked_code = COALESCE("
        "(SELECT code FROM django_workflows_worker WHERE id = %s), ''), "
        "blocked_times = blocked_times + 1 "
        f"WHERE {OWNED} AND is_alone = %s AND suspicion + 1 >= %s",
        (
            reason,
            worker_id,
            worker_id,
            True,
            limit,
        ),
    )
    hour = {
        "postgresql": f"{now} + interval '1 hour'",
        "sqlite": f"STRFTIME('%%Y-%%m-%%d %%H:%%M:%%f', {now}, '+1 hour')",
        "mysql": f"{now} + INTERVAL 1 HOUR",
    }[database.vendor]
    # MySQL reads columns as already changed by the assignments before: the order is
    # that in which nothing is changed before it is read.
    wake_at = (
        f"CASE WHEN is_alone AND suspicion + 1 >= {limit} THEN {hour} ELSE {now} END"
    )
    cursor.execute(
        f"UPDATE django_workflows_run SET wake_at = {unless_paused(wake_at)}, "
        "suspicion = CASE WHEN is_alone THEN suspicion + 1 "
        "WHEN suspicion > 1 THEN suspicion ELSE 1 END, "
        f"is_alone = %s, owner = '', fence = fence + 1 WHERE {OWNED}",
        (False, worker_id),
    )
    freed = int(cursor.rowcount)
    notify(database, DUE, queues)
    return freed


def _announce_blocked(
    database: BaseDatabaseWrapper,
    cursor: Any,
    worker_id: str,
    reason: str,
    limit: int,
) -> None:
    cursor.execute(
        "SELECT id, workflow, blocked_times + 1 FROM django_workflows_run "
        f"WHERE {OWNED} AND is_alone = %s AND suspicion + 1 >= %s",
        (worker_id, True, limit),
    )
    news = [
        News(run_blocked, run_id, name, "running", {"reason": reason, "times": times})
        for run_id, name, times in cursor.fetchall()
    ]
    announce(database, news)


def _free_steps(database: BaseDatabaseWrapper, cursor: Any, worker_id: str) -> int:
    """Attempts that were under way are suspects: they run again, apart from others.

    None of them is charged: which of them killed the process is not known, and one
    that ran in a process of its own did not.
    """
    cursor.execute(
        "SELECT s.id, s.run_id, s.attempt, s.queue, r.queue "
        "FROM django_workflows_step s JOIN django_workflows_run r ON r.id = s.run_id "
        "WHERE s.worker = %s AND s.status = 'running' ORDER BY s.id",
        (worker_id,),
    )
    freed = 0
    queues = set()
    for step_id, run_id, attempt, queue, run_queue in cursor.fetchall():
        cursor.execute(
            "UPDATE django_workflows_step SET status = 'pending', suspect = %s, "
            f"worker = '', due_at = {now_sql(database)} "
            "WHERE id = %s AND attempt = %s AND status = 'running'",
            (True, step_id, attempt),
        )
        if cursor.rowcount != 1:
            continue
        freed += 1
        detail = {"attempt": attempt, "reason": "crash"}
        insert_inbox(
            database, run_id, STEP_RETRYING, step_id, detail=json.dumps(detail)
        )
        queues |= {queue, run_queue}
    notify(database, DUE, queues)
    return freed
