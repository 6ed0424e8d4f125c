"""Appends chunks to streams: without gaps, and only for attempts that still count.

The lock of a Stream row orders its writers, whatever process they are in. Under it, an
attempt is judged as the end of one is: by its Step row, or by who owns the run while
there is none. A run's row is read and never locked.
"""

from __future__ import annotations

import enum
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from django.db.backends.base.base import BaseDatabaseWrapper

from django_workflows.core.ids import derive_id
from django_workflows.store.database import (
    among,
    despite_deadlocks,
    now_sql,
    transaction,
)
from django_workflows.store.notify import STREAM, notify

_LOCK = {"postgresql": " FOR NO KEY UPDATE", "mysql": " FOR UPDATE"}


@dataclass(frozen=True, slots=True)
class Author:
    """The attempt that writes, and what is to be so while it counts."""

    run_id: str
    step_id: str
    attempt: int
    worker_id: str
    #: Which attempt of the run it belongs to: a retried run's is another one.
    run_attempt: int


@dataclass(frozen=True, slots=True)
class Append:
    """Chunks, sealed, that an attempt adds to a stream, and whether it closes it."""

    run_id: str
    namespace: str
    author: Author
    payloads: Sequence[bytes]
    closes: bool = False

    @property
    def stream_id(self) -> str:
        return stream_id(self.run_id, self.namespace)


class Refusal(enum.Enum):
    """Why an append was not stored; nothing of it was."""

    #: The stream is closed, or its run has ended.
    CLOSED = "closed"
    #: The attempt does not count any more.
    OVER = "over"


#: The index of the last chunk in the stream by then, or why nothing was stored.
Appended = int | Refusal


def stream_id(run_id: str, namespace: str) -> str:
    """The id of a run's stream, whether there are chunks yet or not."""
    return derive_id("strm", run_id, namespace)


def append(database: BaseDatabaseWrapper, appends: Sequence[Append]) -> list[Appended]:
    """Append to streams, in one transaction; says of each append what became of it."""
    return despite_deadlocks(database, lambda: _append(database, appends))


def find_stored(database: BaseDatabaseWrapper, each: Append, after: int) -> int | None:
    """The index of the last chunk that an attempt has in a stream behind one index.

    For an append whose outcome is unknown, where the attempt makes one after the other:
    if there is such a chunk, it was stored. The server may not know yet that it lost
    its client, and commit only now; it holds the stream's lock until then.
    """
    index = database.ops.quote_name("index")
    with transaction(database):
        _lock_streams(database, {each.stream_id})
        with database.cursor() as cursor:
            cursor.execute(
                f"SELECT MAX({index}) FROM django_workflows_streamchunk WHERE "
                f"stream_id = %s AND {index} > %s AND step_id = %s AND attempt = %s",
                (each.stream_id, after, each.author.step_id, each.author.attempt),
            )
            found: int | None = cursor.fetchone()[0]
    return found


def copy_chunks(
    database: BaseDatabaseWrapper, run_id: str, to_run_id: str, step_ids: set[str]
) -> None:
    """Copy what some steps have written to the streams of their run into those of
    another, which are open. In the current transaction."""
    index = database.ops.quote_name("index")
    with database.cursor() as cursor:
        cursor.execute(
            "SELECT DISTINCT s.namespace, s.id, c.step_id "
            "FROM django_workflows_stream s "
            "JOIN django_workflows_streamchunk c ON c.stream_id = s.id "
            "WHERE s.run_id = %s",
            (run_id,),
        )
        authors: dict[tuple[str, str], list[str]] = {}
        for namespace, stream, step_id in cursor.fetchall():
            if step_id in step_ids:
                authors.setdefault((namespace, stream), []).append(step_id)
        for (namespace, stream), found in sorted(authors.items()):
            steps_in, values = among(database, found)
            copy = stream_id(to_run_id, namespace)
            cursor.execute(
                "INSERT INTO django_workflows_streamchunk "
                f"(stream_id, {index}, payload, attempt, step_id, created_at) "
                f"SELECT %s, ROW_NUMBER() OVER (ORDER BY {index}) - 1, payload, "
                "attempt, step_id, created_at FROM django_workflows_streamchunk "
                f"WHERE stream_id = %s AND step_id {steps_in}",
                [copy, stream, *values],
            )
            cursor.execute(
                "INSERT INTO django_workflows_stream "
                "(id, run_id, namespace, length, closed_at, created_at) "
                f"VALUES (%s, %s, %s, %s, NULL, {now_sql(database)})",
                (copy, to_run_id, namespace, cursor.rowcount),
            )


def _append(database: BaseDatabaseWrapper, appends: Sequence[Append]) -> list[Appended]:
    wanted = {each.stream_id: each for each in appends}
    outcomes = _append_to(database, appends, wanted.keys())
    if outcomes is None:
        # Committed before the runs are looked at: who finds a run ended and no row may
        # be sure that nothing will be in the stream.
        _make_streams(database, wanted.values())
        outcomes = _append_to(database, appends, ())
    assert outcomes is not None
    return outcomes


