"""Limits: how many steps or runs may be at work at once, and how often one may start.

Nothing is held for a limit. Whoever wants to start something locks the Limit row of its
key and counts what is at work by the database's account, so a process that dies leaves
nothing behind. Who has to wait stands in line by priority, then by age; the first in
line is judged by its own limits, and those behind it wait with it.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from django.db.backends.base.base import BaseDatabaseWrapper

from django_workflows.core.rates import LONGEST_WINDOW, Pace, parse_rate
from django_workflows.store.database import (
    is_postgresql,
    marks,
    now_sql,
    to_us,
    transaction,
)
from django_workflows.store.notify import DUE, notify

#: Microseconds for which the starts of an idle rate limit are remembered at least: no
#: window of a rate is longer.
REMEMBERED_US = LONGEST_WINDOW * 1_000_000
#: Limit rows deleted at a time.
FORGOTTEN = 500


@dataclass(frozen=True, slots=True)
class Limits:
    """How many at once, and how often. None is any number."""

    max_concurrency: int | None
    rate_limit: str | None

    def room(self, at_work: int) -> int | None:
        """How many more may be at work; None for any number."""
        if self.max_concurrency is None:
            return None
        return max(0, self.max_concurrency - at_work)

    def next_us(self, pace: str, now_us: int) -> int:
        """When the next start may be, in microseconds, by the rate."""
        if self.rate_limit is None:
            return now_us
        return parse_rate(self.rate_limit).next_us(Pace.load(pace), now_us)


@dataclass(frozen=True, slots=True)
class Line:
    """Those who wait for one limit, seen by the first of them."""

    key: str
    limits: Limits
    at_work: int
    pace: str
    now_us: int
    priority: int
    since_us: int
    #: Of steps, the id of the first.
    first: str = ""

    @property
    def is_full(self) -> bool:
        """Nobody may start before somebody ends."""
        return self.limits.room(self.at_work) == 0

    @property
    def next_us(self) -> int:
        """When the first may start, if the line is not full."""
        return self.limits.next_us(self.pace, self.now_us)

    @property
    def may_start(self) -> bool:
        return not self.is_full and self.next_us <= self.now_us


def next_start_us(lines: Iterable[Line]) -> int | None:
    """When a rate limit lets the next one start that may not start now; None while
    only an end would."""
    dues = [line.next_us for line in lines if not line.is_full and not line.may_start]
    return min(dues, default=None)


class Gate:
    """The Limit row of a key, locked until the current transaction ends.

    `count` is a query for how many are at work, with the key as its one parameter.
    """

    def __init__(
        self, database: BaseDatabaseWrapper, cursor: Any, key: str, count: str
    ) -> None:
        self._database = database
        self._cursor = cursor
        self._key = key
        name = quoted(database, "key")
        ignore = "INSERT IGNORE" if database.vendor == "mysql" else "INSERT"
        conflict = "" if database.vendor == "mysql" else " ON CONFLICT DO NOTHING"
        lock = "" if database.vendor == "sqlite" else " FOR UPDATE"
        find = f"SELECT pace FROM django_workflows_limit WHERE {name} = %s{lock}"
        cursor.execute(find, (key,))
        found = cursor.fetchone()
        if found is None:
            cursor.execute(
                f"{ignore} INTO django_workflows_limit ({name}) VALUES (%s){conflict}",
                (key,),
            )
            cursor.execute(find, (key,))
            found = cursor.fetchone()
        self._pace = Pace.load(found[0])
        # After the lock: on PostgreSQL the time of a statement is that of its begin.
        cursor.execute(f"SELECT ({count}), {now_sql(database)}", (key,))
        self._at_work, now = cursor.fetchone()
        self.now_us = to_us(now)
        #: When the rate lets the next one start, if that is later than now.
        self.next_us: int | None = None

    def admit(self, wanted: Sequence[Limits]) -> int:
        """How many of those in line may start now; that they do is taken for granted.

        `wanted` are their limits, the first in line first.
        """
        pace, allowed = self._pace, 0
        for limits in wanted:
            if limits.room(self._at_work + allowed) == 0:
                break
            if limits.rate_limit is not None:
                rate = parse_rate(limits.rate_limit)
                after = rate.take(pace, self.now_us)
                pace = after or pace
                next_us = rate.next_us(pace, self.now_us)
                self.next_us = next_us if next_us > self.now_us else None
                if after is None:
                    break
            allowed += 1
        if pace is not self._pace:
            self._cursor.execute(
                "UPDATE django_workflows_limit SET pace = %s "
                f"WHERE {quoted(self._database, 'key')} = %s",
                (pace.dump(), self._key),
            )
        return allowed


# Nothing that is open is counted by the key of Limit row `l`. In the words of the
# partial indexes.
_IDLE = """
    NOT EXISTS (SELECT 1 FROM django_workflows_run r WHERE r.limit_key = l.{key}
        AND NOT (r.limit_key = '') AND r.finished_at IS NULL)
    AND NOT EXISTS (SELECT 1 FROM django_workflows_step s WHERE s.limit_key = l.{key}
        AND NOT (s.limit_key = '') AND s.status = 'running')
    AND NOT EXISTS (SELECT 1 FROM django_workflows_step s WHERE s.limit_key = l.{key}
        AND NOT (s.limit_key = '') AND s.status = 'pending' AND s.due_at IS NOT NULL)
