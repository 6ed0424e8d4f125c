"""Which database, which dialect, and how points in time get in and out of it."""

from __future__ import annotations

import copy
import json
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from typing import Any, TypeVar

from django.db import connections
from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.transaction import atomic
from django.db.utils import DatabaseError, InterfaceError, OperationalError

from django_workflows.conf import conf

T = TypeVar("T")

_DEADLOCK_RETRIES = 10
_MYSQL_DEADLOCK = 1213
_MYSQL_LOCK_TIMEOUT = 1205
_LOCK_NOT_AVAILABLE = "55P03"
_GAVE_WAY = ("40001", "40P01")
#: On PostgreSQL for the rest of the transaction. Other workers commit in this time.
NO_WAITING = "SET LOCAL lock_timeout = '10ms'"
_NO_WAITING = {
    "postgresql": (NO_WAITING, ""),
    "mysql": (
        "SET SESSION innodb_lock_wait_timeout = 0",
        "SET SESSION innodb_lock_wait_timeout = DEFAULT",
    ),
}
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_EPOCH_WITHOUT_ZONE = _EPOCH.replace(tzinfo=None)
_MICROSECOND = timedelta(microseconds=1)


def alias() -> str:
    """The database that holds the runs, ``WORKFLOWS["DATABASE"]``."""
    return conf.DATABASE


def connection() -> BaseDatabaseWrapper:
    """The calling thread's connection to it."""
    return connections[alias()]


def private_connection() -> BaseDatabaseWrapper:
    """A connection of its own, which nobody's ``close_old_connections`` touches.

    It is for the reactor's statements: a few, over and over, each on a few rows. Each
    sees what is committed by then, whatever the project has set for its own.
    """
    database = connections.create_connection(alias())
    database.settings_dict = copy.deepcopy(database.settings_dict)
    # With none Django asks MySQL, and `_POSTGRESQL_SETTINGS` PostgreSQL, for it.
    database.settings_dict["OPTIONS"].pop("isolation_level", None)
    if database.vendor == "sqlite":
        # A transaction that reads first could not become a writing one later.
        database.transaction_mode = "IMMEDIATE"  # type: ignore[attr-defined]
    if is_postgresql(database):
        _prepare_statements(database)
    return database


# A plan made once, by index, whatever the tables hold: the statements find rows by
# key, and planning one of them takes several times as long as running it. A process
# that stands still within a transaction keeps nobody from its rows for ever.
_POSTGRESQL_SETTINGS = (
    "SET plan_cache_mode = force_generic_plan; SET jit = off; "
    "SET enable_seqscan = off; SET enable_mergejoin = off; "
    "SET idle_in_transaction_session_timeout = '10s'; "
    "SET default_transaction_isolation = 'read committed'"
)


def _prepare_statements(database: BaseDatabaseWrapper) -> None:
    database.settings_dict["OPTIONS"] |= {
        "server_side_binding": True,
        "prepare_threshold": 1,
    }
    initialize = database.init_connection_state

    def initialize_and_tune() -> None:
        initialize()
        database.connection.execute(_POSTGRESQL_SETTINGS)

    database.init_connection_state = initialize_and_tune  # type: ignore[method-assign]


def is_postgresql(database: BaseDatabaseWrapper) -> bool:
    return database.vendor == "postgresql"


@contextmanager
def transaction(database: BaseDatabaseWrapper) -> Iterator[None]:
    """One transaction on the given connection; inside of another one a savepoint."""
    if database.in_atomic_block:
        with atomic(using=database.alias):
            yield
        return
    database.set_autocommit(False, force_begin_transaction_with_broken_autocommit=True)
    try:
        yield
        database.commit()
    except BaseException:
        if database.connection is not None:
            database.rollback()
        raise
    finally:
        if database.connection is not None:
            database.set_autocommit(True)


def after_commit(database: BaseDatabaseWrapper, action: Callable[[], object]) -> None:
    """Call `action` once the connection's current transaction is committed, at once
    if there is none. Django logs what it raises in a transaction."""
    if database.in_atomic_block:
        database.on_commit(action, robust=True)
    elif not database.get_autocommit():
        # One of our own transactions, which Django takes for manual ones: it runs what
        # is to be run after them, and has no function for adding to it.
        hooks: list[Any] = database.run_on_commit
        hooks.append((set(), action, True))
    else:
        action()


@contextmanager
def waiting_for_nobody(database: BaseDatabaseWrapper) -> Iterator[None]:
    """In a transaction of ours: whoever holds what is written here is not waited for.

    What somebody else has inserted, and not yet committed, has no row that could be
    skipped. The error that it makes is one of which `is_held_up` is true.
    """
    if database.in_atomic_block or database.vendor not in _NO_WAITING:
        yield
        return
    begin, end = _NO_WAITING[database.vendor]
    with database.cursor() as cursor:
        cursor.execute(begin)
    try:
        yield
    finally:
        # A connection that is lost takes its settings with it.
        if end and database.connection is not None:
            with suppress(DatabaseError, InterfaceError), database.cursor() as cursor:
                cursor.execute(end)


def is_held_up(error: Exception) -> bool:
    """Whether a statement was given up because somebody holds what it wants."""
    sqlstate = getattr(error.__cause__, "sqlstate", None)
    return sqlstate == _LOCK_NOT_AVAILABLE or error.args[:1] == (_MYSQL_LOCK_TIMEOUT,)


