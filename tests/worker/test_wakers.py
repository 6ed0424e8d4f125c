"""Wakers notice work within milliseconds, on every database they know."""

from __future__ import annotations

import sqlite3
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from django.db import connection
from django.test import override_settings

from django_workflows.store import wakers
from django_workflows.store.wakers import (
    Backoff,
    PollingWaker,
    PostgresWaker,
    RedisWaker,
    SqliteWaker,
    Waker,
    make_waker,
)
from tests.cluster.harness import DEADLINE, until

#: A name of its own: all databases of a Redis server share their channels.
CHANNEL = f"django_workflows_test_{uuid4().hex}"
REDIS_URL = f"redis://127.0.0.1:6379/9?client_name={CHANNEL}"
#: Far from over when somebody who was woken goes on.
LONG = 2 * DEADLINE

needs_postgres = pytest.mark.skipif(
    connection.vendor != "postgresql", reason="needs PostgreSQL"
)


def _later(action: Any, *args: Any) -> threading.Timer:
    timer = threading.Timer(0.05, action, args)
    timer.start()
    return timer


def _ends_long_wait(waker: Waker) -> bool:
    """Whether it comes back with news long before it would have to."""
    began = time.monotonic()
    return waker.wait(LONG) and time.monotonic() - began < DEADLINE


@pytest.fixture
def file_waker(tmp_path: Path) -> Iterator[SqliteWaker]:
    waker = SqliteWaker(str(tmp_path / "a file?.db"))
    yield waker
    waker.close()


def _commit(waker: SqliteWaker, path: Path) -> None:
    database = sqlite3.connect(path)
    with database:
        database.execute("CREATE TABLE IF NOT EXISTS t (x)")
        database.execute("INSERT INTO t VALUES (1)")
    database.close()


def test_sqlite_waker_notices_a_commit(file_waker: SqliteWaker, tmp_path: Path) -> None:
    path = tmp_path / "a file?.db"
    assert not file_waker.wait(0.0)
    _commit(file_waker, path)
    assert file_waker.wait(DEADLINE)
    assert not file_waker.wait(0.0)
    timer = _later(_commit, file_waker, path)
    assert _ends_long_wait(file_waker)
    timer.join()


def test_sqlite_waker_takes_two_slashes_for_one(tmp_path: Path) -> None:
    waker = SqliteWaker(f"/{tmp_path}/a.db")
    assert not waker.wait(0.0)
    _commit(waker, tmp_path / "a.db")
    assert waker.wait(DEADLINE)
    waker.close()


def test_sqlite_waker_says_look_again_when_the_file_is_broken(tmp_path: Path) -> None:
    path = tmp_path / "broken.db"
    path.write_bytes(b"this is no database" * 100)
    waker = SqliteWaker(str(path))
    assert waker.wait(DEADLINE)
    waker.close()


@pytest.mark.parametrize("kind", ["sqlite", "polling"])
def test_wake_ends_the_wait(
    kind: str, file_waker: SqliteWaker, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(wakers, "POLL_INTERVAL", LONG)
    waker: Waker = file_waker if kind == "sqlite" else PollingWaker()
    waker.wait(0.0)
    waker.wake()
    assert _ends_long_wait(waker)
    timer = _later(waker.wake)
    assert _ends_long_wait(waker)
    timer.join()


def test_polling_waker_says_look_again_after_its_interval() -> None:
    assert _ends_long_wait(PollingWaker())


def test_backoff_doubles_up_to_its_limit() -> None:
    backoff = Backoff(0.1, 0.5)
    assert [backoff.next() for _ in range(4)] == [0.1, 0.2, 0.4, 0.5]
    backoff.reset()
    assert backoff.next() == 0.1


@pytest.mark.django_db(transaction=True)
def test_make_waker_knows_the_database() -> None:
    waker = make_waker([CHANNEL], "default")
    expected: dict[str, type[Waker]]
    expected = {"sqlite": SqliteWaker, "postgresql": PostgresWaker}
    assert isinstance(waker, expected.get(connection.vendor, PollingWaker))
    waker.close()
    waker.close()


@pytest.fixture
def listener(
    transactional_db: None, monkeypatch: pytest.MonkeyPatch
) -> Iterator[PostgresWaker]:
    monkeypatch.setattr(wakers, "PROBE_TIMEOUT", DEADLINE)
    waker = make_waker([CHANNEL], "default")
    assert isinstance(waker, PostgresWaker)
    yield waker
    waker.close()


def _notify(channel: str = CHANNEL) -> None:
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_notify(%s, 'x')", [channel])


def _backends() -> list[int]:
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT pid FROM pg_stat_activity"
            " WHERE datname = current_database() AND pid <> pg_backend_pid()"
        )
        return [pid for (pid,) in cursor.fetchall()]


