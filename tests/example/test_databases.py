from __future__ import annotations

import pytest

from example_project.databases import database_from_url


def test_database_from_url_sqlite_absolute() -> None:
    database = database_from_url("sqlite:////tmp/shop.sqlite3")
    assert database["ENGINE"] == "django.db.backends.sqlite3"
    assert database["NAME"] == "/tmp/shop.sqlite3"
    assert database["OPTIONS"]["transaction_mode"] == "IMMEDIATE"


def test_database_from_url_sqlite_relative_becomes_absolute() -> None:
    assert database_from_url("sqlite:///shop.sqlite3")["NAME"].startswith("/")


def test_database_from_url_postgresql_with_everything() -> None:
    database = database_from_url(
        "postgres://me:s%40crt@db.example:5433/shop?sslmode=require"
    )
    assert database["ENGINE"] == "django.db.backends.postgresql"
    assert database["NAME"] == "shop"
    assert database["USER"] == "me"
    assert database["PASSWORD"] == "s@crt"
    assert database["HOST"] == "db.example"
    assert database["PORT"] == "5433"
    assert database["OPTIONS"] == {"sslmode": "require"}
    assert database["CONN_MAX_AGE"] is None


@pytest.mark.parametrize("url", ["", "oracle://x/y", "postgres://host", "shop.sqlite3"])
def test_database_from_url_names_nonsense(url: str) -> None:
    with pytest.raises(ValueError, match="database URL") as caught:
        database_from_url(url)
    assert repr(url) in str(caught.value)
