"""`DATABASE_URL` for the tests: one text, one Django database configuration."""

from __future__ import annotations

import os
import time
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, quote, unquote, urlencode, urlsplit

from django.db import connection
from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.transaction import atomic
from django.db.utils import OperationalError

#: What Django knows of the models; no test changes it.
_OF_MODELS = {"auth_permission", "django_content_type"}
#: Bytes of a table from which on it is truncated.
_LARGE = 1_000_000


def parse(url: str) -> dict[str, Any]:
    """Return the `DATABASES` entry that `url` describes.

    Understood are `sqlite:///relative.db`, `sqlite:////absolute.db`,
    `postgres://user:password@host:port/name` (`postgresql://` too) and
    `mysql://user:password@host:port/name` (`mariadb://` too). Query parameters
    become driver options; for PostgreSQL and MySQL, `?host=/socket/dir` names a
    Unix socket. Raises ValueError for another scheme.
    """
    parts = urlsplit(url)
    query = dict(parse_qsl(parts.query))
    match parts.scheme:
        case "sqlite":
            return _sqlite(Path(unquote(parts.path[1:])))
        case "postgres" | "postgresql":
            engine = "django.db.backends.postgresql"
        case "mysql" | "mariadb":
            engine = "django.db.backends.mysql"
        case other:
            raise ValueError(f"unknown database scheme {other!r} in {url!r}")
    return {
        "ENGINE": engine,
        "NAME": unquote(parts.path.lstrip("/")) or "django_workflows",
        "USER": unquote(parts.username or ""),
        "PASSWORD": unquote(parts.password or ""),
        "HOST": query.pop("host", unquote(parts.hostname or "")),
        "PORT": str(parts.port or ""),
        "CONN_MAX_AGE": None,
        "CONN_HEALTH_CHECKS": True,
        "OPTIONS": query,
    }


def url_of(settings: Mapping[str, Any]) -> str:
    """Return the URL that `parse` turns into the database of `settings`.

    For processes started by a test: `url_of(connection.settings_dict)` names the test
    database itself, so that a worker given it as `DATABASE_URL` sees the test's rows.
    """
    engine = settings["ENGINE"].rpartition(".")[2]
    name = quote(str(settings["NAME"]))
    if engine == "sqlite3":
        return f"sqlite:///{name}"
    scheme = {"postgresql": "postgres", "mysql": "mysql"}[engine]
    query = {
        key: value for key, value in settings["OPTIONS"].items() if type(value) is str
    }
    host = str(settings["HOST"])
    if host.startswith("/"):
        query["host"], host = host, ""
    user = quote(settings["USER"], safe="")
    password = quote(settings["PASSWORD"], safe="")
    login = f"{user}:{password}@" if password else f"{user}@" if user else ""
    port = f":{settings['PORT']}" if settings["PORT"] else ""
    suffix = f"?{urlencode(query)}" if query else ""
    return f"{scheme}://{login}{host}{port}/{name}{suffix}"


def empty(database: BaseDatabaseWrapper) -> None:
    """Delete the rows of all tables, after a test whose commits were real.

    To truncate them all, as Django does, and to make what it knows of its models again,
    takes PostgreSQL a hundred times as long.
    """
    tables = [
        name
        for name in database.introspection.django_table_names(include_views=False)
        if name not in _OF_MODELS
    ]
    quote = database.ops.quote_name
    with (
        database.constraint_checks_disabled(),
        atomic(using=database.alias),
        database.cursor() as cursor,
    ):
        if database.vendor == "postgresql":
            # Sessions of killed processes may be at work still.
            cursor.execute(f"LOCK TABLE {', '.join(map(quote, tables))}")
            cursor.execute(
                "SELECT relname, pg_relation_size(oid) FROM pg_class WHERE relname = "
                "ANY(%s) AND relkind = 'r' AND pg_relation_size(oid) > 0",
                [tables],
            )
            sizes = dict(cursor.fetchall())
            # What was deleted takes up its place and the time of later tests.
            large = [quote(name) for name, size in sizes.items() if size > _LARGE]
            if large:
                cursor.execute(f"TRUNCATE {', '.join(large)} CASCADE")
            tables = [name for name, size in sizes.items() if size <= _LARGE]
        for name in tables:
            cursor.execute(f"DELETE FROM {quote(name)}")


