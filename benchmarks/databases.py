"""Database URLs, and a fresh database for each benchmark.

Nothing that exists is ever touched: on PostgreSQL a new database is made beside
the named one, on SQLite a new file.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import SplitResult, unquote, urlsplit, urlunsplit

#: The database to connect to while making and dropping others.
MAINTENANCE = "postgres"


@dataclass(frozen=True)
class Database:
    """A database named by a URL: ``sqlite:///path`` or ``postgres://…``."""

    url: str

    @property
    def parts(self) -> SplitResult:
        """The parsed URL."""
        return urlsplit(self.url)

    @property
    def is_postgres(self) -> bool:
        """Whether this is PostgreSQL; the other kind is SQLite."""
        return self.parts.scheme in ("postgres", "postgresql")

    @property
    def label(self) -> str:
        """How the output calls it: ``pg`` or ``sqlite``."""
        return "pg" if self.is_postgres else "sqlite"

    @property
    def name(self) -> str:
        """The name of the database, or the path of the file."""
        return unquote(self.parts.path).removeprefix("/")

    def named(self, name: str) -> Database:
        """Another database on the same server."""
        return Database(urlunsplit(self.parts._replace(path=f"/{name}")))

    def at(self, host: str, port: int) -> Database:
        """The same database, reached through another address."""
        user, separator, _ = self.parts.netloc.rpartition("@")
        netloc = f"{user}{separator}{host}:{port}"
        return Database(urlunsplit(self.parts._replace(netloc=netloc)))

    def settings(self) -> dict[str, Any]:
        """The entry for ``settings.DATABASES``.

        SQLite runs in WAL mode with ``synchronous=FULL``: a commit that returned
        survives a power cut there too, as it does on PostgreSQL.
        """
        if self.is_postgres:
            return {
                "ENGINE": "django.db.backends.postgresql",
                "NAME": self.name,
                "USER": unquote(self.parts.username or ""),
                "PASSWORD": unquote(self.parts.password or ""),
                "HOST": unquote(self.parts.hostname or ""),
                "PORT": self.parts.port or "",
                "CONN_MAX_AGE": None,
            }
        return {
            "ENGINE": "django.db.backends.sqlite3",
            "NAME": self.name,
            "CONN_MAX_AGE": None,
            "OPTIONS": {
                "timeout": 30,
                "transaction_mode": "IMMEDIATE",
                "init_command": "PRAGMA journal_mode=WAL; PRAGMA synchronous=FULL;",
            },
        }


@contextmanager
def fresh(url: str | None) -> Iterator[Database]:
    """A new, empty database; it is removed again at the end.

    Without a URL it is an SQLite file in the temporary folder. Raises
    ``ValueError`` for an unknown kind of URL and ``FileExistsError`` for an
    SQLite file that is there already.
    """
    if url is None:
        with tempfile.TemporaryDirectory(prefix="benchmarks-") as folder:
            yield Database(f"sqlite:///{folder}/benchmarks.sqlite3")
        return
    database = Database(url)
    if database.is_postgres:
        with _fresh_postgres(database) as created:
            yield created
    elif database.parts.scheme == "sqlite":
        with _fresh_file(database):
            yield database
    else:
        raise ValueError(f"a database is sqlite:///… or postgres://…, not {url!r}")


@contextmanager
def _fresh_postgres(server: Database) -> Iterator[Database]:
    import psycopg
    from psycopg import sql

    created = server.named(f"{server.name or 'workflows'}_benchmarks_{os.getpid()}")
    name = sql.Identifier(created.name)
    maintenance = server.named(MAINTENANCE).url
    with psycopg.connect(maintenance, autocommit=True) as connection:
        connection.execute(sql.SQL("CREATE DATABASE {}").format(name))
    try:
        yield created
    finally:
        with psycopg.connect(maintenance, autocommit=True) as connection:
            drop = sql.SQL("DROP DATABASE {} WITH (FORCE)")
            connection.execute(drop.format(name))


@contextmanager
def _fresh_file(database: Database) -> Iterator[None]:
    path = Path(database.name)
    path.touch(exist_ok=False)
    try:
        yield
    finally:
        for suffix in ("", "-wal", "-shm"):
            Path(f"{path}{suffix}").unlink(missing_ok=True)
