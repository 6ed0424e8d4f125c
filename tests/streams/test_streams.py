"""``get_writable()`` and ``run.stream()``: what is written, and what is read."""

from __future__ import annotations

import tracemalloc
from collections.abc import Callable
from typing import Any

import pytest
from asgiref.sync import async_to_sync
from django.db import connection

from django_workflows import (
    FatalError,
    PayloadTooLargeError,
    RetryPolicy,
    SerializationError,
    StepCancelledError,
    WorkflowRunFailedError,
    Writable,
    continue_as_new,
    create_hook,
    get_step_metadata,
    get_writable,
    start_child,
    step,
    workflow,
)
from django_workflows.models import Run, StreamChunk, Worker
from django_workflows.store import sweep
from django_workflows.testing import WorkflowTester

#: What steps do, by name: a step can be given no function.
acts: dict[str, Callable[[], Any]] = {}


@step(retry=RetryPolicy(initial_interval="1s", maximum_attempts=2))
def act(name: str) -> Any:
    return acts[name]()


@workflow
async def acting(*names: str) -> list[Any]:
    return [await act(name) for name in names]


@step
def write(out: Writable, *values: Any, close: bool = False) -> None:
    for value in values:
        out.write(value)
    if close:
        out.close()


@step
async def awrite(out: Writable, *values: Any, close: bool = False) -> None:
    for value in values:
        await out.awrite(value)
    if close:
        await out.aclose()


WRITERS: list[Any] = [write, awrite]


def finished(workflows: WorkflowTester, target: Any, *args: Any) -> Run:
    run = workflows.start(target, *args)
    workflows.run_until_idle()
    run.refresh_from_db()
    return run


def read(run: Run, namespace: str = "", start: int = 0) -> list[Any]:
    return list(run.stream(namespace, start))


def write_all(*values: Any) -> None:
    for value in values:
        get_writable().write(value)


# -- what is written ------------------------------------------------------------------


@workflow
async def two_streams(writer: Any) -> str:
    default, named = get_writable(), get_writable("test")
    await writer(default, b"Hello, world!")
    await writer(named, b"Hello, named stream!")
    await writer(default, {"foo": "test"}, close=True)
    await writer(named, {"foo": "bar"}, close=True)
    return "done"


@pytest.mark.parametrize("writer", WRITERS)
def test_streams_of_one_run_are_apart(
    db: None, workflows: WorkflowTester, writer: Any
) -> None:
    run = finished(workflows, two_streams, writer)
    assert run.output == "done"
    assert read(run) == [b"Hello, world!", {"foo": "test"}]
    assert read(run, "test") == [b"Hello, named stream!", {"foo": "bar"}]
    assert read(run, "other") == []
    assert [(s.namespace, s.length, s.is_closed) for s in run.streams.all()] == [
        ("", 2, True),
        ("test", 2, True),
    ]


def test_steps_get_streams_of_their_run_themselves(
    db: None, workflows: WorkflowTester
) -> None:
    acts["write"] = lambda: get_writable("ünïcode/✓").write("from the step")
    run = finished(workflows, acting, "write", "write")
    assert read(run, "ünïcode/✓") == ["from the step"] * 2
    assert read(finished(workflows, acting), "ünïcode/✓") == []


VALUES: list[Any] = [
    None,
    0,
    "",
    b"",
    False,
    [],
    {},
    (),
    0.0,
    b"\0\xff",
    "\ud800\0",
    {1: {2, 3}},
]


@workflow
async def writing_all(writer: Any) -> None:
    await writer(get_writable(), *VALUES)


@pytest.mark.parametrize("writer", WRITERS)
def test_every_value_is_a_chunk_and_comes_back_as_it_was(
    db: None, workflows: WorkflowTester, writer: Any
) -> None:
    run = finished(workflows, writing_all, writer)
    assert read(run) == VALUES
    assert list(map(type, read(run))) == list(map(type, VALUES))
    stream = run.streams.get()
    assert [chunk.data for chunk in stream.chunks.all()] == VALUES


@pytest.mark.parametrize(
    ("start", "expected"),
    [(0, "abc"), (1, "bc"), (3, ""), (99, ""), (-1, "c"), (-3, "abc"), (-100, "abc")],
)
def test_reading_begins_where_it_is_told(
    db: None, workflows: WorkflowTester, start: int, expected: str
) -> None:
    acts["write"] = lambda: write_all(*"abc")
    run = finished(workflows, acting, "write")
    assert read(run, start=start) == list(expected)

    async def aread() -> list[Any]:
        return [value async for value in run.astream(start=start)]

    assert async_to_sync(aread)() == list(expected)


def test_large_chunks_are_read_a_few_at_a_time(
    db: None, workflows: WorkflowTester
) -> None:
    sizes = [1, 700_000, 700_000, 0, 1_500_000, 1, 1]
    acts["write"] = lambda: write_all(*[b"x" * size for size in sizes])
    run = finished(workflows, acting, "write")
    assert [len(chunk) for chunk in run.stream()] == sizes