def gave_way(error: Exception) -> bool:
    """Whether the database has rolled a transaction back for the sake of another one,
    and it is worth being tried again just so: a deadlock, or a failure to serialize."""
    sqlstate = getattr(error.__cause__, "sqlstate", None)
    return sqlstate in _GAVE_WAY or error.args[:1] == (_MYSQL_DEADLOCK,)


def despite_deadlocks(database: BaseDatabaseWrapper, action: Callable[[], T]) -> T:
    """Call `action`, one transaction of ours, again if the database gave it up.

    MySQL ends deadlocks, which its gap locks make of harmless writes, by rolling one
    transaction back. In the caller's own transaction only the caller can begin again.
    """
    for _ in range(_DEADLOCK_RETRIES):
        try:
            return action()
        except OperationalError as error:
            if database.in_atomic_block or not gave_way(error):
                raise
    return action()


def to_datetime(us: int) -> datetime:
    """Microseconds since the epoch as an aware datetime in UTC."""
    return _EPOCH + timedelta(microseconds=us)


def us_sql(database: BaseDatabaseWrapper, column: str) -> str:
    """A column of points in time, for statements that read very many of them: `to_us`
    takes what comes of it. To make datetimes costs psycopg more than all else."""
    if is_postgresql(database):
        return f"CAST(EXTRACT(EPOCH FROM {column}) * 1000000 AS bigint)"
    return column


def to_us(value: Any) -> int:
    """What a driver returned for a point in time, in microseconds since the epoch."""
    if isinstance(value, int):
        return value
    if isinstance(value, str):
        value = datetime.fromisoformat(value)
    if value.tzinfo is None:
        value = value.replace(tzinfo=UTC)
    return int((value - _EPOCH) // _MICROSECOND)


def from_json(value: Any) -> Any:
    """What a driver returned for a JSON column: some decode it themselves."""
    return json.loads(value) if isinstance(value, str | bytes) else value


def moment(database: BaseDatabaseWrapper, us: int | None) -> Any:
    """A point in time as a parameter for a raw statement."""
    if us is None:
        return None
    if is_postgresql(database):
        return to_datetime(us)
    return str(_EPOCH_WITHOUT_ZONE + timedelta(microseconds=us))


#: The database's clock as an expression, to microseconds where there are any. On
#: PostgreSQL the one that stands still during a statement: it can use an index.
_NOW = {
    "postgresql": "statement_timestamp()",
    "sqlite": "STRFTIME('%%Y-%%m-%%d %%H:%%M:%%f', 'NOW')",
    "mysql": "UTC_TIMESTAMP(6)",
}


_LITERAL = {
    "postgresql": "timestamptz '{} UTC'",
    "sqlite": "'{}'",
    "mysql": "CAST('{}' AS DATETIME(6))",
}
_frozen_us: int | None = None


def freeze_time(us: int | None) -> None:
    """Take this for the database's time in this process, or its own again for None.

    For the testing kit, which skips time.
    """
    global _frozen_us
    _frozen_us = us


def among(
    database: BaseDatabaseWrapper, values: Sequence[Any]
) -> tuple[str, list[Any]]:
    """The right side of ``column <is> values`` and its parameters.

    PostgreSQL takes a list as one parameter, so that the statement stays the same.
    """
    if is_postgresql(database):
        return "= ANY(%s)", [_array(values)]
    return f"IN ({marks(values)})", list(values)


def among_names(
    database: BaseDatabaseWrapper, names: tuple[str, ...]
) -> tuple[str, list[Any]]:
    """`among` for names of code, which are many and seldom change: one parameter, whose
    text is made once."""
    if is_postgresql(database):
        return "= ANY(%s)", [_array_of_names(names)]
    if database.vendor == "sqlite":
        return "IN (SELECT value FROM json_each(%s))", [_json(names)]
    return among(database, names)


def exactly(database: BaseDatabaseWrapper, text: str) -> str:
    """An expression for a text that is compared to the letter: MySQL and MariaDB hold
    texts to be equal that differ in case only. Whatever a column is stored in."""
    if database.vendor != "mysql":
        return text
    return f"CONVERT({text} USING utf8mb4) COLLATE utf8mb4_bin"


def _array(values: Iterable[Any]) -> str:
    """PostgreSQL's text for an array of numbers or texts; the driver's own way there
    takes many times as long.

    A backslash takes the next character for what it is.
    """
    escaped = (str(value).replace("\\", r"\\").replace('"', r"\"") for value in values)
    return "{" + ",".join(f'"{value}"' for value in escaped) + "}"


_array_of_names = lru_cache(_array)


@lru_cache
def _json(names: tuple[str, ...]) -> str:
    return json.dumps(names)


def marks(values: Sequence[Any]) -> str:
    """The place of each of the values in a statement: ``IN ({marks(ids)})``."""
    return ", ".join(["%s"] * len(values))


def now_sql(database: BaseDatabaseWrapper) -> str:
    """The database's time, as an expression for a statement with parameters."""
    if _frozen_us is None:
        return _NOW[database.vendor]
    text = str(to_datetime(_frozen_us).replace(tzinfo=None))
    return _LITERAL[database.vendor].format(text)


def database_time(database: BaseDatabaseWrapper) -> int:
    """The database's clock, in microseconds since the epoch."""
    with database.cursor() as cursor:
        # An empty tuple, because without parameters %% is not read as %.
        cursor.execute(f"SELECT {now_sql(database)}", ())
        return to_us(cursor.fetchone()[0])
