"""From a step's write to a browser, over websockets: one client, and a crowd."""

from __future__ import annotations

import asyncio
import json
import time

import psutil
from websockets.asyncio.client import connect

from benchmarks import workflows
from benchmarks.bench import Bench, new_token
from benchmarks.machine import MIB
from benchmarks.website import website
from django_workflows import aresume_hook, start

#: Seconds between two chunks: for one client, and for a crowd.
PACE, CROWDED_PACE = 0.05, 0.2


def push(bench: Bench, rep: int) -> None:
    """The time from ``write()`` to each client, and what a crowd costs the server.

    The crowd is on this machine too: what it takes to read is in its latency.
    """
    with website() as (address, server):
        for clients, pace in ((1, PACE), (bench.sizes.crowd, CROWDED_PACE)):
            name = "push" if clients == 1 else f"push_{clients}"
            before = server.memory_info().rss
            token = new_token()
            run = start(workflows.written_when_told, token, bench.sizes.tokens, pace)
            bench.await_hook(token)
            crowd = _Crowd(f"{address}/ws/workflows/runs/{run.pk}/", server)
            asyncio.run(crowd.listen(clients, token))
            bench.result(run)
            report = bench.report
            report.latency(name, crowd.latencies, rep)
            grown = (crowd.rss - before) / MIB
            report.add(name, "server_rss_grown", grown, "MiB", rep)
            report.add(name, "server_cpu", crowd.cpu * 100, "%", rep)


class _Crowd:
    """Clients of one run, and what they cost the server while it writes.

    `rss` is in bytes; `cpu` is the part of one processor that the server took.
    """

    def __init__(self, url: str, server: psutil.Process) -> None:
        self.latencies: list[float] = []
        self.rss = 0
        self.cpu = 0.0
        self._url = url
        self._server = server
        self._waiting = 0
        self._are_connected = asyncio.Event()

    async def listen(self, clients: int, token: str) -> None:
        """Connect, let the run write, and listen to its end."""
        self._waiting = clients
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(self._client()) for _ in range(clients)]
            await self._are_connected.wait()
            used, began = self._used(), time.perf_counter()
            await aresume_hook(token, None)
            await asyncio.wait(tasks)
            self.cpu = (self._used() - used) / (time.perf_counter() - began)
            self.rss = self._server.memory_info().rss

    async def _client(self) -> None:
        async with connect(self._url, compression=None, open_timeout=60) as socket:
            async for text in socket:
                now = time.time()
                message = json.loads(text)
                if message["type"] == "chunk":
                    self.latencies.append(now - message["data"])
                elif message["type"] == "status" and message["status"] == "running":
                    self._waiting -= 1
                    if not self._waiting:
                        self._are_connected.set()

    def _used(self) -> float:
        times = self._server.cpu_times()
        return times.user + times.system
