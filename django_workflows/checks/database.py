"""Checks of the database that holds the runs.

Those of settings always run; the one that asks the server runs with
`check --database` and `migrate`, as Django does it.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from django.conf import settings
from django.core import checks
from django.db import connections
from django.db.backends.base.base import BaseDatabaseWrapper

from django_workflows.checks.options import wrong_options
from django_workflows.conf import conf

_BUSY_TIMEOUT = 10
"""Seconds a SQLite writer should be ready to wait for others."""
_WAL_VERSION = b"\x02\x02"
"""Bytes 18 and 19 of a SQLite file whose journal mode is WAL."""


@checks.register("workflows")
def check_database(**kwargs: Any) -> list[checks.CheckMessage]:
    """The database of the runs is set up for several processes."""
    if wrong_options():
        return []
    connection = connections[conf.DATABASE]
    messages = [*_time_zones(), *_persistence(connection)]
    if connection.vendor == "sqlite":
        messages += _sqlite(connection)
    elif connection.vendor == "postgresql":
        messages += _postgresql()
    return messages


@checks.register(checks.Tags.database)
def check_connections(
    databases: Sequence[str] | None = None, **kwargs: Any
) -> list[checks.CheckMessage]:
    """The server allows the connections that one cluster may open."""
    if wrong_options() or conf.DATABASE not in (databases or ()):
        return []
    connection = connections[conf.DATABASE]
    allowed = _allowed_connections(connection)
    processes = (getattr(settings, "Q_CLUSTER", None) or {}).get("workers") or 4
    # Per process: one per step thread, the reactor's, the heartbeat's, the
    # listener's. Besides: pusher with its listener, monitor and sentinel.
    needed = processes * (conf.THREADS + 3) + 4
    if allowed is None or needed < allowed:
        return []
    return [
        checks.Warning(
            f"A cluster of {processes} processes may open {needed} connections to "
            f"{conf.DATABASE!r}, which allows {allowed}.",
            hint="Lower WORKFLOWS['THREADS'] or Q_CLUSTER['workers'], or raise "
            "max_connections.",
            id="django_workflows.W037",
        )
    ]


def _allowed_connections(connection: BaseDatabaseWrapper) -> int | None:
    statements = {
        "postgresql": "SHOW max_connections",
        "mysql": "SELECT @@max_connections",
    }
    statement = statements.get(connection.vendor)
    if statement is None:
        return None
    with connection.cursor() as cursor:
        cursor.execute(statement)
        return int(cursor.fetchone()[0])


def _time_zones() -> Iterator[checks.CheckMessage]:
    if not settings.USE_TZ:
        yield checks.Error(
            "USE_TZ is False: the times of runs are kept in UTC, and Django would "
            "take them for local ones.",
            hint="Set USE_TZ = True, which is Django's default.",
            id="django_workflows.E030",
        )


def _persistence(connection: BaseDatabaseWrapper) -> Iterator[checks.CheckMessage]:
    options = connection.settings_dict.get("OPTIONS") or {}
    if connection.settings_dict.get("CONN_MAX_AGE") == 0 and not options.get("pool"):
        yield checks.Warning(
            f"DATABASES[{connection.alias!r}] has CONN_MAX_AGE = 0: every task opens "
            "its connections anew.",
            hint="Set 'CONN_MAX_AGE': None and 'CONN_HEALTH_CHECKS': True.",
            id="django_workflows.W030",
        )


def _sqlite(connection: BaseDatabaseWrapper) -> Iterator[checks.CheckMessage]:
    database, alias = connection.settings_dict, connection.alias
    options: Mapping[str, Any] = database.get("OPTIONS") or {}
    name = str(database["NAME"])
    if name == ":memory:" or "mode=memory" in name:
        yield checks.Warning(
            f"DATABASES[{alias!r}] is in memory: no worker process can see its runs.",
            hint="Use a file.",
            id="django_workflows.W031",
        )
        return
    if not _is_wal(name, options):
        yield checks.Warning(
            f"DATABASES[{alias!r}] does not use SQLite's write-ahead log: readers and "
            "writers lock each other out.",
            hint="Add 'OPTIONS': {'init_command': 'PRAGMA journal_mode=WAL; "
            "PRAGMA synchronous=NORMAL;'}.",
            id="django_workflows.W032",
        )
    if str(options.get("transaction_mode")).upper() not in ("IMMEDIATE", "EXCLUSIVE"):
        yield checks.Warning(
            f"DATABASES[{alias!r}] begins transactions without the write lock: those "
            "that read first fail with 'database is locked' when they write.",
            hint="Add 'OPTIONS': {'transaction_mode': 'IMMEDIATE'}.",
            id="django_workflows.W033",
        )
    elif database.get("ATOMIC_REQUESTS"):
        yield checks.Warning(
            f"DATABASES[{alias!r}] has ATOMIC_REQUESTS and IMMEDIATE transactions: "
            "every request holds SQLite's one write lock until it ends.",
            hint="Set 'ATOMIC_REQUESTS': False and use transaction.atomic() where "
            "it is needed.",
            id="django_workflows.W034",
        )
    if options.get("timeout", 5) < _BUSY_TIMEOUT:
        yield checks.Warning(
            f"DATABASES[{alias!r}] waits {options.get('timeout', 5)} s for a lock and "
            "then fails with 'database is locked'.",
            hint="Add 'OPTIONS': {'timeout': 20}.",
            id="django_workflows.W035",
        )


def _is_wal(name: str, options: Mapping[str, Any]) -> bool:
    """By the settings, or else by the file: the mode is kept in its header."""
    command = str(options.get("init_command", ""))
    if re.search(r"journal_mode\s*[=(]\s*['\"]?wal", command, re.IGNORECASE):
        return True
    path = Path(name)
    if not path.is_file():
        return False
    with path.open("rb") as file:
        return file.read(20)[18:] == _WAL_VERSION


def _postgresql() -> Iterator[checks.CheckMessage]:
    from django.db.backends.postgresql.psycopg_any import is_psycopg3

    if not is_psycopg3:
        yield checks.Warning(
            "PostgreSQL is used through psycopg2: no bulk COPY, no pipelines, and "
            "polling instead of notifications.",
            hint="pip install 'psycopg[binary]>=3.2' and uninstall psycopg2.",
            id="django_workflows.W036",
        )
