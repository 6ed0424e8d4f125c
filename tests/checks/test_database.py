from __future__ import annotations

import sqlite3
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from django.db import connections
from django.db.utils import ConnectionHandler

from django_workflows.checks import database as database_check
from django_workflows.checks.database import check_connections, check_database

if TYPE_CHECKING:
    from pytest_django import Settings

Configure = Callable[[dict[str, Any]], None]

TUNED: dict[str, Any] = {
    "ENGINE": "django.db.backends.sqlite3",
    "CONN_MAX_AGE": None,
    "OPTIONS": {
        "transaction_mode": "IMMEDIATE",
        "timeout": 20,
        "init_command": "PRAGMA journal_mode=WAL; PRAGMA synchronous=NORMAL;",
    },
}


@pytest.fixture
def configure(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, settings: Settings
) -> Configure:
    settings.WORKFLOWS = {}

    def configure(database: dict[str, Any]) -> None:
        database.setdefault("NAME", str(tmp_path / "runs.db"))
        handler = ConnectionHandler({"default": database})
        monkeypatch.setattr(database_check, "connections", handler)

    return configure


def ids() -> list[str]:
    found = check_database()
    assert all(message.hint for message in found)
    return [str(message.id).removeprefix("django_workflows.") for message in found]


def test_times_need_their_zone(configure: Configure, settings: Settings) -> None:
    configure({**TUNED})
    assert ids() == []
    settings.USE_TZ = False
    assert ids() == ["E030"]


def test_tuned_sqlite_gives_no_message(configure: Configure) -> None:
    configure({**TUNED})
    assert ids() == []


def test_stock_sqlite_is_warned_about(configure: Configure) -> None:
    configure({"ENGINE": TUNED["ENGINE"]})
    assert ids() == ["W030", "W032", "W033", "W035"]


@pytest.mark.parametrize(
    ("option", "value", "code"),
    [
        ("init_command", "PRAGMA synchronous=NORMAL", "W032"),
        ("transaction_mode", "DEFERRED", "W033"),
        ("timeout", 3, "W035"),
    ],
)
def test_each_sqlite_option_is_checked(
    option: str, value: Any, code: str, configure: Configure
) -> None:
    configure({**TUNED, "OPTIONS": {**TUNED["OPTIONS"], option: value}})
    assert ids() == [code]


def test_wal_kept_in_the_file_counts(configure: Configure, tmp_path: Path) -> None:
    connection = sqlite3.connect(tmp_path / "runs.db")
    connection.execute("pragma journal_mode=wal")
    connection.close()
    options = {"transaction_mode": "immediate", "timeout": 20}
    configure({**TUNED, "OPTIONS": options})
    assert ids() == []

    connection = sqlite3.connect(tmp_path / "runs.db")
    connection.execute("pragma journal_mode=delete")
    connection.close()
    assert ids() == ["W032"]


def test_sqlite_in_memory_is_warned_about(configure: Configure) -> None:
    configure({**TUNED, "NAME": ":memory:"})
    assert ids() == ["W031"]


def test_atomic_requests_with_immediate_is_warned_about(configure: Configure) -> None:
    configure({**TUNED, "ATOMIC_REQUESTS": True})
    assert ids() == ["W034"]


def test_new_connections_each_time_are_warned_about(configure: Configure) -> None:
    configure({"ENGINE": "django.db.backends.postgresql", "NAME": "x"})
    assert ids() == ["W030"]


def test_connection_pool_needs_no_persistence(configure: Configure) -> None:
    configure(
        {
            "ENGINE": "django.db.backends.postgresql",
            "NAME": "x",
            "OPTIONS": {"pool": True},
        }
    )
    assert ids() == []


def test_psycopg2_is_warned_about(
    configure: Configure, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("django.db.backends.postgresql.psycopg_any.is_psycopg3", False)
    configure(
        {"ENGINE": "django.db.backends.postgresql", "NAME": "x", "CONN_MAX_AGE": None}
    )
    assert ids() == ["W036"]


def test_too_many_connections_are_warned_about(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(database_check, "_allowed_connections", lambda _: 100)
    settings.Q_CLUSTER = {"workers": 4}
    settings.WORKFLOWS = {"THREADS": 8}
    assert check_connections(databases=["default"]) == []
    settings.WORKFLOWS = {"THREADS": 40}
    assert check_connections(databases=None) == []
    (message,) = check_connections(databases=["default"])
    assert message.id == "django_workflows.W037"
    assert "176" in message.msg
    assert "THREADS" in str(message.hint)


@pytest.mark.django_db
def test_server_is_asked_for_its_connections() -> None:
    allowed = database_check._allowed_connections(connections["default"])
    if connections["default"].vendor == "sqlite":
        assert allowed is None
    else:
        assert allowed is not None
        assert allowed > 0
