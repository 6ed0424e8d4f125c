"""Whether workflows get on, and if not, what there is to look at.

Cheap however many runs there are: it reads indexes of open work, and counts no further
than `COUNTED`.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta

from django.db import Error
from django.db.models import QuerySet

from django_workflows.conf import conf
from django_workflows.models import Run, Worker
from django_workflows.store.database import (
    alias,
    connection,
    database_time,
    to_datetime,
)
from django_workflows.store.queue_waits import COUNTED, waits_of_queues


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


def served_queues() -> set[str]:
    """The queues that have a worker now."""
    return queues_of(fresh_workers().order_by().only("queues"))


def queues_of(workers: Iterable[Worker]) -> set[str]:
    """The queues that some workers serve."""
    return {name for worker in workers for name in worker.queue_names}


def silent_workers() -> QuerySet[Worker]:
    """Workers that have given no sign of life for longer, and have not been declared
    dead yet."""
    since = database_now() - timedelta(seconds=conf.LEASE)
    workers = Worker.objects.using(alias())
    return workers.filter(stopped_at__isnull=True, heartbeat_at__lte=since)


def health_details() -> HealthDetails:
    """What waits in the queues, and which runs cannot go on with today's code."""
    queues = [
        QueueHealth(wait.name, wait.due_runs, wait.due_steps, wait.oldest_due_at)
        for wait in waits_of_queues(database_now())
    ]
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


def _blocked() -> dict[str, int]:
    """Runs that cannot go on with today's code, by workflow."""
    blocked = Run.objects.using(alias()).blocked()
    names = blocked.order_by().values_list("workflow", flat=True)[:COUNTED]
    return dict(sorted(Counter(names).items()))
