from __future__ import annotations

import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from django.core.management.base import CommandError
from django.db import connection
from django.db.utils import ConnectionHandler

from example_project.databases import sqlite
from example_project.shop.demo import database

pytestmark = pytest.mark.django_db


@pytest.fixture
def other(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """The demo's idea of the default database: one that does not exist yet."""
    if connection.vendor == "sqlite":
        settings = sqlite(tmp_path / "new" / "demo.sqlite3")
    elif connection.vendor == "postgresql":
        settings = {**connection.settings_dict, "NAME": f"demo_{uuid.uuid4().hex}"}
    else:
        pytest.skip("the demo runs on SQLite and PostgreSQL")
    handler = ConnectionHandler({"default": settings})
    monkeypatch.setattr(database, "connections", handler)
    yield handler["default"]
    handler["default"].close()
    if connection.vendor == "postgresql":
        with database._server() as cursor:
            cursor.execute(f'DROP DATABASE IF EXISTS "{settings["NAME"]}"')


def create_tables(other: Any, *names: str) -> None:
    with other.cursor() as cursor:
        for name in names:
            cursor.execute(f"CREATE TABLE {name} (id integer)")
    other.close()


def tables(other: Any) -> list[str]:
    names = other.introspection.table_names()
    other.close()
    return sorted(names)


def test_make_fresh_creates_a_database_that_is_missing(other: Any) -> None:
    database.make_fresh()
    assert tables(other) == []


def test_make_fresh_takes_an_empty_one(other: Any) -> None:
    database.make_fresh()
    database.make_fresh()
    assert tables(other) == []


def test_make_fresh_replaces_that_of_an_earlier_demo(other: Any) -> None:
    database.make_fresh()
    create_tables(other, *database._OURS, "auth_user")
    database.make_fresh()
    assert tables(other) == []


def test_make_fresh_refuses_anybody_elses(other: Any) -> None:
    database.make_fresh()
    create_tables(other, "accounts", "shop_order")
    with pytest.raises(CommandError, match="not the demo's"):
        database.make_fresh()
    assert tables(other) == ["accounts", "shop_order"]