def test_a_long_stream_is_read_in_little_memory(
    db: None, workflows: WorkflowTester
) -> None:
    acts["write"] = lambda: write_all(*["x" * 500_000] * 40)
    run = finished(workflows, acting, "write")
    tracemalloc.start()
    try:
        assert sum(len(chunk) for chunk in run.stream()) == 20_000_000
        assert tracemalloc.get_traced_memory()[1] < 8_000_000
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize("name", ["x" * 256, " ", "\0", 7])
def test_unusable_namespaces_are_refused(
    db: None, workflows: WorkflowTester, name: Any
) -> None:
    acts["write"] = lambda: get_writable(name)
    with pytest.raises(WorkflowRunFailedError) as caught:
        workflows.run(acting, "write")
    assert isinstance(caught.value.cause, ValueError)


# -- who may write --------------------------------------------------------------------


@workflow
async def writing_itself(name: str) -> str:
    out = get_writable()
    try:
        if name.startswith("a"):
            await getattr(out, name)(*([1] if name == "awrite" else []))
        else:
            getattr(out, name)(*([1] if name == "write" else []))
    except RuntimeError as error:
        return str(error)
    return "written"


@pytest.mark.parametrize("name", ["write", "awrite", "close", "aclose"])
def test_workflow_code_does_not_write(
    db: None, workflows: WorkflowTester, name: str
) -> None:
    refusal = workflows.run(writing_itself, name)
    assert refusal.startswith(f"{name}() can only be called inside a step")


def test_nobody_else_writes(db: None) -> None:
    with pytest.raises(RuntimeError, match="inside a workflow or a step"):
        get_writable()
    with pytest.raises(RuntimeError, match="inside a step"):
        Writable("wrun_1").write(1)


@workflow
async def with_a_child(writer: Any) -> Any:
    out = get_writable("shared")
    await writer(out, "parent")
    await start_child(writing_for, out)
    await writer(out, "parent again")


@workflow
async def writing_for(out: Writable) -> None:
    await write(out, "child")
    await write(get_writable("shared"), "the child's own")


@pytest.mark.parametrize("writer", WRITERS)
def test_a_handle_writes_to_the_stream_of_the_run_that_made_it(
    db: None, workflows: WorkflowTester, writer: Any
) -> None:
    run = finished(workflows, with_a_child, writer)
    assert read(run, "shared") == ["parent", "child", "parent again"]
    assert read(run.children.get(), "shared") == ["the child's own"]


@workflow
async def continuing(count: int, before: Writable | None = None) -> None:
    await write(get_writable(), count)
    if before is not None:
        await write_if_open(before)
    if count:
        continue_as_new(count - 1, get_writable())


@step
def write_if_open(out: Writable) -> None:
    with pytest.raises(ValueError, match="is closed"):
        out.write("late")


def test_a_continued_run_has_streams_of_its_own(
    db: None, workflows: WorkflowTester
) -> None:
    run = finished(workflows, continuing, 1)
    successor = Run.objects.get(continued_from=run)
    assert read(run) == [1]
    assert read(successor) == [0]


# -- what cannot be written -----------------------------------------------------------


@pytest.mark.parametrize(
    ("value", "error"),
    [(object(), SerializationError), (b"x" * 3_000_000, PayloadTooLargeError)],
    ids=["unserializable", "too large"],
)
def test_a_value_that_cannot_be_stored_is_refused_where_it_is_written(
    db: None, workflows: WorkflowTester, value: Any, error: type[Exception]
) -> None:
    def tries() -> str:
        out = get_writable()
        out.write("before")
        with pytest.raises(error):
            out.write(value)
        out.write("after")
        return "done"

    acts["try"] = tries
    run = finished(workflows, acting, "try")
    assert run.output == ["done"]
    assert read(run) == ["before", "after"]


# -- closing --------------------------------------------------------------------------


def closes_and_writes() -> str:
    out = get_writable()
    out.write(1)
    out.close()
    out.close()
    with pytest.raises(ValueError, match="closed"):
        out.write(2)
    with pytest.raises(ValueError, match="closed"):
        get_writable().write(3)
    out.close()
    return "closed"


def meets_a_closed_stream() -> str:
    with pytest.raises(ValueError, match="is closed"):
        get_writable().write("late")
    get_writable().close()
    return "refused"


def test_a_closed_stream_takes_nothing_more(
    db: None, workflows: WorkflowTester
) -> None:
    acts.update(close=closes_and_writes, late=meets_a_closed_stream)
    run = finished(workflows, acting, "close", "late")
    assert run.output == ["closed", "refused"]
    assert read(run) == [1]


def test_a_refused_value_that_nobody_sees_fails_the_step(
    db: None, workflows: WorkflowTester
) -> None:
    acts["close"] = lambda: get_writable().close()
    acts["late"] = lambda: get_writable().write("late")
    with pytest.raises(WorkflowRunFailedError) as caught:
        workflows.run(acting, "close", "late")
    assert isinstance(caught.value.cause, ValueError)
    assert "is closed" in str(caught.value.cause)


