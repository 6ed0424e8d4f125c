"""The test project itself: its databases are set up as the engine needs them."""

from __future__ import annotations

from pathlib import Path

import pytest
from django.db import connection

from tests.app.models import Ledger
from tests.databases import parse, url_of


@pytest.mark.django_db
def test_database_takes_a_row() -> None:
    Ledger.objects.create(account="a", amount="1.50")
    assert Ledger.objects.get().account == "a"


@pytest.mark.django_db
def test_sqlite_is_a_file_in_wal_mode() -> None:
    if connection.vendor != "sqlite":
        pytest.skip("about SQLite")
    with connection.cursor() as cursor:
        cursor.execute("PRAGMA journal_mode")
        assert cursor.fetchone() == ("wal",)
        cursor.execute("PRAGMA database_list")
        assert Path(cursor.fetchone()[2]).is_file()


def test_parse_postgres_url_with_escapes_and_socket() -> None:
    parsed = parse("postgres://me:p%40ss@/name?host=/run/pg")
    assert parsed["PASSWORD"] == "p@ss"
    assert parsed["HOST"] == "/run/pg"
    assert parsed["NAME"] == "name"
    assert parsed["OPTIONS"] == {}


def test_parse_unknown_scheme_is_refused() -> None:
    with pytest.raises(ValueError, match="oracle"):
        parse("oracle://somewhere/x")


@pytest.mark.parametrize(
    "url",
    [
        "sqlite:////tmp/some%20where/x.db",
        "postgres://me:p%40ss@db.example:5433/name?sslmode=require",
        "postgres://me@/name?host=%2Frun%2Fpg",
        "mysql://root@127.0.0.1:3306/name",
    ],
)
def test_url_of_names_the_database_parsed(url: str) -> None:
    assert url_of(parse(url)) == url
