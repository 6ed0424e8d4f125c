"""Streams while a worker writes to them: threads, processes, transactions, zombies."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from asgiref.sync import async_to_sync
from django.db import connection, transaction
from pytest_django.fixtures import Settings

from django_workflows import (
    FatalError,
    RetryPolicy,
    StepCancelledError,
    create_hook,
    get_step_metadata,
    get_writable,
    resume_hook,
    start,
    step,
    workflow,
)
from django_workflows.conf import conf
from django_workflows.models import StreamChunk
from django_workflows.worker import stream_buffers
from tests.app.models import Marker
from tests.clocks import HandClock
from tests.cluster.harness import DEADLINE, until
from tests.faults.threads import one_worker

#: What steps do, by name: a step can be given no function.
acts: dict[str, Callable[[], Any]] = {}
#: Lets steps go on that wait for the test.
go_on = threading.Event()


@pytest.fixture(autouse=True)
def _worker(transactional_db: None, settings: Settings) -> Iterator[None]:
    # It ends as soon as there is nothing to do.
    settings.WORKFLOWS = {"LINGER": "10ms"}
    acts.clear()
    go_on.clear()
    with one_worker(before_end=go_on.set):
        yield


@step(max_retries=0)
def act(name: str) -> Any:
    return acts[name]()


@step(max_retries=0)
async def aact(name: str) -> Any:
    return await acts[name]()


@workflow
async def acting(*names: str) -> list[Any]:
    return [await act(name) for name in names]


@workflow
async def aacting(*names: str) -> list[Any]:
    return [await aact(name) for name in names]


def wait() -> None:
    assert go_on.wait(DEADLINE)


# -- while it runs --------------------------------------------------------------------


def test_chunks_are_read_while_the_step_runs() -> None:
    def writes() -> None:
        out = get_writable()
        for number in range(3):
            out.write(number)
        wait()
        out.write("end")

    acts["write"] = writes
    run = start(acting, "write")
    values = run.stream()
    assert [next(values) for _ in range(3)] == [0, 1, 2]
    go_on.set()
    assert list(values) == ["end"]
    assert run.result(DEADLINE) == [None]


def test_an_asynchronous_reader_follows_an_asynchronous_writer() -> None:
    async def writes() -> None:
        async with get_writable() as out:
            await out.awrite("begun")
            while not go_on.is_set():
                await asyncio.sleep(0.01)
            await out.awrite("end")

    async def reads() -> list[Any]:
        seen = []
        async for value in run.astream():
            seen.append(value)
            go_on.set()
        return seen

    acts["write"] = writes
    run = start(aacting, "write")
    assert async_to_sync(reads)() == ["begun", "end"]
    run.result(DEADLINE)


def test_readers_come_back_when_the_run_ends() -> None:
    acts["wait"] = wait
    run = start(acting, "wait")
    found: list[list[Any]] = []

    def reads() -> None:
        try:
            found.append(list(run.stream()))
        finally:
            connection.close()

    readers = [threading.Thread(target=reads) for _ in range(3)]
    for reader in readers:
        reader.start()
    go_on.set()
    for reader in readers:
        reader.join(DEADLINE)
    assert found == [[], [], []]


@workflow
async def acting_when_told(name: str, token: str) -> None:
    await create_hook(token=token)
    await act(name)


def test_a_reader_within_a_step_lends_its_slot() -> None:
    """More steps read than the worker has threads, and what they read is written by one
    that needs a thread as well."""
    run = start(acting_when_told, "write", "readers are there")
    begun = []

    def reads() -> list[Any]:
        begun.append(1)
        return list(run.stream())

    acts.update(read=reads, write=lambda: get_writable().write("free"))
    readers = [start(acting, "read") for _ in range(conf.THREADS + 4)]
    until(lambda: len(begun) == len(readers), "all readers")
    resume_hook("readers are there", None)
    read = [reader.result(DEADLINE) for reader in readers]
    assert read == [[["free"]]] * len(readers)


# -- many writers ---------------------------------------------------------------------


@workflow
async def gathering(name: str, count: int) -> None:
    await asyncio.gather(*[act(name) for _ in range(count)])


def of_each_writer(values: list[tuple[Any, int]]) -> dict[Any, list[int]]:
    found: dict[Any, list[int]] = {}
    for writer, number in values:
        found.setdefault(writer, []).append(number)
    return found


def test_indexes_have_no_gap_and_each_writer_keeps_its_order() -> None:
    def writes() -> None:
        out, me = get_writable(), get_step_metadata().step_id

        def write_in_thread(name: str) -> None:
            for number in range(40):
                out.write((name, number))

        threads = [
            threading.Thread(target=write_in_thread, args=(f"{me} {i}",))
            for i in range(3)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()

    acts["write"] = writes
    run = start(gathering, "write", 6)
    values = list(run.stream())
    run.result(DEADLINE)
    found = of_each_writer(values)
    assert len(found) == 18
    assert all(numbers == list(range(40)) for numbers in found.values())
    chunks = StreamChunk.objects.filter(stream__run=run).order_by("index")
    assert [chunk.index for chunk in chunks] == list(range(18 * 40))


def test_what_is_not_stored_yet_is_bounded() -> None:
    """Who writes faster than the database stores waits for it."""
    seen: list[int] = []
    buffered = stream_buffers.StreamBuffer.put

    def put(self: Any, payload: bytes) -> None:
        buffered(self, payload)
        seen.append(self._bytes)

    def writes() -> None:
        out = get_writable()
        for _ in range(200):
            out.write(b"x" * 20_000)

    acts["write"] = writes
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(stream_buffers.StreamBuffer, "put", put)
        run = start(acting, "write")
        assert sum(len(chunk) for chunk in run.stream()) == 200 * 20_000
    assert 0 < max(seen) < stream_buffers.LIMIT + 50_000


# -- kinds of steps -------------------------------------------------------------------


@step(isolation="process")
def write_apart(count: int) -> None:
    out = get_writable()
    for number in range(count):
        out.write(number)


@step(isolation="process")
async def awrite_apart(count: int) -> None:
    async with get_writable() as out:
        for number in range(count):
            await out.awrite(number)


@workflow
async def apart(target: Any, count: int) -> None:
    await target(count)


@pytest.mark.parametrize("target", [write_apart, awrite_apart])
def test_steps_in_processes_of_their_own_write_as_well(target: Any) -> None:
    run = start(apart, target, 50)
    assert list(run.stream()) == list(range(50))
    run.result(DEADLINE)


@step(atomic=True, max_retries=0)
def act_atomic(name: str) -> Any:
    return acts[name]()


@workflow
async def acting_atomic(name: str) -> Any:
    return await act_atomic(name)


def test_an_atomic_step_writes_beside_its_transaction() -> None:
    """On SQLite nobody can write beside it: the chunks are stored with its effects."""

    def writes() -> None:
        Marker.objects.create(name="atomic")
        for number in range(100):
            get_writable().write(number)
        if connection.vendor != "sqlite":
            wait()

    acts["write"] = writes
    run = start(acting_atomic, "write")
    values = run.stream()
    assert next(values) == 0
    assert Marker.objects.exists() is (connection.vendor == "sqlite")
    go_on.set()
    assert list(values) == list(range(1, 100))
    run.result(DEADLINE)


def test_writing_within_a_transaction_of_the_step_holds_nothing_up() -> None:
    def writes() -> None:
        out = get_writable()
        with transaction.atomic():
            Marker.objects.create(name="block")
            for _ in range(30):
                out.write(b"x" * 20_000)
            out.close()

    acts["write"] = writes
    run = start(acting, "write")
    assert len(list(run.stream())) == 30
    run.result(DEADLINE)


# -- attempts that do not count any more ----------------------------------------------


@step(timeout=0.2, retry=RetryPolicy(initial_interval=0.01, maximum_attempts=2))
def outlives_its_time(name: str) -> Any:
    return acts[name]()


@workflow
async def overtaken(name: str) -> Any:
    return await outlives_its_time(name)


def test_an_attempt_that_timed_out_writes_no_more(attempt_clock: HandClock) -> None:
    refused: list[BaseException] = []

    def writes() -> None:
        out = get_writable()
        attempt = get_step_metadata().attempt
        out.write(attempt)
        if attempt == 1:
            attempt_clock.advance(1)
            wait()
            try:
                out.write("late")
            except StepCancelledError as error:
                refused.append(error)

    acts["write"] = writes
    run = start(overtaken, "write")
    assert list(run.stream()) == [1, 2]
    run.result(DEADLINE)
    go_on.set()
    until(lambda: refused, "a refusal")
    assert list(run.stream()) == [1, 2]


def test_a_step_of_a_terminated_run_writes_no_more() -> None:
    refused: list[BaseException] = []

    def writes() -> None:
        out = get_writable()
        out.write("before")
        wait()
        try:
            out.write("late")
            out.close()
        except (StepCancelledError, ValueError) as error:
            refused.append(error)

    acts["write"] = writes
    run = start(acting, "write")
    values = run.stream()
    assert next(values) == "before"
    run.terminate()
    assert list(values) == []
    go_on.set()
    until(lambda: refused, "a refusal")
    assert list(run.stream()) == ["before"]


@workflow
async def failing_beside(name: str) -> None:
    beside = act(name)
    await act("fail")
    await beside


def test_a_step_from_before_a_retry_of_its_run_writes_no_more() -> None:
    """It ran on when the run failed, to no effect; the retry runs it once more."""
    refused: list[BaseException] = []
    begun: list[str] = []

    def writes() -> None:
        out = get_writable()
        name = "again" if begun else "first"
        out.write(name)
        begun.append(name)
        if name == "first":
            wait()
            try:
                out.write("late")
                out.close()
            except (StepCancelledError, ValueError) as error:
                refused.append(error)

    def fails() -> None:
        until(lambda: begun, "the first chunk")
        if get_step_metadata().attempt == 1:
            raise FatalError("not yet")

    acts.update(write=writes, fail=fails)
    run = start(failing_beside, "write")
    assert list(run.stream()) == ["first"]
    run.retry()
    until(lambda: len(begun) == 2, "the second attempt")
    values = run.stream()
    assert [next(values), next(values)] == ["first", "again"]
    go_on.set()
    run.result(DEADLINE)
    until(lambda: refused, "a refusal")
    assert list(run.stream()) == ["first", "again"]


@workflow
async def closing_while_written() -> None:
    writing = act("write")
    await create_hook(token="close")
    await act("close")
    await writing


def test_a_stream_that_somebody_else_closes_is_closed_for_all() -> None:
    refused: list[BaseException] = []

    def writes() -> None:
        out = get_writable()
        out.write("before")
        wait()
        try:
            out.write("late")
            out.close()
        except ValueError as error:
            refused.append(error)

    acts.update(write=writes, close=lambda: get_writable().close())
    run = start(closing_while_written)
    values = run.stream()
    assert next(values) == "before"
    resume_hook("close", None)
    assert list(values) == []
    go_on.set()
    run.result(DEADLINE)
    assert "is closed" in str(refused)
    assert list(run.stream()) == ["before"]


# -- before the step's end, and its heartbeats ----------------------------------------


def test_all_chunks_are_there_when_the_step_has_ended() -> None:
    def writes() -> None:
        for number in range(10):
            get_writable(f"stream {number}").write(number)
            get_writable(f"stream {number}").write(-number)

    def counts() -> int:
        run_id = get_step_metadata().run_id
        return StreamChunk.objects.filter(stream__run=run_id).count()

    acts.update(write=writes, count=counts)
    assert start(acting, "write", "count").result(DEADLINE) == [None, 20]


@step(retry=RetryPolicy(initial_interval=0.01, maximum_attempts=2))
async def resuming() -> None:
    """Goes on behind what the details of the last attempt say that it has written."""
    metadata = get_step_metadata()
    out = get_writable()
    for number in range(metadata.heartbeat_details or 0, 40):
        await out.awrite(number)
        metadata.heartbeat(number + 1)
        if number == 20 and metadata.attempt == 1:
            raise ConnectionError


@workflow
async def resumed() -> None:
    await resuming()


def test_details_never_tell_of_more_than_is_stored() -> None:
    run = start(resumed)
    run.result(DEADLINE)
    assert list(run.stream()) == list(range(40))