def test_the_block_of_a_writable_closes_the_stream(
    db: None, workflows: WorkflowTester
) -> None:
    def block() -> None:
        with get_writable() as out:
            out.write("in the block")
        with pytest.raises(ValueError, match="closed"):
            out.write("behind it")

    acts["block"] = block
    run = finished(workflows, acting, "block")
    assert read(run) == ["in the block"]


@step
async def ablock() -> None:
    async with get_writable() as out:
        await out.awrite("in the block")
    with pytest.raises(ValueError, match="closed"):
        await out.awrite("behind it")


@workflow
async def blocking() -> None:
    await ablock()


def test_so_does_the_block_of_an_asynchronous_step(
    db: None, workflows: WorkflowTester
) -> None:
    run = finished(workflows, blocking)
    assert read(run) == ["in the block"]


def test_a_block_that_fails_leaves_the_stream_to_the_next_attempt(
    db: None, workflows: WorkflowTester
) -> None:
    def block() -> None:
        with get_writable() as out:
            attempt = get_step_metadata().attempt
            out.write(attempt)
            if attempt == 1:
                raise ConnectionError

    acts["block"] = block
    run = workflows.start(acting, "block")
    workflows.advance("1s")
    assert read(run) == [1, 2]


# -- attempts -------------------------------------------------------------------------


def test_chunks_of_an_attempt_that_failed_stay(
    db: None, workflows: WorkflowTester
) -> None:
    def fails_once() -> None:
        attempt = get_step_metadata().attempt
        get_writable().write(f"attempt {attempt}")
        if attempt == 1:
            raise ConnectionError

    acts["fail"] = fails_once
    run = workflows.start(acting, "fail")
    workflows.advance("1s")
    assert read(run) == ["attempt 1", "attempt 2"]
    chunks = StreamChunk.objects.filter(stream__run=run).order_by("index")
    assert [(c.index, c.attempt) for c in chunks] == [(0, 1), (1, 2)]
    started = [e for e in run.history() if e.type == "step_started"]
    assert {c.step_id for c in chunks} == {e.correlation_id for e in started}


def test_the_end_of_a_run_closes_its_streams_and_a_retry_opens_them(
    db: None, workflows: WorkflowTester
) -> None:
    broken = [True]

    def fails() -> None:
        if broken:
            raise FatalError("not yet")
        get_writable("closed").write("again")
        get_writable().write("at last")

    def closes() -> None:
        get_writable().write("begun")
        get_writable("closed").write("once")
        get_writable("closed").close()

    acts.update(close=closes, fail=fails)
    run = finished(workflows, acting, "close", "fail")
    assert run.status == "failed"
    assert read(run) == ["begun"]
    broken.clear()
    run.retry()
    assert not any(stream.is_closed for stream in run.streams.all())
    workflows.run_until_idle()
    run.refresh_from_db()
    assert run.status == "completed"
    assert read(run) == ["begun", "at last"]
    assert read(run, "closed") == ["once", "again"]


@workflow
async def waiting() -> None:
    await act("write")
    await create_hook()


def test_readers_of_an_open_run_do_not_wait_in_a_transaction(
    db: None, workflows: WorkflowTester
) -> None:
    acts["write"] = lambda: get_writable().write("so far")
    run = workflows.start(waiting)
    workflows.run_until_idle()
    values = run.stream()
    assert next(values) == "so far"
    with pytest.raises(RuntimeError, match=r"inside transaction\.atomic"):
        next(values)


def test_chunks_survive_a_crash(db: None, workflows: WorkflowTester) -> None:
    acts["write"] = lambda: get_writable().write("once")
    run = workflows.start(waiting)
    workflows.run_until_idle()
    workflows.crash()
    workflows.run_until_idle()
    run.terminate()
    assert read(run) == ["once"]
    workflows.assert_replays(run)


# -- attempts that do not count any more ----------------------------------------------


@workflow
async def acting_with(options: dict[str, Any], name: str) -> Any:
    return await act.options(**options)(name)


OPTIONS: list[dict[str, Any]] = [{}, {"heartbeat_timeout": "30s"}, {"queue": "other"}]


@pytest.mark.parametrize("options", OPTIONS, ids=str)
def test_a_worker_that_was_taken_for_dead_writes_no_more(
    transactional_db: None, workflows: WorkflowTester, options: dict[str, Any]
) -> None:
    refused: list[BaseException] = []

    def outlives_its_worker() -> None:
        out = get_writable()
        out.write(f"attempt {get_step_metadata().attempt}")
        if refused:
            return
        for worker in Worker.objects.filter(stopped_at=None):
            sweep.declare_dead(connection, worker.pk, worker.beat)
        for number in range(2):
            with pytest.raises(StepCancelledError, match="does not count") as caught:
                out.write(number)
            refused.append(caught.value)

    acts["write"] = outlives_its_worker
    run = workflows.start(acting_with, options, "write")
    workflows.run_until_idle()
    workflows.crash()
    workflows.advance("1h")
    run.refresh_from_db()
    assert run.status == "completed"
    assert len(refused) == 2
    assert read(run) == ["attempt 1", "attempt 2"]