def rows_read() -> int:
    """The entries of tables and indexes that were read for this connection so far.
    MySQL and MariaDB count them."""
    with connection.cursor() as cursor:
        cursor.execute("SHOW SESSION STATUS LIKE 'Handler_read%'")
        return sum(int(value) for _name, value in cursor.fetchall())


_OTHER_SESSIONS = {
    "postgresql": "SELECT pid FROM pg_stat_activity "
    "WHERE datname = current_database() AND pid <> pg_backend_pid()",
    "mysql": "SELECT id FROM information_schema.processlist "
    "WHERE db = DATABASE() AND id <> CONNECTION_ID()",
}
_CUT_OFF = {"postgresql": "SELECT pg_terminate_backend(%s)", "mysql": "KILL %s"}
_CUT_OFF_OWN = {
    "postgresql": "SELECT pg_terminate_backend(pg_backend_pid())",
    "mysql": "KILL CONNECTION_ID()",
}


def cut_off_others() -> None:
    """Let the server end all sessions on this database but the caller's."""
    with connection.cursor() as cursor:
        cursor.execute(_OTHER_SESSIONS[connection.vendor])
        for row in cursor.fetchall():
            with suppress(OperationalError):  # it is over already
                cursor.execute(_CUT_OFF[connection.vendor], row)


def cut_off_own() -> None:
    """Let the server end the caller's session, whose client sees an error."""
    with connection.cursor() as cursor:
        cursor.execute(_CUT_OFF_OWN[connection.vendor])


def cut_off(database: BaseDatabaseWrapper) -> None:
    """Let the server end a session while its client is about something else."""
    driver = database.connection
    session = (
        driver.thread_id() if database.vendor == "mysql" else driver.info.backend_pid
    )
    with connection.cursor() as cursor:
        cursor.execute(_CUT_OFF[connection.vendor], [session])


def is_somebody_waiting() -> bool:
    """Whether a session of MariaDB or MySQL waits for a row that another has locked."""
    with connection.cursor() as cursor:
        cursor.execute("SHOW GLOBAL STATUS LIKE 'Innodb_row_lock_current_waits'")
        return int(cursor.fetchone()[1]) > 0


def wait_for_sessions() -> None:
    """Wait until the server has seen that the sessions of killed processes are over.

    A test database with other sessions cannot be dropped.
    """
    if connection.vendor != "postgresql":
        return
    end = time.monotonic() + 90
    while True:
        with connection.cursor() as cursor:
            cursor.execute(
                "SELECT count(*) FROM pg_stat_activity "
                "WHERE datname = current_database() AND backend_type = "
                "'client backend' AND pid <> pg_backend_pid()"
            )
            if cursor.fetchone()[0] == 0:
                return
        assert time.monotonic() < end, "a session outlives its process"
        time.sleep(0.01)


def _sqlite(path: Path) -> dict[str, Any]:
    # A file even in tests: worker threads and processes open the database again by
    # its name, which an in-memory one does not survive.
    return {
        "ENGINE": "django.db.backends.sqlite3",
        "NAME": str(path),
        "CONN_MAX_AGE": None,
        "OPTIONS": {
            # Writers queue up at BEGIN instead of failing when a read turns into
            # a write, and wait this many seconds for their turn.
            "transaction_mode": "IMMEDIATE",
            "timeout": 20,
            "init_command": "PRAGMA journal_mode=WAL; PRAGMA synchronous=NORMAL;",
        },
        # Two test runs beside each other must not share a file.
        "TEST": {"NAME": str(path.with_name(f"test_{os.getpid()}_{path.name}"))},
    }
