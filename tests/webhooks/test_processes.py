"""Deliveries to real web servers, for workers in other processes.

``FAULTS=all`` sends a thousand at once to a hundred runs.
"""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import time
from collections import Counter
from collections.abc import Callable, Coroutine, Iterator
from contextlib import AsyncExitStack, ExitStack
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx
import pytest
from asgiref.sync import async_to_sync
from django.db import connection

from django_workflows import resume_hook, start, start_many
from django_workflows.models import Hook, Run
from tests.cluster.harness import DEADLINE, ClusterProcess, until
from tests.databases import url_of
from tests.webhooks.servers import WebServer
from tests.webhooks.settings import TEST_SECRETS
from tests.webhooks.signing import signed
from tests.webhooks.workflows import echoing, greeting_when_told, logging

pytestmark = [pytest.mark.slow, pytest.mark.django_db(transaction=True)]

RUNS, SENDERS = (100, 1000) if os.environ.get("FAULTS") == "all" else (10, 60)
#: Requests that each sender sends one after the other.
ROUNDS = 2
ROUTE = "/.well-known/workflow/v1/webhook/"


class Site:
    """A web server and a cluster of workers, on the test's database."""

    def __init__(self, folder: Path, stack: ExitStack) -> None:
        self._folder, self._stack = folder, stack
        self._url = url_of(connection.settings_dict)
        self.web = stack.enter_context(WebServer(self._url, folder))
        command = ["workflows", "--settings=tests.webhooks.settings", "worker"]
        cluster = ClusterProcess(self._url, folder, *command, "--processes", "2")
        self.cluster = stack.enter_context(cluster)
        self.port = self.web.port()
        self.address = f"http://127.0.0.1:{self.port}{ROUTE}"
        cluster.ready()

    def restart_web(self) -> None:
        """Kill the web server, and start another one in its place."""
        self.web.kill()
        web = WebServer(self._url, self._folder, self.port)
        self.web = self._stack.enter_context(web)
        self.web.port()


@pytest.fixture
def site(sessions_end: None, transactional_db: None, tmp_path: Path) -> Iterator[Site]:
    with ExitStack() as stack:
        yield Site(tmp_path, stack)


@dataclass
class Sent:
    """What became of the requests, by their texts. Times by the test's clock."""

    sent: dict[str, float] = field(default_factory=dict)
    answered: dict[str, float] = field(default_factory=dict)

    async def send(
        self, client: httpx.AsyncClient, url: str, text: str, scheme: str | None
    ) -> None:
        """Send a request. One that is signed is sent again until it is answered, any
        other only if it was refused: SQLite's lock may be busy for long."""
        end = time.monotonic() + DEADLINE
        while time.monotonic() < end:
            self.sent.setdefault(text, time.monotonic())
            headers = {}
            if scheme is not None:
                args = (scheme, TEST_SECRETS[0], text.encode(), datetime.now(UTC))
                headers = signed(*args, delivery_id=text)
            try:
                answer = await client.post(url, content=text, headers=headers)
            except httpx.TransportError:
                if scheme is None:
                    return
            else:
                if answer.status_code != 503:
                    assert answer.status_code == 202
                    self.answered[text] = time.monotonic()
                    return
            await asyncio.sleep(0.05)
        raise AssertionError(f"{text} was not answered in {DEADLINE} s")

    def check(self, texts: list[str], of: str) -> None:
        """Check what a run has received: all that was answered, nothing twice, in an
        order that contradicts no answer."""
        mine = {text for text in self.sent if text.startswith(of)}
        counted = Counter(texts)
        assert set(counted.values()) <= {1}
        assert mine & self.answered.keys() <= counted.keys() <= mine
        last_sent = 0.0
        for text in texts:
            assert self.answered.get(text, last_sent) >= last_sent
            last_sent = max(last_sent, self.sent[text])