@needs_postgres
def test_postgres_waker_hears_its_channel_only(listener: PostgresWaker) -> None:
    assert not listener.wait(0.0)
    _notify("another_channel")
    assert not listener.wait(0.05)
    _notify()
    assert listener.wait(DEADLINE)
    assert not listener.wait(0.0)


@needs_postgres
def test_postgres_waker_is_woken_by_a_thread(listener: PostgresWaker) -> None:
    timer = _later(listener.wake)
    assert _ends_long_wait(listener)
    timer.join()


@needs_postgres
def test_postgres_waker_connects_again_when_cut_off(listener: PostgresWaker) -> None:
    for pid in _backends():
        with connection.cursor() as cursor:
            cursor.execute("SELECT pg_terminate_backend(%s)", [pid])
    assert listener.wait(DEADLINE)  # The loss itself says "look again".
    until(lambda: not listener.wait(0.05), "a connection without news")
    _notify()
    assert listener.wait(DEADLINE)


@needs_postgres
def test_postgres_waker_polls_where_notifications_do_not_arrive(
    transactional_db: None,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """As behind PgBouncer in transaction mode, which accepts LISTEN in vain."""
    monkeypatch.setattr(wakers, "PROBE_TIMEOUT", 0.05)
    monkeypatch.setattr(PostgresWaker, "_listen", lambda self, channel: None)
    waker = make_waker([CHANNEL], "default")
    assert _ends_long_wait(waker)
    assert _ends_long_wait(waker)
    said = [
        record
        for record in caplog.records
        if "does not reach this process" in record.message
        # Those who wait for results listen, too, on threads of their own.
        and record.threadName == threading.current_thread().name
    ]
    assert len(said) == 1
    waker.close()


@needs_postgres
def test_postgres_waker_that_is_woken_while_it_connects_listens(
    listener: PostgresWaker, monkeypatch: pytest.MonkeyPatch
) -> None:
    wait_for, woken = PostgresWaker._wait_for, [""]
    monkeypatch.setattr(
        PostgresWaker,
        "_wait_for",
        lambda *args: woken.pop() if woken else wait_for(*args),
    )
    listener._disconnect()
    assert listener.wait(DEADLINE)
    assert listener.wait(DEADLINE)  # It has been woken.
    assert not listener.wait(0.05)
    _notify()
    assert listener.wait(DEADLINE)
    assert listener.news == frozenset({(CHANNEL, "x")})


@needs_postgres
def test_postgres_waker_listens_as_soon_as_notifications_arrive(
    transactional_db: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A database that was slow once is not looked at every 50 ms for ever."""
    monkeypatch.setattr(wakers, "PROBE_AGAIN", 0.0)
    with monkeypatch.context() as slow:
        slow.setattr(wakers, "PROBE_TIMEOUT", 0.0)
        slow.setattr(PostgresWaker, "_listen", lambda self, channel: None)
        waker = make_waker([CHANNEL], "default")
        assert _ends_long_wait(waker)
    monkeypatch.setattr(wakers, "PROBE_TIMEOUT", DEADLINE)
    until(lambda: not waker.wait(0.05), "a connection without news")
    _notify()
    assert waker.wait(DEADLINE)
    assert waker.news == frozenset({(CHANNEL, "x")})
    waker.close()


@pytest.fixture
def redis_client() -> Iterator[Any]:
    redis = pytest.importorskip("redis")
    client = redis.Redis.from_url(REDIS_URL)
    try:
        client.ping()
    except redis.ConnectionError:
        pytest.skip("needs Redis on this machine")
    with override_settings(WORKFLOWS={"REDIS_URL": REDIS_URL}):
        yield client
    client.close()


def test_redis_waker_hears_its_channel_only(redis_client: Any) -> None:
    waker = make_waker([CHANNEL], "default")
    assert isinstance(waker, RedisWaker)
    assert waker.wait(DEADLINE)  # The subscription itself says "look again".
    assert not waker.wait(0.05)
    redis_client.publish("another_channel", "x")
    assert not waker.wait(0.05)
    redis_client.publish(CHANNEL, "x")
    assert waker.wait(DEADLINE)
    waker.wake()
    assert waker.wait(DEADLINE)
    waker.close()


def test_redis_waker_connects_again_when_cut_off(redis_client: Any) -> None:
    waker = make_waker([CHANNEL], "default")
    assert waker.wait(DEADLINE)
    (cut,) = (
        client["id"]
        for client in redis_client.client_list(_type="pubsub")
        if client["name"] == CHANNEL
    )
    redis_client.client_kill_filter(_id=cut)
    assert waker.wait(DEADLINE)
    until(lambda: redis_client.publish(CHANNEL, "x"), "another connection")
    assert waker.wait(DEADLINE)
    waker.close()
