"""`fetch` on the loop of a worker's asynchronous steps."""

from __future__ import annotations

import socket
import time
from collections.abc import Callable, Iterator
from queue import SimpleQueue
from typing import Any

import pytest

from django_workflows import FetchResponse, fetch
from django_workflows.core import serialization
from django_workflows.replay.options import StepOptions
from django_workflows.worker.attempt import Attempt, Ended
from django_workflows.worker.executor import Executor
from tests.clocks import HandClock
from tests.cluster.harness import DEADLINE
from tests.http.server import Answer, Server


@pytest.fixture
def ends() -> SimpleQueue[Ended]:
    return SimpleQueue()


@pytest.fixture
def executor(ends: SimpleQueue[Ended]) -> Iterator[Executor]:
    def report(ended: Ended, done: Callable[[], None]) -> None:
        done()
        ends.put(ended)

    made = Executor(1, 100, report)
    yield made
    made.close()


def attempt_of(number: int, url: str, **options: Any) -> Attempt:
    return Attempt(
        step=fetch,
        settings=StepOptions().replaced(options),
        run_id="wrun_test",
        step_id=f"step_{number}_{time.monotonic_ns()}",
        number=1,
        args=serialization.dumps_call((url,), {}),
        workflow={},
        worker_id="wrkr_test",
        queue="default",
        priority=0,
        run_queue="default",
        created_us=0,
        started_us=0,
    )


def test_many_at_once(
    executor: Executor, ends: SimpleQueue[Ended], server: Server
) -> None:
    server.handler = lambda asked: Answer(body=asked.path.encode())
    urls = [server.url(f"/{number}") for number in range(60)]
    executor.submit([attempt_of(number, url) for number, url in enumerate(urls)])
    bodies = {}
    for _ in urls:
        ended = ends.get(timeout=DEADLINE)
        assert ended.error is None
        assert ended.result is not None
        response = serialization.loads(ended.result)
        assert isinstance(response, FetchResponse)
        bodies[response.url] = response.body.decode()
    assert bodies == {url: f"/{number}" for number, url in enumerate(urls)}


def test_connection_is_closed_when_the_attempt_is_given_up(
    executor: Executor,
    ends: SimpleQueue[Ended],
    allow_private: None,
    attempt_clock: HandClock,
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.settimeout(DEADLINE)
        url = f"http://127.0.0.1:{listener.getsockname()[1]}/"
        executor.submit([attempt_of(1, url, timeout="300ms")])
        connection, _ = listener.accept()
        with connection:
            connection.settimeout(DEADLINE)
            assert connection.recv(65536).startswith(b"GET / HTTP/1.1\r\n")
            attempt_clock.advance(1)
            assert ends.get(timeout=DEADLINE).timed_out == "start_to_close"
            assert connection.recv(65536) == b""
