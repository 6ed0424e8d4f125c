"""One look and one reading for all clients, and nothing that falls in between."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator
from contextlib import AsyncExitStack
from functools import partial
from typing import Any

import pytest
from asgiref.sync import sync_to_async
from django.db.utils import OperationalError

from django_workflows import resume_hook, start
from django_workflows.models import Run, Stream, StreamChunk
from django_workflows.push import following, hub
from django_workflows.push.hub import get_hub
from django_workflows.push.messages import chunk_messages
from django_workflows.store.following import look
from tests.cluster.harness import DEADLINE
from tests.faults.threads import one_worker
from tests.push.sockets import Socket, connected
from tests.push.workflows import counting, obey

COUNT = 500
TOKEN = "push:hub"


@pytest.fixture
def worker(staff: dict[str, str], settings: Any) -> Iterator[None]:
    # It ends as soon as there is nothing to do.
    settings.WORKFLOWS = {"LINGER": "10ms"}
    with one_worker():
        yield


async def numbers(socket: Socket) -> list[int]:
    """The numbers that come until the server closes."""
    messages, code = await socket.rest()
    assert code == 1000
    return [message["data"] for message in messages if message["type"] == "chunk"]


@pytest.mark.usefixtures("worker")
async def test_many_clients_cost_what_one_costs(
    staff: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    read: list[int] = []

    def counted(stream_id: str, start: int) -> Any:
        messages = chunk_messages(stream_id, start)
        read.append(len(messages))
        return messages

    monkeypatch.setattr(hub, "chunk_messages", counted)
    run = await sync_to_async(start)(obey, TOKEN)
    while not await run.hooks.aexists():
        await asyncio.sleep(0.01)
    order = sync_to_async(resume_hook)
    async with AsyncExitStack() as stack:
        sockets = [
            await stack.enter_async_context(connected(run.pk, "", staff))
            for _ in range(30)
        ]
        following = asyncio.gather(*map(numbers, sockets))
        for first in range(0, COUNT, 50):
            await order(TOKEN, {"values": [*range(first, first + 50)]})
        await order(TOKEN, {})
        seen = await following
    assert seen == [list(range(COUNT))] * 30
    # Whoever wanted a chunk, it was read once.
    assert sum(read) == COUNT
    assert get_hub().clients == 0
    # Threads and their connections go when there is nothing to read.
    while "workflows-reader" in {thread.name for thread in threading.enumerate()}:
        await asyncio.sleep(0.05)


@pytest.mark.usefixtures("worker")
async def test_what_is_written_during_a_look_is_not_lost(
    staff: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The run ends, and its last chunks are written, after what the look saw."""
    run = await sync_to_async(start)(counting, 3)

    def look_before_the_end(wanted: Any) -> Any:
        seen = look(wanted)
        if wanted:
            run.result(DEADLINE)
        return seen

    monkeypatch.setattr(hub, "look", look_before_the_end)
    async with connected(run.pk, "", staff) as socket:
        assert await numbers(socket) == [0, 1, 2]


@pytest.mark.usefixtures("worker")
async def test_outage_of_the_database_ends_no_conversation(
    staff: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    run = await sync_to_async(start)(counting, 3)
    monkeypatch.setattr(hub, "OUTAGE_PAUSE", 0.01)
    monkeypatch.setattr(following, "RETRY", 0.01)
    outages = {"look": 3, "chunk_messages": 2, "event_messages": 1}

    def failing_at_first(name: str) -> Any:
        function = getattr(hub, name)

        def fail_or_call(*args: Any) -> Any:
            if outages[name]:
                outages[name] -= 1
                raise OperationalError("the server has gone away")
            return function(*args)

        return fail_or_call

    for name in outages:
        monkeypatch.setattr(hub, name, failing_at_first(name))
    async with connected(run.pk, "events=1", staff) as socket:
        assert await numbers(socket) == [0, 1, 2]
    assert not any(outages.values())


async def test_error_of_ours_is_told_as_one(
    staff: dict[str, str],
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    def broken(wanted: Any) -> Any:
        raise LookupError("a bug")

    run = await sync_to_async(start)(counting, 3)
    monkeypatch.setattr(hub, "look", broken)
    async with connected(run.pk, "", staff) as socket:
        assert await socket.rest() == ([], 1011)
    assert "a bug" in caplog.text


async def test_page_of_large_chunks_is_small(staff: dict[str, str]) -> None:
    """Large chunks are read one by one, however many there are."""
    run: Run = await sync_to_async(start)(counting, 0)
    source = await sync_to_async(_fill)(run, 6)
    pages = hub.Pages(partial(chunk_messages, source))
    assert [len(await pages.get(index, 6)) for index in range(6)] == [1] * 6


def _fill(run: Run, count: int) -> str:
    stream = Stream.objects.create(
        id="strm_large", run=run, length=count, created_at=run.created_at
    )
    payload = b'"' + b"x" * 300_000 + b'"'
    StreamChunk.objects.bulk_create(
        StreamChunk(
            stream=stream, index=index, payload=payload, created_at=run.created_at
        )
        for index in range(count)
    )
    return stream.id
