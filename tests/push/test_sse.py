"""Server-Sent Events, under ASGI and under WSGI."""

from __future__ import annotations

import asyncio
import gc
import json
import threading
from collections.abc import AsyncIterator, Iterator
from typing import Any

import pytest
from asgiref.sync import sync_to_async
from django.core.handlers.asgi import ASGIHandler
from django.test import Client

from django_workflows import get_writable, resume_hook, start, step, workflow
from django_workflows.models import Run
from django_workflows.push import threaded
from django_workflows.push.hub import get_hub
from django_workflows.testing import WorkflowTester
from tests.cluster.harness import DEADLINE
from tests.faults.threads import one_worker
from tests.push.workflows import obey

TOKEN = "push:events"


@step
def say(*values: Any, close: bool) -> None:
    out = get_writable()
    for value in values:
        out.write(value)
    if close:
        out.close()


@workflow(name="push.saying")
async def saying(*values: Any, close: bool = False) -> None:
    await say(*values, close=close)


def url(run: Run, query: str = "") -> str:
    return f"/workflows/api/runs/{run.pk}/stream/?{query}"


def parsed(body: bytes) -> list[tuple[str | None, dict[str, Any]]]:
    """The events of an answer: id and message."""
    events = []
    for block in body.decode().split("\n\n"):
        fields = dict(line.split(": ", 1) for line in block.splitlines())
        if "data" in fields:
            events.append((fields.get("id"), json.loads(fields["data"])))
    return events


# --- WSGI -----------------------------------------------------------------------------


def read(client: Client, path: str, **headers: str) -> Any:
    response: Any = client.get(path, headers={"accept": "text/event-stream"} | headers)
    assert response.status_code == 200
    return parsed(b"".join(response.streaming_content))


@pytest.fixture
def said(workflows: WorkflowTester) -> Run:
    """A run that has written three chunks."""
    run = start(saying, "a", b"\0", {"x": 1})
    workflows.run_until_idle()
    return run


def test_all_of_a_run_that_has_ended(admin_client: Client, said: Run) -> None:
    assert read(admin_client, url(said)) == [
        (None, {"type": "status", "status": "completed"}),
        ("0", {"type": "chunk", "index": 0, "data": "a", "attempt": 1}),
        (
            "1",
            {
                "type": "chunk",
                "index": 1,
                "data": "AA==",
                "encoding": "base64",
                "attempt": 1,
            },
        ),
        ("2", {"type": "chunk", "index": 2, "data": {"x": 1}, "attempt": 1}),
        (None, {"type": "status", "status": "completed"}),
        (None, {"type": "closed"}),
    ]


@pytest.mark.parametrize(
    ("query", "last", "ids"),
    [
        ("start=1", "", ["1", "2"]),
        ("start=-1", "", ["2"]),
        ("start=99", "", []),
        ("start=0", "1", ["2"]),
        ("", "2", []),
    ],
)
def test_where_it_begins(
    admin_client: Client, said: Run, query: str, last: str, ids: list[str]
) -> None:
    found = read(admin_client, url(said, query), **{"last-event-id": last})
    assert [number for number, _ in found if number is not None] == ids
    assert found[-1] == (None, {"type": "closed"})


def test_status_alone(admin_client: Client, said: Run) -> None:
    assert [
        message["type"] for _, message in read(admin_client, url(said, "chunks=0"))
    ] == [
        "status",
        "closed",
    ]


@pytest.mark.parametrize(
    ("query", "headers", "status"),
    [
        ("start=x", {}, 400),
        ("", {"last-event-id": "x"}, 400),
        ("", {"accept": "text/html"}, 406),
    ],
)
def test_bad_request_is_refused_in_json(
    admin_client: Client, said: Run, query: str, headers: dict[str, str], status: int
) -> None:
    accept = {"accept": "text/event-stream"}
    response = admin_client.get(url(said, query), headers=accept | headers)
    assert response.status_code == status
    assert response.headers["Content-Type"] == "application/json"
    assert response.json()


def test_who_may_not_read_the_run_may_not_follow_it(
    admin_client: Client, client: Client, said: Run
) -> None:
    assert client.get(url(said)).status_code == 403
    assert admin_client.get(url(Run(id="wrun_0"))).status_code == 404
    assert admin_client.head(url(said)).status_code == 405


