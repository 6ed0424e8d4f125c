"""`DATABASE_URL`: one text that says which database the project uses."""

from __future__ import annotations

from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, unquote, urlsplit


def database_from_url(url: str) -> dict[str, Any]:
    """Return the `DATABASES` entry for `url`.

    `sqlite:///relative/path` and `sqlite:////absolute/path` name a file;
    `postgres://user:password@host:port/name` (or `postgresql://`) a PostgreSQL
    database, with its query parameters passed on to the driver. Raises `ValueError`
    naming the text for anything else.
    """
    parts = urlsplit(url)
    name = unquote(parts.path.removeprefix("/"))
    if not name:
        raise ValueError(f"the database URL {url!r} names no database")
    if parts.scheme == "sqlite":
        return sqlite(Path(name))
    if parts.scheme in {"postgres", "postgresql"}:
        return {
            "ENGINE": "django.db.backends.postgresql",
            "NAME": name,
            "USER": unquote(parts.username or ""),
            "PASSWORD": unquote(parts.password or ""),
            "HOST": parts.hostname or "",
            "PORT": str(parts.port or ""),
            "OPTIONS": dict(parse_qsl(parts.query)),
            # Connecting costs more than most of our transactions.
            "CONN_MAX_AGE": None,
            "CONN_HEALTH_CHECKS": True,
        }
    raise ValueError(
        f"the database URL {url!r} must begin with sqlite:///, postgres:// "
        "or postgresql://"
    )


def sqlite(path: Path) -> dict[str, Any]:
    """Return the `DATABASES` entry of an SQLite file that many processes share."""
    return {
        "ENGINE": "django.db.backends.sqlite3",
        "NAME": str(path.absolute()),
        "CONN_MAX_AGE": None,
        "OPTIONS": {
            # Writers wait for each other this many seconds instead of failing.
            "timeout": 20,
            # Take the write lock at BEGIN: a transaction that reads first and
            # writes later could otherwise fail at once, whatever the timeout.
            "transaction_mode": "IMMEDIATE",
            # Readers never wait; with WAL, NORMAL survives any crash of a process.
            "init_command": "PRAGMA journal_mode=WAL; PRAGMA synchronous=NORMAL",
        },
    }
