"""Wakers: learn within milliseconds that the database may hold new work.

A waker never tells what changed and never loses a change for good: it only says
"look again", and its callers look again on their own every half second anyway.
"""

from __future__ import annotations

import contextlib
import logging
import math
import os
import select
import sqlite3
import threading
import time
import uuid
from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from django.db import connections

from django_workflows.conf import conf

if TYPE_CHECKING:
    import psycopg
    from django.db.backends.base.base import BaseDatabaseWrapper

logger = logging.getLogger(__name__)

POLL_INTERVAL = 0.05
"""Seconds between looks where nothing can push."""

DATA_VERSION_INTERVAL = 0.003
"""Seconds between looks at SQLite's ``PRAGMA data_version`` (3 microseconds each)."""

PROBE_TIMEOUT = 1.0
"""Seconds within which a test notification must arrive for LISTEN to be trusted."""

PROBE_AGAIN = 600.0
"""Seconds after which it is tried again, where none has arrived: the database may only
have been slow."""

REDIS_SLICE = 0.25
"""Seconds after which the Redis thread notices that it should end."""


class Backoff:
    """Doubling pauses, in seconds, between ``first`` and ``last``."""

    def __init__(self, first: float = 0.1, last: float = 5.0) -> None:
        self._first = first
        self._last = last
        self._pause = first

    def next(self) -> float:
        """Return the pause to make now; the next one will be twice as long."""
        pause = self._pause
        self._pause = min(self._last, pause * 2)
        return pause

    def reset(self) -> None:
        """Begin with the first pause again."""
        self._pause = self._first


#: Channels and payloads that were heard.
News = frozenset[tuple[str, str]]


class Waker(ABC):
    """Waits for the sign that something may have changed.

    A waker belongs to the process and thread that made it; only :meth:`wake` may be
    called from other threads. It must be closed before, or made after, a fork.
    """

    #: What ended the last :meth:`wait`, where that can be told; None: anything.
    news: News | None = None

    @abstractmethod
    def wait(self, timeout: float) -> bool:
        """Wait at most ``timeout`` seconds; true if something may have changed.

        What happened since the end of the previous wait counts. Never raises.
        """

    @abstractmethod
    def wake(self) -> None:
        """End the current (else the next) :meth:`wait` at once, with true."""

    @abstractmethod
    def close(self) -> None:
        """Give back the connection. May be called more than once."""


def make_waker(channels: Sequence[str], alias: str) -> Waker:
    """Return the best waker for the database ``alias``.

    ``channels`` are notification channels, used by PostgreSQL and Redis; the others
    notice every commit. With ``WORKFLOWS["REDIS_URL"]`` set, Redis is used whatever
    the database.
    """
    connection = connections[alias]
    if conf.REDIS_URL:
        return RedisWaker(channels, conf.REDIS_URL)
    if connection.vendor == "postgresql" and _has_psycopg():
        return PostgresWaker(channels, connection)
    if connection.vendor == "sqlite" and not _is_in_memory(connection):
        return SqliteWaker(str(connection.settings_dict["NAME"]))
    return PollingWaker()


def _has_psycopg() -> bool:
    """Tell whether psycopg 3 is there; psycopg 2 users get polling."""
    try:
        import psycopg  # noqa: F401
    except ImportError:
        return False
    return True


def _is_in_memory(connection: BaseDatabaseWrapper) -> bool:
    name = str(connection.settings_dict["NAME"])
    return name in ("", ":memory:") or "mode=memory" in name


class PollingWaker(Waker):
    """Says "look again" every :data:`POLL_INTERVAL` seconds."""

    def __init__(self) -> None:
        self._woken = threading.Event()

    def wait(self, timeout: float) -> bool:
        """Wait for the interval (or less) and return true."""
        self._woken.wait(max(0.0, min(timeout, POLL_INTERVAL)))
        self._woken.clear()
        return True

    def wake(self) -> None:
        """End the wait."""
        self._woken.set()

    def close(self) -> None:
        """Nothing to give back."""