def test_nothing_on_the_way_may_keep_it(admin_client: Client, said: Run) -> None:
    headers = admin_client.get(url(said)).headers
    assert headers["Content-Type"] == "text/event-stream; charset=utf-8"
    assert headers["Cache-Control"] == "no-store"
    assert headers["X-Accel-Buffering"] == "no"


@pytest.mark.parametrize("limit", ["LONGEST_WAIT", "_places"])
def test_clients_of_wsgi_are_sent_away_to_come_again(
    admin_client: Client, workflows: WorkflowTester, limit: str, monkeypatch: Any
) -> None:
    no_room = threading.BoundedSemaphore()
    no_room.acquire()
    values = {"LONGEST_WAIT": 0.0, "_places": no_room}
    monkeypatch.setattr(threaded, limit, values[limit])
    run = start(obey, TOKEN)
    response: Any = admin_client.get(url(run))
    assert b"".join(response.streaming_content) == (
        b'retry: 1000\n\ndata: {"type":"status","status":"pending"}\n\n'
    )
    # Nobody's place is given back who had none.
    assert isinstance(threaded._places, threading.BoundedSemaphore)


# --- ASGI -----------------------------------------------------------------------------


@pytest.fixture
def worker(staff: dict[str, str], settings: Any) -> Iterator[None]:
    # It ends as soon as there is nothing to do.
    settings.WORKFLOWS = {"LINGER": "10ms"}
    with one_worker():
        yield


class Request:
    """A request to Django's ASGI handler, as a server makes it."""

    def __init__(self, path: str, headers: dict[str, str]) -> None:
        path, _, query = path.partition("?")
        scope = {
            "type": "http",
            "method": "GET",
            "path": path,
            "query_string": query.encode(),
            "headers": [
                (key.encode(), value.encode()) for key, value in headers.items()
            ],
        }
        self._received: asyncio.Queue[Any] = asyncio.Queue()
        self._sent: asyncio.Queue[Any] = asyncio.Queue()
        self._received.put_nowait({"type": "http.request", "body": b""})
        self.handling = asyncio.create_task(
            ASGIHandler()(scope, self._received.get, self._sent.put)
        )

    def leave(self) -> None:
        """Disconnect."""
        self._received.put_nowait({"type": "http.disconnect"})

    async def messages(self) -> AsyncIterator[Any]:
        """The messages of the answer as they come."""
        begun = await asyncio.wait_for(self._sent.get(), DEADLINE)
        assert begun["status"] == 200
        while part := (await asyncio.wait_for(self._sent.get(), DEADLINE)).get("body"):
            for event in parsed(part):
                yield event


@pytest.mark.usefixtures("worker")
async def test_chunks_come_as_they_are_written(staff: dict[str, str]) -> None:
    run = await sync_to_async(start)(obey, TOKEN)
    while not await run.hooks.aexists():
        await asyncio.sleep(0.01)
    order = sync_to_async(resume_hook)
    request = Request(url(run), staff)
    messages = request.messages()
    assert (await anext(messages))[1]["type"] == "status"
    for value in ("a", "b"):
        await order(TOKEN, {"values": [value]})
        assert (await anext(messages))[1]["data"] == value
    await order(TOKEN, {"values": [], "close": True})
    assert [message async for message in messages] == [(None, {"type": "closed"})]
    await request.handling
    await order(TOKEN, {})


async def test_client_that_leaves_is_forgotten_at_once(staff: dict[str, str]) -> None:
    run = await sync_to_async(start)(obey, TOKEN)
    before = set(threading.enumerate())
    requests = [Request(url(run), staff) for _ in range(3)]
    for request in requests:
        await anext(request.messages())
    assert get_hub().clients == 3
    # No thread of theirs is left: those that look are the same for all.
    while any(
        not thread.name.startswith("workflows-")
        for thread in set(threading.enumerate()) - before
    ):
        await asyncio.sleep(0.01)
    for request in requests:
        request.leave()
        await request.handling
    gc.collect()
    assert get_hub().clients == 0
