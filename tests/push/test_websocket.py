"""What a websocket sends of a run, from its start to its end and after it."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from typing import Any

import pytest
from asgiref.sync import sync_to_async

from django_workflows import resume_hook, start
from django_workflows.models import Run
from tests.faults.threads import one_worker
from tests.push.sockets import connected
from tests.push.workflows import counting, obey

TOKEN = "push:orders"

order = sync_to_async(resume_hook)
astart = sync_to_async(start)


@pytest.fixture
def worker(staff: dict[str, str], settings: Any) -> Iterator[None]:
    # It ends as soon as there is nothing to do.
    settings.WORKFLOWS = {"LINGER": "10ms", "REDACT": ["secret"]}
    with one_worker():
        yield


async def waiting_run() -> Run:
    """A run that waits for orders."""
    run = await astart(obey, TOKEN)
    while not await run.hooks.aexists():
        await asyncio.sleep(0.01)
    return run


def chunks(messages: list[Any]) -> list[Any]:
    return [message["data"] for message in messages if message["type"] == "chunk"]


async def test_run_is_followed_from_before_it_begins(
    staff: dict[str, str], settings: Any
) -> None:
    settings.WORKFLOWS = {"LINGER": "10ms", "REDACT": ["secret"]}
    run = await astart(obey, TOKEN)
    async with connected(run.pk, "events=1", staff) as socket:
        assert await socket.receive() == {"type": "status", "status": "pending"}
        assert (await socket.receive())["event"]["type"] == "run_created"
        with one_worker():
            seen = await socket.until("status")
            assert seen[-1] == {"type": "status", "status": "running"}
            while not await run.hooks.aexists():
                await asyncio.sleep(0.01)
            values = ["a", b"\0", {"secret": 1, "shown": float("nan")}]
            await order(TOKEN, {"values": values, "close": True})
            seen += await socket.until("closed")
            await order(TOKEN, {"values": ["elsewhere"], "namespace": "other"})
            await order(TOKEN, {})
            last, code = await socket.rest()
    seen += last
    assert [message for message in seen if message["type"] == "chunk"] == [
        {"type": "chunk", "index": 0, "data": "a", "attempt": 1},
        {
            "type": "chunk",
            "index": 1,
            "data": "AA==",
            "encoding": "base64",
            "attempt": 1,
        },
        {
            "type": "chunk",
            "index": 2,
            "data": {"secret": "[redacted]", "shown": "NaN"},
            "attempt": 1,
        },
    ]
    assert last[-1] == {"type": "status", "status": "completed"}
    assert code == 1000
    events = [message["event"] for message in seen if message["type"] == "event"]
    history = await run.ahistory()
    assert [event["seq"] for event in events] == [event.seq for event in history[1:]]
    assert [event["type"] for event in events] == [event.type for event in history[1:]]
    assert set(events[0]) == {"seq", "type", "correlation_id", "data", "created_at"}
    assert TOKEN not in str(events[1])
    assert events[1]["type"] == "hook_created"


@pytest.mark.usefixtures("worker")
async def test_namespaces_are_followed_apart(staff: dict[str, str]) -> None:
    run = await waiting_run()
    query = "namespace=%C3%A4%20b"
    async with connected(run.pk, query, staff) as socket:
        await order(TOKEN, {"values": [1], "namespace": ""})
        await order(TOKEN, {"values": [2], "namespace": "ä b"})
        await order(TOKEN, {})
        messages, _ = await socket.rest()
    assert chunks(messages) == [2]
    for start_at, expected in [("0", [2]), ("-1", [2]), ("1", [])]:
        async with connected(run.pk, f"{query}&start={start_at}", staff) as socket:
            messages, code = await socket.rest()
            assert chunks(messages) == expected
            assert messages[-2:] == [
                {"type": "status", "status": "completed"},
                {"type": "closed"},
            ]
            assert code == 1000


@pytest.mark.usefixtures("worker")
async def test_run_alone_is_followed_beyond_its_streams(staff: dict[str, str]) -> None:
    run = await waiting_run()
    async with connected(run.pk, "chunks=0", staff) as socket:
        await order(TOKEN, {"values": [1], "close": True})
        assert await run.astream().__anext__() == 1
        await order(TOKEN, {})
        messages, code = await socket.rest()
    assert messages[-2:] == [
        {"type": "status", "status": "completed"},
        {"type": "closed"},
    ]
    assert {message["type"] for message in messages} == {"status", "closed"}
    assert code == 1000


@pytest.mark.usefixtures("worker")
async def test_reconnecting_loses_and_repeats_nothing(staff: dict[str, str]) -> None:
    run = await astart(counting, 400, 0.002)
    seen: list[int] = []
    connections = 0
    code = 0
    while not code:
        query = f"start={len(seen)}"
        connections += 1
        async with connected(run.pk, query, staff) as socket:
            # Cut after ever more messages.
            for _ in range(connections * 3):
                message = await socket.receive()
                if isinstance(message, int):
                    code = message
                    break
                seen += chunks([message])
    assert seen == list(range(400))
    assert connections > 5
    assert code == 1000


@pytest.mark.usefixtures("worker")
async def test_run_that_is_retried_is_followed_by_whoever_comes_back(
    staff: dict[str, str],
) -> None:
    run = await waiting_run()
    async with connected(run.pk, "", staff) as socket:
        await order(TOKEN, {"values": ["before"]})
        await order(TOKEN, {"fail": run.pk})
        messages, code = await socket.rest()
    assert chunks(messages) == ["before"]
    assert messages[-2:] == [{"type": "status", "status": "failed"}, {"type": "closed"}]
    assert code == 1000
    await run.arefresh_from_db()
    await run.aretry()
    async with connected(run.pk, "start=1", staff) as socket:
        await order(TOKEN, {"values": ["after"]})
        await order(TOKEN, {})
        messages, code = await socket.rest()
    assert chunks(messages) == ["after"]
    assert messages[-2] == {"type": "status", "status": "completed"}


async def test_run_that_is_deleted_is_over(staff: dict[str, str]) -> None:
    run = await astart(obey, TOKEN)
    async with connected(run.pk, "", staff) as socket:
        await socket.until("status")
        # What a client says is of no interest.
        await socket.say(text_data='{"type": "status"}')
        await socket.say(bytes_data=b"\0")
        await Run.objects.filter(pk=run.pk).adelete()
        assert await socket.rest() == ([{"type": "closed"}], 1000)