class SqliteWaker(Waker):
    """Watches a counter that changes whenever another connection commits."""

    def __init__(self, name: str) -> None:
        # Two slashes at its beginning would make its first folder a host.
        path = f"file://{quote(os.path.abspath(name))}"
        self._uri = name if name.startswith("file:") else path
        self._woken = threading.Event()
        self._backoff = Backoff()
        self._connection: sqlite3.Connection | None = None
        self._seen: int | None = None
        self._changed()

    def wait(self, timeout: float) -> bool:
        """Look every 3 ms until the counter changes."""
        deadline = time.monotonic() + timeout
        while True:
            if self._changed():
                return True
            left = deadline - time.monotonic()
            if left <= 0:
                return False
            if self._woken.wait(min(left, DATA_VERSION_INTERVAL)):
                self._woken.clear()
                return True

    def wake(self) -> None:
        """End the wait."""
        self._woken.set()

    def close(self) -> None:
        """Close the private connection."""
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def _changed(self) -> bool:
        try:
            if self._connection is None:
                self._connection = sqlite3.connect(
                    self._uri, uri=True, isolation_level=None, check_same_thread=False
                )
                self._seen = None
            row = self._connection.execute("PRAGMA data_version").fetchone()
        except sqlite3.Error as error:
            logger.warning("SQLite waker: %s; looking again.", error)
            self.close()
            self._woken.wait(self._backoff.next())
            return True
        self._backoff.reset()
        before, self._seen = self._seen, int(row[0])
        return self._seen != before


class PostgresWaker(Waker):
    """Listens on a connection of its own; polls where LISTEN cannot pass."""

    def __init__(
        self, channels: Sequence[str], connection: BaseDatabaseWrapper
    ) -> None:
        self._channels = tuple(channels)
        self._settings = connection
        self._connection: psycopg.Connection[Any] | None = None
        self._backoff = Backoff()
        #: Until when it polls; 0 if it never had to.
        self._polls_until = 0.0
        self._heard: set[tuple[str, str]] = set()
        self._wake_reader, self._wake_writer = os.pipe()
        os.set_blocking(self._wake_reader, False)
        os.set_blocking(self._wake_writer, False)
        self._connect()

    def wait(self, timeout: float) -> bool:
        """Wait for a notification; a lost connection counts as one."""
        import psycopg

        self.news = None
        if self._connection is None:
            polls = time.monotonic() < self._polls_until
            pause = POLL_INTERVAL if polls else self._backoff.next()
            self._select(min(timeout, pause), None)
            if not polls:
                self._connect()
            return True
        try:
            channel = self._wait_for(timeout, self._channels)
            self.news, self._heard = frozenset(self._heard), set()
            if channel == "":
                self.news = None  # whoever woke it knows why
            return channel is not None
        except (psycopg.Error, OSError) as error:
            logger.warning("PostgreSQL waker lost its connection: %s", error)
            self._disconnect()
            self._select(min(timeout, self._backoff.next()), None)
            return True

    def wake(self) -> None:
        """End the wait."""
        # A full pipe holds wake-ups enough.
        with contextlib.suppress(BlockingIOError):
            if self._wake_writer >= 0:
                os.write(self._wake_writer, b"w")

    def close(self) -> None:
        """Close the private connection and the pipe."""
        self._disconnect()
        if self._wake_reader >= 0:
            os.close(self._wake_reader)
            os.close(self._wake_writer)
            self._wake_reader = self._wake_writer = -1

    def _connect(self) -> None:
        """Open the connection and make sure that notifications reach it."""
        import psycopg

        try:
            self._connection = psycopg.connect(**self._parameters(), autocommit=True)
            if self._probe():
                for channel in self._channels:
                    self._listen(channel)
                self._backoff.reset()
                return
            if not self._polls_until:
                logger.warning(
                    "PostgreSQL's NOTIFY does not reach this process (PgBouncer in "
                    "transaction mode?); looking for work every %d ms instead.",
                    POLL_INTERVAL * 1000,
                )
            self._polls_until = time.monotonic() + PROBE_AGAIN
        except (psycopg.Error, OSError) as error:
            logger.warning("PostgreSQL waker cannot listen: %s", error)
        self._disconnect()

    def _disconnect(self) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def _parameters(self) -> dict[str, Any]:
        """Return Django's connection parameters without its own psycopg hooks."""
        parameters: dict[str, Any] = dict(self._settings.get_connection_params())
        for key in ("context", "cursor_factory", "pool"):
            parameters.pop(key, None)
        return parameters

    def _listen(self, channel: str) -> None:
        from psycopg import sql

        assert self._connection is not None
        self._connection.execute(sql.SQL("LISTEN {}").format(sql.Identifier(channel)))

    def _probe(self) -> bool:
        """Send ourselves a notification from another connection.

        A pooler in transaction mode accepts LISTEN and then delivers nothing, which
        only a notification sent by somebody else can tell.
        """
        import psycopg
        from psycopg import sql

        assert self._connection is not None
        channel = f"django_workflows_probe_{uuid.uuid4().hex}"
        self._listen(channel)
        with psycopg.connect(**self._parameters(), autocommit=True) as other:
            other.execute("SELECT pg_notify(%s, '')", [channel])
        deadline, woken = time.monotonic() + PROBE_TIMEOUT, False
        while (heard := self._wait_for(deadline - time.monotonic(), (channel,))) == "":
            woken = True
        if woken:
            self.wake()  # which the next wait is to notice
        self._heard.clear()
        self._connection.execute(sql.SQL("UNLISTEN {}").format(sql.Identifier(channel)))
        return heard == channel

    def _wait_for(self, timeout: float, channels: Sequence[str]) -> str | None:
        """Return the channel that was notified, "" if woken, None if nothing came."""
        assert self._connection is not None
        pgconn = self._connection.pgconn
        deadline = time.monotonic() + timeout
        while True:
            pgconn.consume_input()
            heard = None
            while (notification := pgconn.notifies()) is not None:
                channel = notification.relname.decode()
                if channel in channels:
                    heard = channel
                    self._heard.add((channel, notification.extra.decode()))
            if heard is not None:
                return heard
            left = deadline - time.monotonic()
            if left <= 0:
                return None
            if self._select(left, pgconn.socket):
                return ""

    def _select(self, timeout: float, socket: int | None) -> bool:
        """Wait for the socket or a wake-up; true (and swallowed) if woken."""
        poll = select.poll()
        poll.register(self._wake_reader, select.POLLIN)
        if socket is not None:
            poll.register(socket, select.POLLIN)
        # Rounded up, so that a remainder below 1 ms does not become a busy loop.
        ready = poll.poll(max(0, math.ceil(timeout * 1000)))
        if any(descriptor == self._wake_reader for descriptor, _ in ready):
            os.read(self._wake_reader, 4096)
            return True
        return False


