"""Streams through crashes, lost connections and what the database refuses."""

from __future__ import annotations

import asyncio
import os
import random
import signal
import threading
from collections.abc import Iterator
from typing import Any

import pytest
from django.db import connection, transaction
from django.db.utils import DataError, OperationalError
from pytest_django.fixtures import Settings

from django_workflows import (
    RetryPolicy,
    WorkflowError,
    WorkflowRunFailedError,
    get_step_metadata,
    get_writable,
    start,
    step,
    workflow,
)
from django_workflows.models import Run, StreamChunk
from django_workflows.store.chunks import append, find_stored
from django_workflows.worker import flusher
from tests.cluster.harness import DEADLINE, until
from tests.faults.threads import one_worker


@pytest.fixture(autouse=True)
def _worker(transactional_db: None, settings: Settings) -> Iterator[None]:
    # It ends as soon as there is nothing to do.
    settings.WORKFLOWS = {"LINGER": "10ms"}
    with one_worker():
        yield


def indexes(run: Run) -> list[int]:
    chunks = StreamChunk.objects.filter(stream__run=run).order_by("index")
    return [chunk.index for chunk in chunks]


# -- the process ----------------------------------------------------------------------


@step(isolation="process", retry=RetryPolicy(initial_interval=0.01))
def dies_once(count: int) -> None:
    metadata = get_step_metadata()
    out = get_writable()
    begin = metadata.heartbeat_details or 0
    for number in range(begin, count):
        out.write((metadata.attempt, number))
        if number % 5 == 4:
            metadata.heartbeat(number + 1)
        if number == count // 2 and metadata.attempt == 1:
            os.kill(os.getpid(), signal.SIGKILL)


@workflow
async def dying(count: int) -> None:
    await dies_once(count)


def test_what_was_stored_before_a_crash_stays() -> None:
    run = start(dying, 40)
    run.result(DEADLINE)
    values = list(run.stream())
    assert indexes(run) == list(range(len(values)))
    first = [number for attempt, number in values if attempt == 1]
    second = [number for attempt, number in values if attempt == 2]
    # In order, with nothing missing: some of what came after the last details twice.
    assert first == list(range(len(first)))
    assert second == list(range(second[0], 40))
    assert second[0] <= len(first)
    assert values == [(1, n) for n in first] + [(2, n) for n in second]


# -- the connection -------------------------------------------------------------------


@step(max_retries=0)
def writes_much(count: int) -> None:
    out, me = get_writable(), get_step_metadata().step_id

    def write(name: str) -> None:
        for number in range(count):
            out.write((name, number))

    threads = [
        threading.Thread(target=write, args=(f"{me} {name}",)) for name in range(2)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


@step(max_retries=0)
async def awrites_much(count: int) -> None:
    out, me = get_writable(), get_step_metadata().step_id
    for number in range(count):
        await out.awrite((me, number))
        await asyncio.sleep(0)


@workflow
async def writing_much(count: int) -> None:
    each = [writes_much(count), awrites_much(count)]
    await asyncio.gather(*each, *[awrites_much(count) for _ in range(2)])


@pytest.mark.parametrize("seed", range(3))
def test_nothing_is_lost_or_doubled_whatever_the_connection_does(
    monkeypatch: pytest.MonkeyPatch, seed: int
) -> None:
    """Some transactions never happen, of others it is only not known that they did."""
    chance = random.Random(seed)
    fates: list[str] = []

    def unreliable(*args: Any) -> Any:
        fates.append(chance.choice(["never", "unknown", "stored"]))
        if fates[-1] == "never":
            raise OperationalError("the connection was lost")
        done = append(*args)
        if fates[-1] == "unknown":
            raise OperationalError("the connection was lost")
        return done

    monkeypatch.setattr(flusher, "append", unreliable)
    monkeypatch.setattr(flusher, "PAUSE", 0.001)
    monkeypatch.setattr(flusher, "BATCH_BYTES", 200)
    run = start(writing_much, 60)
    run.result(DEADLINE)
    found: dict[str, list[int]] = {}
    values = list(run.stream())
    for writer, number in values:
        found.setdefault(writer, []).append(number)
    assert len(found) == 5
    assert all(numbers == list(range(60)) for numbers in found.values())
    assert indexes(run) == list(range(len(values)))
    assert set(fates) == {"never", "unknown", "stored"}


@pytest.mark.skipif(
    connection.vendor == "sqlite", reason="its transactions end with their process"
)
def test_a_transaction_that_outlives_its_connection_is_waited_for(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The server commits after its client has asked whether it did: without the lock
    the client would find nothing, and store the chunks once more."""
    has_written, was_asked = threading.Event(), threading.Event()
    transactions = 0
    orphan: list[threading.Thread] = []

    def go_on(appends: Any) -> None:
        try:
            with transaction.atomic():
                append(connection, appends)
                has_written.set()
                until(lambda: was_asked.is_set() or _somebody_waits(), "a question")
        finally:
            connection.close()

    def lose_connection(database: Any, appends: Any) -> Any:
        nonlocal transactions
        transactions += 1
        if transactions != 2:  # the first makes the stream
            return append(database, appends)
        orphan.append(threading.Thread(target=go_on, args=(appends,)))
        orphan[0].start()
        assert has_written.wait(DEADLINE)
        raise OperationalError("the connection was lost")

    def ask(*args: Any) -> Any:
        found = find_stored(*args)
        was_asked.set()
        return found

    monkeypatch.setattr(flusher, "append", lose_connection)
    monkeypatch.setattr(flusher, "find_stored", ask)
    run = start(writing, "once")
    run.result(DEADLINE)
    orphan[0].join(DEADLINE)
    assert list(run.stream("once")) == ["once", "once"]


def _somebody_waits() -> bool:
    """Whether the server makes a transaction wait for a lock."""
    waiting = {
        "postgresql": "SELECT COUNT(*) FROM pg_locks WHERE NOT granted",
        "mysql": "SELECT variable_value FROM information_schema.global_status "
        "WHERE variable_name = 'Innodb_row_lock_current_waits'",
    }
    with connection.cursor() as cursor:
        cursor.execute(waiting[connection.vendor])
        return int(cursor.fetchone()[0]) > 0


@step(max_retries=0)
def writes(name: str) -> None:
    get_writable(name).write(name)
    get_writable(name).write(name)


@workflow
async def writing(name: str) -> None:
    await writes(name)


def test_a_chunk_that_the_database_refuses_fails_its_step_alone(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def picky(database: Any, appends: Any) -> Any:
        if any(each.namespace == "refused" for each in appends):
            raise DataError("not this one")
        return append(database, appends)

    monkeypatch.setattr(flusher, "append", picky)
    names = ["kept", "refused", "kept too"]
    runs = {name: start(writing, name) for name in names}
    with pytest.raises(WorkflowRunFailedError) as caught:
        runs.pop("refused").result(DEADLINE)
    assert isinstance(caught.value.cause, WorkflowError)
    assert "not this one" in str(caught.value.cause)
    for name, run in runs.items():
        run.result(DEADLINE)
        assert list(run.stream(name)) == [name, name]