def _make_streams(database: BaseDatabaseWrapper, wanted: Iterable[Append]) -> None:
    insert, otherwise = "INSERT", " ON CONFLICT DO NOTHING"
    if database.vendor == "mysql":
        insert, otherwise = "INSERT IGNORE", ""
    with database.cursor() as cursor:
        for each in wanted:
            cursor.execute(
                f"{insert} INTO django_workflows_stream "
                "(id, run_id, namespace, length, closed_at, created_at) "
                f"SELECT %s, r.id, %s, 0, NULL, {now_sql(database)} "
                "FROM django_workflows_run r WHERE r.id = %s "
                f"AND r.finished_at IS NULL{otherwise}",
                (each.stream_id, each.namespace, each.run_id),
            )


def _append_to(
    database: BaseDatabaseWrapper, appends: Sequence[Append], needed: Iterable[str]
) -> list[Appended] | None:
    """Append in one transaction; None if a needed stream has no row yet."""
    with transaction(database):
        streams = _lock_streams(database, {each.stream_id for each in appends})
        if set(needed) - streams.keys():
            return None
        facts = _Facts(database, appends)
        outcomes: list[Appended] = []
        rows: list[tuple[Any, ...]] = []
        for each in appends:
            stream = streams.get(each.stream_id)
            refusal = facts.judge(each, stream)
            if stream is None or refusal is not None:
                outcomes.append(refusal or Refusal.CLOSED)
                continue
            author = each.author
            for payload in each.payloads:
                rows.append(
                    (stream.id, stream.length, payload, author.attempt, author.step_id)
                )
                stream.length += 1
            stream.is_changed = True
            stream.is_closed |= each.closes
            outcomes.append(stream.length - 1)
        _write(database, rows, [each for each in streams.values() if each.is_changed])
    return outcomes


@dataclass(slots=True)
class _Locked:
    """A stream whose row is locked."""

    id: str
    length: int
    is_closed: bool
    is_changed: bool = False


def _lock_streams(database: BaseDatabaseWrapper, ids: set[str]) -> dict[str, _Locked]:
    streams_in, values = among(database, sorted(ids))
    with database.cursor() as cursor:
        cursor.execute(
            "SELECT id, length, closed_at FROM django_workflows_stream "
            f"WHERE id {streams_in} ORDER BY id{_LOCK.get(database.vendor, '')}",
            values,
        )
        return {
            row[0]: _Locked(row[0], row[1], row[2] is not None)
            for row in cursor.fetchall()
        }


class _Facts:
    """What the database knows of the runs and attempts concerned, at one moment."""

    def __init__(
        self, database: BaseDatabaseWrapper, appends: Sequence[Append]
    ) -> None:
        run_ids = {each.run_id for each in appends}
        run_ids |= {each.author.run_id for each in appends}
        runs_in, runs = among(database, sorted(run_ids))
        steps_in, steps = among(database, sorted({a.author.step_id for a in appends}))
        self._open: dict[str, tuple[str, int]] = {}
        self._steps: dict[str, tuple[int, str]] = {}
        with database.cursor() as cursor:
            cursor.execute(
                "SELECT r.id, r.owner, r.attempt, r.finished_at, "
                "s.id, s.attempt, s.status FROM django_workflows_run r "
                "LEFT JOIN django_workflows_step s "
                f"ON s.run_id = r.id AND s.id {steps_in} WHERE r.id {runs_in}",
                [*steps, *runs],
            )
            for run_id, owner, number, finished_at, *step in cursor.fetchall():
                if finished_at is None:
                    self._open[run_id] = (owner, number)
                if step[0] is not None:
                    self._steps[step[0]] = (step[1], step[2])

    def judge(self, each: Append, stream: _Locked | None) -> Refusal | None:
        """Why nothing of an append may be stored, if so."""
        if stream is None or each.run_id not in self._open:
            return Refusal.CLOSED
        if not self._counts(each.author):
            return Refusal.OVER
        return Refusal.CLOSED if stream.is_closed else None

    def _counts(self, author: Author) -> bool:
        step = self._steps.get(author.step_id)
        if step is not None:
            return step == (author.attempt, "running")
        run = self._open.get(author.run_id)
        return run == (author.worker_id, author.run_attempt)


def _write(
    database: BaseDatabaseWrapper,
    rows: Sequence[tuple[Any, ...]],
    streams: Sequence[_Locked],
) -> None:
    if not streams:
        return
    now, index = now_sql(database), database.ops.quote_name("index")
    with database.cursor() as cursor:
        if rows:
            cursor.executemany(
                "INSERT INTO django_workflows_streamchunk "
                f"(stream_id, {index}, payload, attempt, step_id, created_at) "
                f"VALUES (%s, %s, %s, %s, %s, {now})",
                rows,
            )
        for stream in streams:
            closed_at = f", closed_at = {now}" if stream.is_closed else ""
            cursor.execute(
                f"UPDATE django_workflows_stream SET length = %s{closed_at} "
                "WHERE id = %s",
                (stream.length, stream.id),
            )
    notify(database, STREAM, [stream.id for stream in streams])
