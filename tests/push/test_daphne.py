"""A real Daphne, real workers and real sockets, which are cut and killed."""

from __future__ import annotations

import asyncio
import json
import os
import signal
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import httpx
import psutil
import pytest
import websockets
from django.contrib.auth.models import User
from django.db import connection
from django.test import Client
from websockets.asyncio.client import ClientConnection

from django_workflows import start
from django_workflows.models import Run, Stream, StreamChunk
from django_workflows.store.chunks import stream_id
from tests.browser.site import Site
from tests.cluster.harness import DEADLINE, ClusterProcess
from tests.databases import url_of
from tests.push.workflows import answer, counting

SETTINGS = "tests.push.settings"
MEBIBYTE = 1024 * 1024


@pytest.fixture
def database_url(transactional_db: None, sessions_end: None) -> str:
    return url_of(connection.settings_dict)


@pytest.fixture
def site(database_url: str, tmp_path: Path) -> Iterator[Site]:
    application = "tests.push.asgi:application"
    with Site(
        database_url, tmp_path, settings=SETTINGS, application=application
    ) as site:
        yield site


@pytest.fixture
def cluster(database_url: str, tmp_path: Path) -> Iterator[ClusterProcess]:
    with ClusterProcess(database_url, tmp_path, settings=SETTINGS) as cluster:
        cluster.ready()
        yield cluster


@pytest.fixture
def cookie(database_url: str) -> str:
    client = Client()
    client.force_login(User.objects.create_user("staff", is_staff=True))
    return f"sessionid={client.cookies['sessionid'].value}"


class Visitor:
    """A browser that reads a run, and loses its connection again and again."""

    def __init__(self, site: Site, run: Run, cookie: str) -> None:
        self._site = site
        self._run_id = run.pk
        self._cookie = cookie
        self.chunks: list[tuple[int, Any, int]] = []
        self.connections = 0

    @property
    def next(self) -> int:
        """The index of the first chunk that it does not have."""
        return self.chunks[-1][0] + 1 if self.chunks else 0

    def socket(self, start: int = 0, **options: Any) -> Any:
        path = f"/ws/workflows/runs/{self._run_id}/?start={start}"
        return websockets.connect(
            self._site.url.replace("http", "ws") + path,
            **{"origin": "http://127.0.0.1", "max_size": None, **options},
            additional_headers={"Cookie": self._cookie},
        )

    async def read_socket(self) -> None:
        """Read everything over websockets."""
        while True:
            self.connections += 1
            socket: ClientConnection
            async with self.socket(self.next) as socket:
                with suppress(websockets.ConnectionClosedOK):
                    for _ in range(self.connections * 5):
                        self._take(json.loads(await socket.recv()))
                    socket.transport.abort()
            if socket.close_code == 1000:
                return

    async def read_events(self) -> None:
        """Read everything over Server-Sent Events."""
        url = f"{self._site.url}/workflows/api/runs/{self._run_id}/stream/"
        headers = {"Cookie": self._cookie}
        async with httpx.AsyncClient(headers=headers, timeout=DEADLINE) as client:
            while True:
                self.connections += 1
                last = {"Last-Event-ID": str(self.next - 1)} if self.next else {}
                async with client.stream("GET", url, headers=last) as response:
                    left = self.connections * 5
                    async for line in response.aiter_lines():
                        if line.startswith("data: "):
                            message = json.loads(line.removeprefix("data: "))
                            if message["type"] == "closed":
                                return
                            self._take(message)
                            left -= 1
                            if not left:
                                break

    def _take(self, message: Any) -> None:
        if message["type"] == "chunk":
            chunk = message["index"], message["data"], message["attempt"]
            self.chunks.append(chunk)


def test_visitors_read_the_stream_whatever_breaks(
    site: Site, cluster: ClusterProcess, cookie: str
) -> None:
    run = start(counting, 300, 0.01, is_killed=True)
    visitors = [Visitor(site, run, cookie) for _ in range(2)]

    async def kill_workers() -> None:
        while not all(len(visitor.chunks) > 100 for visitor in visitors):
            await asyncio.sleep(0.01)
        for pid in cluster.pids("worker"):
            # They may be replaced meanwhile.
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)

    async def visit() -> None:
        async with asyncio.TaskGroup() as group, asyncio.timeout(DEADLINE):
            group.create_task(visitors[0].read_socket())
            group.create_task(visitors[1].read_events())
            await kill_workers()

    asyncio.run(visit())
    stored = StreamChunk.objects.filter(stream__run=run).order_by("index")
    expected = [(chunk.index, chunk.data, chunk.attempt) for chunk in stored]
    assert {attempt for _, _, attempt in expected} == {1, 2}
    for visitor in visitors:
        assert visitor.chunks == expected
        assert visitor.connections > 3
    asyncio.run(refused(visitors[0].socket(origin="http://evil.example")))
    asyncio.run(refused(Visitor(site, run, "").socket()))


async def refused(connecting: Any) -> None:
    with pytest.raises(websockets.InvalidStatus) as caught:
        await connecting
    assert caught.value.response.status_code == 403


def test_visitor_who_does_not_read_fills_no_memory(site: Site, cookie: str) -> None:
    run = start(answer, "push:daphne")
    fill(run, 64)
    process = psutil.Process(site.pid)

    async def visit() -> None:
        visitor = Visitor(site, run, cookie)
        # What comes is not taken from the network before it is asked for.
        async with visitor.socket(compression=None, max_queue=4) as socket:
            before = process.memory_info().rss
            # Who reads gets everything meanwhile, so the other could have had it too.
            async with Visitor(site, run, cookie).socket() as other:
                for _ in range(64):
                    await other.recv()
            assert process.memory_info().rss - before < 48 * MEBIBYTE
            while len(visitor.chunks) < 64:
                visitor._take(json.loads(await socket.recv()))
        assert [index for index, _, _ in visitor.chunks] == list(range(64))

    asyncio.run(visit())


def fill(run: Run, mebibytes: int) -> None:
    """Give a run chunks of a mebibyte each."""
    stream = Stream.objects.create(
        id=stream_id(run.pk, ""),
        run=run,
        length=mebibytes,
        created_at=run.created_at,
    )
    payload = b'"' + b"x" * MEBIBYTE + b'"'
    for index in range(mebibytes):
        StreamChunk.objects.create(
            stream=stream, index=index, payload=payload, created_at=run.created_at
        )
