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


def look(
    run_id: str, namespace: str = "", start: int = 0, limit: int = BATCH
) -> tuple[StreamState, list[Chunk]]:
    """The state of a run's stream, written to or not, and its chunks from index `start`
    (not negative) on, as of one moment.

    At most `limit` chunks, and of bytes about BATCH_BYTES, but one if there is one.
    Raises WorkflowRunNotFoundError.
    """
    database = connection()
    index = database.ops.quote_name("index")
    stream = stream_id(run_id, namespace)
    condition, values = _batch(index, stream, start, limit, BATCH_BYTES)
    with database.cursor() as cursor:
        cursor.execute(
            f"SELECT r.finished_at, s.length, s.closed_at, c.{index}, c.payload, "
            "c.attempt FROM django_workflows_run r "
            "LEFT JOIN django_workflows_stream s ON s.id = %s "
            f"LEFT JOIN django_workflows_streamchunk c ON {condition} "
            f"WHERE r.id = %s ORDER BY c.{index}",
            [stream, *values, run_id],
        )
        rows = cursor.fetchall()
    if not rows:
        raise WorkflowRunNotFoundError(f"there is no workflow run {run_id!r}")
    finished_at, length, closed_at = rows[0][:3]
    chunks = [_chunk(*row[3:]) for row in rows if row[3] is not None]
    state = StreamState(length or 0, is_closed=closed_at is not None)
    if finished_at is not None and not state.is_closed:
        state = StreamState(_final_length(stream), is_closed=True)
    return state, chunks


def _chunk(index: int, payload: Any, attempt: int) -> Chunk:
    return Chunk(index, serialization.loads(unseal(bytes(payload))), attempt)


def _final_length(stream: str) -> int:
    """The length of a stream whose run has ended.

    Whoever writes looks at the run under this lock: what was begun before the end is
    stored now, and nothing will be begun.
    """
    database = connection()
    with database.cursor() as cursor:
        cursor.execute(
            "SELECT length FROM django_workflows_stream "
            f"WHERE id = %s{SHARE.get(database.vendor, '')}",
            (stream,),
        )
        row = cursor.fetchone()
    return 0 if row is None else int(row[0])


def stream_state(run_id: str, namespace: str = "") -> StreamState:
    """The state of a run's stream, written to or not.

    Raises WorkflowRunNotFoundError.
    """
    return look(run_id, namespace, limit=0)[0]


def read_sealed(
    stream: str, start: int, limit: int, size: int = BATCH_BYTES
) -> list[tuple[int, bytes, int]]:
    """Chunks of the stream with this id as they are stored: index, payload, attempt.

    From index `start` (not negative) on: at most `limit`, and of bytes about `size`,
    but one if there is one.
    """
    database = connection()
    index = database.ops.quote_name("index")
    condition, values = _batch(index, stream, start, limit, size)
    with database.cursor() as cursor:
        cursor.execute(
            f"SELECT c.{index}, c.payload, c.attempt "
            f"FROM django_workflows_streamchunk c WHERE {condition} ORDER BY c.{index}",
            values,
        )
        return [(row[0], bytes(row[1]), row[2]) for row in cursor.fetchall()]


def _batch(
    index: str, stream: str, start: int, limit: int, size: int
) -> tuple[str, list[Any]]:
    """The condition for chunks `c` to be read at once, with its parameters.

    Lengths are known without reading the payloads. As indexes have no gaps, the limit
    is a range of them, which an index finds whatever the planner believes.
    """
    condition = (
        f"c.stream_id = %s AND c.{index} >= %s AND c.{index} < %s AND c.{index} <= ("
        "SELECT MAX(last) FROM ("
        f"SELECT {index} AS last, SUM(size) OVER (ORDER BY {index}) AS total "
        f"FROM (SELECT {index}, LENGTH(payload) AS size "
        "FROM django_workflows_streamchunk "
        f"WHERE stream_id = %s AND {index} >= %s AND {index} < %s) sizes"
        ") totals WHERE total <= %s OR last = %s)"
    )
    some = [stream, start, start + limit]
    return condition, [*some, *some, size, start]


def topics(run_id: str, namespace: str = "") -> tuple[Topic, ...]:
    """What to watch for in order to follow a stream."""
    return ((STREAM, stream_id(run_id, namespace)), (DONE, run_id))


class _Reading:
    """Where a reader is, and whether it has come to the end."""

    def __init__(self, run_id: str, namespace: str, start: int) -> None:
        self._of = (run_id, namespace)
        self._next = operator.index(start)
        #: There is nothing more for now; there never will be.
        self.has_all = self.is_over = False

    def read(self) -> list[Any]:
        """The next values, none if there are none yet."""
        if self._next < 0:
            self._next = stream_state(*self._of).first(self._next)
        state, chunks = look(*self._of, self._next)
        self._next += len(chunks)
        self.has_all = self._next >= state.length
        self.is_over = self.has_all and state.is_closed
        return [chunk.data for chunk in chunks]


def read_stream(run: Run, namespace: str = "", start: int = 0) -> Iterator[Any]:
    """The values of a stream as they come; see ``Run.stream``."""
    reading = _Reading(run.pk, namespace, start)
    step = context.current_step()
    with ExitStack() as stack:
        watch: Watch | None = None
        while True:
            yield from reading.read()
            if reading.is_over:
                return
            if not reading.has_all:
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
        while True:
            for value in await read():
                yield value
            if reading.is_over:
                return
            if not reading.has_all:
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
