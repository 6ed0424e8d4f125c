"""Tells other processes that there may be something to do. Only ever a hint."""

from __future__ import annotations

import logging
from collections.abc import Iterable
from functools import lru_cache
from typing import TYPE_CHECKING

from django.db.backends.base.base import BaseDatabaseWrapper

from django_workflows.conf import conf
from django_workflows.store import layers
from django_workflows.store.database import after_commit

if TYPE_CHECKING:
    import redis

logger = logging.getLogger("django_workflows.store")

#: Work is due; the payload is a queue.
DUE = "django_workflows_due"
#: A run has ended; the payload is its id.
DONE = "django_workflows_done"
#: A stream has new chunks, or is closed; the payload is its id.
STREAM = "django_workflows_stream"
#: A step has answered a webhook's sender; the payload is the delivery's id.
ANSWERED = "django_workflows_answered"


def notify(
    database: BaseDatabaseWrapper, channel: str, payloads: Iterable[str]
) -> None:
    """Notify with the caller's transaction, so that listeners see what it commits.

    SQLite needs no notifying: its listeners see that the file has changed. Elsewhere
    and without Redis, listeners poll.
    """
    wanted = sorted(set(payloads))
    if database.vendor == "postgresql":
        with database.cursor() as cursor:
            for payload in wanted:
                cursor.execute("SELECT pg_notify(%s, %s)", (channel, payload))
    after_commit(database, lambda: publish(channel, wanted))


def publish(channel: str, payloads: Iterable[str]) -> None:
    """Tell Redis and the channel layer, if there are any. What is lost is found by
    polling."""
    payloads = list(payloads)
    if channel != DUE:
        layers.announce([(channel, payload) for payload in payloads])
    if not conf.REDIS_URL:
        return
    try:
        client = _client(conf.REDIS_URL)
        for payload in payloads:
            client.publish(channel, payload)
    except Exception:
        logger.warning(
            "could not publish a wake-up through Redis; work is found by polling",
            exc_info=True,
            extra={"action": "wake_up_lost"},
        )


@lru_cache(maxsize=4)
def _client(url: str) -> redis.Redis:
    import redis

    return redis.Redis.from_url(url, socket_timeout=1)
