"""Whether workflows get on, and if not, what there is to look at.

Cheap however many runs there are: it reads indexes of open work, jumps from queue to
queue in them, and counts no further than `COUNTED`.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from django.db import Error
from django.db.models import QuerySet

from django_workflows.conf import conf
from django_workflows.models import Run, Step, Worker
from django_workflows.store.database import (
    alias,
    connection,
    database_time,
    to_datetime,
)

#: No count goes beyond this: from there on it is "very many".
COUNTED = 1_000
#: Queues looked at, at most.
QUEUES = 100


@dataclass(frozen=True)
class QueueHealth:
    """What is due in a queue and not at work yet, and since when."""

    name: str
    due_runs: int
    due_steps: int
    oldest_due_at: datetime | None


@dataclass(frozen=True)
class HealthDetails:
    """What to look at: queues in which something waits, blocked runs by workflow."""

    queues: list[QueueHealth]
    oldest_due_at: datetime | None
    blocked_runs: dict[str, int]


@dataclass(frozen=True)
class Health:
    """Whether the database answers, and a worker gives signs of life."""

    database: bool
    worker: bool

    @property
    def is_healthy(self) -> bool:
        return self.database and self.worker


def health() -> Health:
    """Ask the database for a worker with a fresh heartbeat.

    A database that does not answer is an answer, not an error.
    """
    try:
        return Health(database=True, worker=fresh_workers().exists())
    except Error:
        return Health(database=False, worker=False)


def fresh_workers() -> QuerySet[Worker]:
    """Workers that have given a sign of life within the lease."""
    since = database_now() - timedelta(seconds=conf.LEASE)
    workers = Worker.objects.using(alias())
    return workers.filter(stopped_at__isnull=True, heartbeat_at__gt=since)


def health_details() -> HealthDetails:
    """What waits in the queues, and which runs cannot go on with today's code."""
    queues = _queues(database_now())
    return HealthDetails(
        queues=queues,
        oldest_due_at=min(
            (queue.oldest_due_at for queue in queues if queue.oldest_due_at),
            default=None,
        ),
        blocked_runs=_blocked(),
    )


def database_now() -> datetime:
    """The database's time."""
    return to_datetime(database_time(connection()))


def _queues(now: datetime) -> list[QueueHealth]:
    """Each kind of waiting work in the words of its partial index."""
    runs, steps = Run.objects.using(alias()), Step.objects.using(alias())
    waiting_runs: _Waiting = [
        (runs.filter(wake_at__isnull=False), "wake_at"),
        (runs.filter(queued_at__isnull=False, finished_at__isnull=True), "queued_at"),
    ]
    waiting_steps: _Waiting = [
        (steps.filter(due_at__isnull=False, limit_key=""), "due_at"),
        (steps.filter(due_at__isnull=False).exclude(limit_key=""), "due_at"),
    ]
    names = {name for rows, _ in waiting_runs + waiting_steps for name in _jump(rows)}
    found = []
    for name in sorted(names)[:QUEUES]:
        due_runs, oldest_run = _due(waiting_runs, name, now)
        due_steps, oldest_step = _due(waiting_steps, name, now)
        oldest = min(filter(None, (oldest_run, oldest_step)), default=None)
        if oldest is not None:
            found.append(QueueHealth(name, due_runs, due_steps, oldest))
    return found


_Waiting = list[tuple[QuerySet[Any], str]]


def _jump(rows: QuerySet[Any]) -> Iterator[str]:
    """The queues of some rows, from one to the next in the index."""
    rows = rows.order_by("queue").values_list("queue", flat=True)
    name = rows.first()
    for _ in range(QUEUES):
        if name is None:
            return
        yield name
        name = rows.filter(queue__gt=name).first()


def _due(waiting: _Waiting, queue: str, now: datetime) -> tuple[int, datetime | None]:
    """How many are due in a queue, and since when the oldest is."""
    count = 0
    oldest: list[datetime] = []
    for rows, column in waiting:
        due = rows.filter(queue=queue, **{f"{column}__lte": now})
        oldest += due.order_by(column).values_list(column, flat=True)[:1]
        # In no order, or all of them would be read to be sorted.
        few = due.order_by().values(column)[: COUNTED - count]
        count += few.count() if count < COUNTED else 0
    return count, min(oldest, default=None)


def _blocked() -> dict[str, int]:
    """Runs that cannot go on with today's code, by workflow."""
    blocked = Run.objects.using(alias()).blocked()
    names = blocked.order_by().values_list("workflow", flat=True)[:COUNTED]
    return dict(sorted(Counter(names).items()))