class RedisWaker(Waker):
    """Listens to Redis pub/sub; the truth stays in the database.

    A thread listens, so that :meth:`wake` needs no tricks with Redis' socket.
    """

    def __init__(self, channels: Sequence[str], url: str) -> None:
        # redis is an extra, needed only with WORKFLOWS["REDIS_URL"].
        import redis

        self._channels = tuple(channels)
        self._client: Any = redis.Redis.from_url(url)
        self._woken = threading.Event()
        #: What was heard since the last wait; None once that was not all.
        self._heard: set[tuple[str, str]] | None = set()
        self._lock = threading.Lock()
        self._closed = threading.Event()
        self._thread = threading.Thread(
            target=self._listen, name="workflows-redis-waker", daemon=True
        )
        self._thread.start()

    def wait(self, timeout: float) -> bool:
        """Wait for a message; a lost connection counts as one."""
        woken = self._woken.wait(max(0.0, timeout))
        with self._lock:
            self._woken.clear()
            heard, self._heard = self._heard, set()
        self.news = None if heard is None else frozenset(heard)
        return woken

    def wake(self) -> None:
        """End the wait."""
        self._tell(None)

    def _tell(self, message: dict[str, Any] | None) -> None:
        """Something was heard, or may have been missed."""
        with self._lock:
            if message is None or message["type"] != "message":
                self._heard = None
            elif self._heard is not None:
                channel, payload = message["channel"], message["data"]
                self._heard.add((_text(channel), _text(payload)))
            self._woken.set()

    def close(self) -> None:
        """End the thread, which closes its connection."""
        self._closed.set()
        self._thread.join(timeout=REDIS_SLICE * 4)
        self._client.close()

    def _listen(self) -> None:
        from redis.exceptions import RedisError

        backoff = Backoff()
        while not self._closed.is_set():
            try:
                with self._client.pubsub() as pubsub:
                    pubsub.subscribe(*self._channels)
                    while not self._closed.is_set():
                        # The confirmation wakes too: what was published before
                        # the subscription (again) stood must be looked for.
                        message = pubsub.get_message(timeout=REDIS_SLICE)
                        if message is not None:
                            backoff.reset()
                            self._tell(message)
            except (RedisError, OSError, ValueError) as error:
                if self._closed.is_set():
                    return
                logger.warning("Redis waker lost its connection: %s", error)
                self._tell(None)
                self._closed.wait(backoff.next())


def _text(value: bytes | str) -> str:
    """What Redis said: a URL with ``decode_responses`` makes it text."""
    return value if isinstance(value, str) else value.decode()
