"""Reads streams: what there is, and what is coming."""

from __future__ import annotations

import operator
from collections.abc import AsyncIterator, Iterator
from contextlib import ExitStack, nullcontext
from dataclasses import dataclass
from typing import Any

from asgiref.sync import sync_to_async

from django_workflows.core import context, serialization
from django_workflows.core.payloads import unseal
from django_workflows.errors import WorkflowRunNotFoundError
from django_workflows.models import Run
from django_workflows.store.chunks import stream_id
from django_workflows.store.database import connection
from django_workflows.store.notify import DONE, STREAM
from django_workflows.store.watching import Topic, Watch, watching

#: Chunks read at once, and bytes of them unless a single one has more.
BATCH = 500
BATCH_BYTES = 1 << 20

#: Lets whoever has begun to write come to an end first.
SHARE = {"postgresql": " FOR SHARE", "mysql": " LOCK IN SHARE MODE"}


@dataclass(frozen=True, slots=True)
class Chunk:
    """One value of a stream, and the attempt of the step that wrote it."""

    index: int
    data: Any
    attempt: int


@dataclass(frozen=True, slots=True)
class StreamState:
    """How many chunks a stream has, and whether there will never be more.

    A run's retry opens its streams again.
    """

    length: int
    is_closed: bool

    @property
    def tail(self) -> int:
        """The index of the last chunk; -1 if there is none."""
        return self.length - 1

    def first(self, start: int) -> int:
        """The index that `start` means; a negative one counts from the end."""
        return start if start >= 0 else max(0, self.length + start)


def stream_state(run_id: str, namespace: str = "") -> StreamState:
    """The state of a run's stream, written to or not.

    Raises WorkflowRunNotFoundError.
    """
    stream = stream_id(run_id, namespace)
    database = connection()
    with database.cursor() as cursor:
        cursor.execute(
            "SELECT r.finished_at, s.length, s.closed_at "
            "FROM django_workflows_run r "
            "LEFT JOIN django_workflows_stream s ON s.id = %s WHERE r.id = %s",
            (stream, run_id),
        )
        row = cursor.fetchone()
        if row is None:
            raise WorkflowRunNotFoundError(f"there is no workflow run {run_id!r}")
        finished_at, length, closed_at = row
        if length is None or closed_at is not None or finished_at is None:
            is_closed = closed_at is not None or finished_at is not None
            return StreamState(length or 0, is_closed)
        # Whoever writes looks at the run under this lock: what was begun before the
        # end is stored now, and nothing will be begun.
        cursor.execute(
            "SELECT length FROM django_workflows_stream "
            f"WHERE id = %s{SHARE.get(database.vendor, '')}",
            (stream,),
        )
        row = cursor.fetchone()
    return StreamState(0 if row is None else row[0], is_closed=True)


def read_chunks(
    run_id: str, namespace: str = "", start: int = 0, limit: int = BATCH
) -> list[Chunk]:
    """The chunks from index `start` (not negative) on: at most `limit`, and of bytes
    about BATCH_BYTES, but one if there is one."""
    rows = read_sealed(stream_id(run_id, namespace), start, limit)
    return [
        Chunk(index, serialization.loads(unseal(payload)), attempt)
        for index, payload, attempt in rows
    ]


def read_sealed(
    stream: str, start: int, limit: int, size: int = BATCH_BYTES
) -> list[tuple[int, bytes, int]]:
    """Chunks of the stream with this id as they are stored: index, payload, attempt.

    From index `start` (not negative) on: at most `limit`, and of bytes about `size`,
    but one if there is one.
    """
    database = connection()
    index = database.ops.quote_name("index")
    chunks = "django_workflows_streamchunk"
    with database.cursor() as cursor:
        # Lengths are known without reading the payloads.
        cursor.execute(
            f"SELECT {index}, payload, attempt FROM {chunks} "
            f"WHERE stream_id = %s AND {index} >= %s AND {index} <= ("
            "SELECT MAX(last) FROM ("
            f"SELECT {index} AS last, SUM(size) OVER (ORDER BY {index}) AS total "
            f"FROM (SELECT {index}, LENGTH(payload) AS size FROM {chunks} "
            f"WHERE stream_id = %s AND {index} >= %s ORDER BY {index} LIMIT %s) sizes"
            ") totals WHERE total <= %s OR last = %s"
            f") ORDER BY {index}",
            (stream, start, stream, start, limit, size, start),
        )
        return [(row[0], bytes(row[1]), row[2]) for row in cursor.fetchall()]


def topics(run_id: str, namespace: str = "") -> tuple[Topic, ...]:
    """What to watch for in order to follow a stream."""
    return ((STREAM, stream_id(run_id, namespace)), (DONE, run_id))


class _Reading:
    """Where a reader is, and whether it has come to the end."""

    def __init__(self, run_id: str, namespace: str, start: int) -> None:
        self._run_id = run_id
        self._namespace = namespace
        self._start = operator.index(start)
        self._next: int | None = None
        self.is_over = False

    def read(self) -> list[Chunk]:
        """The next chunks, none if there are none yet."""
        if self._next is not None and (chunks := self._read(self._next)):
            return chunks
        # In this order: what a closed stream holds is known before it is read.
        state = stream_state(self._run_id, self._namespace)
        if self._next is None:
            self._next = state.first(self._start)
        if self._next >= state.length:
            self.is_over = state.is_closed
            return []
        return self._read(self._next)

    def _read(self, start: int) -> list[Chunk]:
        chunks = read_chunks(self._run_id, self._namespace, start)
        if chunks:
            self._next = chunks[-1].index + 1
        return chunks


def read_stream(run: Run, namespace: str = "", start: int = 0) -> Iterator[Any]:
    """The values of a stream as they come; see ``Run.stream``."""
    reading = _Reading(run.pk, namespace, start)
    step = context.current_step()
    with ExitStack() as stack:
        watch: Watch | None = None
        while not reading.is_over:
            chunks = reading.read()
            for chunk in chunks:
                yield chunk.data
            if chunks or reading.is_over:
                continue
            if watch is None:
                # It looks once more before it waits: something may just have come.
                _refuse_in_transaction(run)
                watch = stack.enter_context(watching(*topics(run.pk, namespace)))
                continue
            with nullcontext() if step is None else step.waiting():
                watch.wait()


async def aread_stream(
    run: Run, namespace: str = "", start: int = 0
) -> AsyncIterator[Any]:
    """The same without holding a thread while nothing happens."""
    reading = _Reading(run.pk, namespace, start)
    read = sync_to_async(reading.read)
    with ExitStack() as stack:
        watch: Watch | None = None
        while not reading.is_over:
            chunks = await read()
            for chunk in chunks:
                yield chunk.data
            if chunks or reading.is_over:
                continue
            if watch is None:
                await sync_to_async(_refuse_in_transaction)(run)
                watch = stack.enter_context(watching(*topics(run.pk, namespace)))
                continue
            await watch.async_wait()


def _refuse_in_transaction(run: Run) -> None:
    if connection().in_atomic_block:
        raise RuntimeError(
            f"stream() of the open run {run.pk} inside transaction.atomic(): what is "
            "written next would not be seen, and with an uncommitted start() never "
            "come. Read after the block; in tests use django_workflows.testing."
        )