"""


def forget_idle(database: BaseDatabaseWrapper) -> int:
    """Delete some Limit rows that nobody needs; returns how many.

    With a key for each customer they would grow for ever. One that somebody has
    locked, or whose last start a rate may still have to know, is kept.
    """
    key = quoted(database, "key")
    idle = _IDLE.format(key=key)
    lock = skip_locked(database, "l")
    table = "django_workflows_limit"
    with transaction(database), database.cursor() as cursor:
        cursor.execute(f"SELECT {now_sql(database)}", ())
        before_us = to_us(cursor.fetchone()[0]) - REMEMBERED_US
        cursor.execute(
            f"SELECT l.{key}, l.pace FROM {table} l WHERE {idle} "
            f"LIMIT {FORGOTTEN}{lock}"
        )
        rows = cursor.fetchall()
        over = [name for name, pace in rows if Pace.load(pace).is_over(before_us)]
        if over:
            # Asked again, now that nobody can pass these gates.
            among = f"l.{key} IN ({marks(over)})"
            gone = f"SELECT l.{key} FROM {table} l WHERE {among} AND {idle}"
            cursor.execute(
                f"DELETE FROM {table} WHERE {key} IN "
                f"(SELECT {key} FROM ({gone}) AS gone)",
                over,
            )
    return len(over)


def tell_waiting(database: BaseDatabaseWrapper, run_id: str) -> None:
    """Wake whoever may wait for the places of a run, and of its steps, that are ended
    in the current transaction."""
    with database.cursor() as cursor:
        cursor.execute(
            "SELECT queue FROM django_workflows_run "
            "WHERE id = %s AND NOT (limit_key = '') "
            "UNION SELECT queue FROM django_workflows_step "
            "WHERE run_id = %s AND NOT (limit_key = '')",
            (run_id, run_id),
        )
        queues = [row[0] for row in cursor.fetchall()]
    if queues:
        notify(database, DUE, queues)


def firsts_sql(database: BaseDatabaseWrapper, table: str, keys: str, first: str) -> str:
    """What to select FROM for the first row of each line: `keys` joined with what the
    query `first` finds for each, which is a row on PostgreSQL, and else its id.

    Said so that no database reads the table as a whole to join them.
    """
    if is_postgresql(database):
        name = table.split()[1]
        return f"{keys} CROSS JOIN LATERAL ({first}) AS {name}"
    return (
        f"(SELECT ({first}) AS id FROM {keys} WHERE k.limit_key IS NOT NULL) AS f "
        f"JOIN {table} ON {table.split()[1]}.id = f.id"
    )


def likely(condition: str) -> str:
    """A condition that must not look like something to search by, nor like one that
    few rows meet: the first in a line, as its index has them, nearly always does."""
    return f"COALESCE({condition}, false)"


def quoted(database: BaseDatabaseWrapper, name: str) -> str:
    return str(database.ops.quote_name(name))


def skip_locked(database: BaseDatabaseWrapper, table: str) -> str:
    if database.vendor == "sqlite":
        return ""
    of = f" OF {table}" if is_postgresql(database) else ""
    return f" FOR UPDATE{of} SKIP LOCKED"