def begin(schemes: list[str | None]) -> list[Run]:
    """One run for each of the schemes, whose webhooks are there."""
    args = [(f"run{number}", scheme) for number, scheme in enumerate(schemes)]
    runs = start_many(logging, args)
    until(lambda: Hook.objects.count() == len(runs), "all webhooks")
    return runs


async def send_all(
    site: Site,
    schemes: list[str | None],
    meanwhile: Callable[[Sent], Coroutine[Any, Any, None]] | None = None,
) -> Sent:
    """Let all senders send at once, and then tell each run that this is the end."""
    sent = Sent()
    async with AsyncExitStack() as stack:
        # One for each run: the time that one takes grows with its connections squared.
        clients = [
            await stack.enter_async_context(
                httpx.AsyncClient(verify=False, timeout=DEADLINE)
            )
            for _ in schemes
        ]

        async def one_sender(number: int) -> None:
            run = number % len(schemes)
            url = f"{site.address}run{run}"
            for turn in range(ROUNDS):
                text = f"run{run}: {number}.{turn}"
                await sent.send(clients[run], url, text, schemes[run])

        async with asyncio.TaskGroup() as group:
            for number in range(SENDERS):
                group.create_task(one_sender(number))
            if meanwhile is not None:
                await meanwhile(sent)
        for run, scheme in enumerate(schemes):
            url = f"{site.address}run{run}"
            await Sent().send(clients[run], url, "end", scheme)
    return sent


def test_answers_of_steps_come_from_other_processes(site: Site) -> None:
    count = SENDERS // 2
    run = start(echoing, count)
    until(Hook.objects.exists, "the webhook")

    async def ask() -> list[httpx.Response]:
        async with httpx.AsyncClient(timeout=DEADLINE) as client:
            url = f"{site.address}echo"
            texts = (f"no. {number}" for number in range(count))
            return await asyncio.gather(*[client.post(url, content=t) for t in texts])

    answers = async_to_sync(ask)()
    assert [answer.status_code for answer in answers] == [200] * count
    assert [answer.text for answer in answers] == [f"no. {n}" for n in range(count)]
    assert run.result(timeout=DEADLINE) == count
    # A sender that goes away meanwhile does not make the step fail.
    run = start(greeting_when_told)
    until(Hook.objects.exists, "the webhook")
    with socket.create_connection(("127.0.0.1", site.port)) as sender:
        head = f"POST {ROUTE}w HTTP/1.1\r\nHost: test\r\nContent-Length: 1\r\n\r\n"
        sender.sendall(head.encode() + b"x")
        until(Hook.objects.filter(token="go").exists, "the request to be taken")
    resume_hook("go", None)
    assert run.result(timeout=DEADLINE) == "answered"


def test_concurrent_deliveries_arrive_once_and_in_the_order_of_their_answers(
    site: Site,
) -> None:
    schemes: list[str | None] = [None] * RUNS
    runs = begin(schemes)
    sent = async_to_sync(send_all)(site, schemes)
    assert len(sent.answered) == SENDERS * ROUNDS
    for number, run in enumerate(runs):
        sent.check(run.result(timeout=120), f"run{number}:")


def test_what_was_answered_outlives_killed_processes(site: Site) -> None:
    """The web server and a worker die in the middle of it. Senders that sign their
    requests send them again, the others do not know what has become of theirs."""
    schemes: list[str | None] = [None, "github"] * (RUNS // 2)
    runs = begin(schemes)

    async def kill(sent: Sent) -> None:
        while len(sent.answered) < SENDERS * ROUNDS // 3:
            await asyncio.sleep(0.001)
        os.kill(site.cluster.pids("worker")[0], signal.SIGKILL)
        await asyncio.to_thread(site.restart_web)

    sent = async_to_sync(send_all)(site, schemes, kill)
    repeated = [text for text in sent.sent if int(text[3 : text.index(":")]) % 2]
    assert set(repeated) <= sent.answered.keys()
    assert len(sent.answered) >= SENDERS * ROUNDS // 3
    for number, run in enumerate(runs):
        sent.check(run.result(timeout=120), f"run{number}:")
