"""A fresh database for the demo, and a refusal to touch anybody else's."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from django.core.management.base import CommandError
from django.db import DEFAULT_DB_ALIAS, OperationalError, connections

#: Tables that only a database made by an earlier demo has.
_OURS = {"shop_order", "shop_reservation", "django_workflows_run"}


def make_fresh() -> None:
    """Leave the default database existing and empty.

    One left by an earlier demo is replaced. Raises `CommandError` when the database
    holds other tables, when it cannot be made, or when it is in use.
    """
    if connections[DEFAULT_DB_ALIAS].vendor == "sqlite":
        _make_sqlite_file()
    else:
        _make_postgresql_database()


def _make_sqlite_file() -> None:
    path = Path(connections[DEFAULT_DB_ALIAS].settings_dict["NAME"])
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        return
    _refuse_strangers()
    for suffix in ("", "-wal", "-shm"):
        Path(f"{path}{suffix}").unlink(missing_ok=True)


def _make_postgresql_database() -> None:
    name = connections[DEFAULT_DB_ALIAS].settings_dict["NAME"]
    with _server() as cursor:
        cursor.execute("SELECT 1 FROM pg_database WHERE datname = %s", [name])
        exists = cursor.fetchone() is not None
    if exists and not _refuse_strangers():
        return
    quoted = connections[DEFAULT_DB_ALIAS].ops.quote_name(name)
    with _server() as cursor:
        if exists:
            cursor.execute(f"DROP DATABASE {quoted}")
        cursor.execute(f"CREATE DATABASE {quoted}")


def _refuse_strangers() -> set[str]:
    """Return the tables there are; raise `CommandError` unless a demo made them."""
    connection = connections[DEFAULT_DB_ALIAS]
    tables = set(connection.introspection.table_names())
    connection.close()
    if tables and not tables >= _OURS:
        raise CommandError(
            f"The database {connection.settings_dict['NAME']} has tables that are not "
            "the demo's, and the demo begins by emptying it. Name another database "
            "(--database URL); one that does not exist is created."
        )
    return tables


@contextmanager
def _server() -> Iterator[Any]:
    """Give a cursor on the server's maintenance database; errors name the cause."""
    connection = connections[DEFAULT_DB_ALIAS].copy()
    connection.settings_dict["NAME"] = "postgres"
    try:
        with connection.cursor() as cursor:
            yield cursor
    except OperationalError as error:
        raise CommandError(f"PostgreSQL refuses: {error}") from error
    finally:
        connection.close()
