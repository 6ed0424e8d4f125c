"""Queues that survive the death of any process."""

from __future__ import annotations

import multiprocessing
import os
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from queue import Empty, Full
from typing import Any

import pytest

from django_workflows.worker.q2.queues import LONGEST_INLINE, MessageQueue
from tests.cluster.harness import DEADLINE

MakeQueue = Callable[[int], MessageQueue]

fork = multiprocessing.get_context("fork")


@pytest.fixture
def make_queue() -> Iterator[MakeQueue]:
    """Return a function that makes a queue with a limit (0: none)."""
    with ExitStack() as stack:

        def make(limit: int) -> MessageQueue:
            queue = MessageQueue(limit)
            stack.callback(queue.close)
            return queue

        yield make


@pytest.fixture
def queue(make_queue: MakeQueue) -> MessageQueue:
    return make_queue(0)


def test_messages_come_in_order(queue: MessageQueue) -> None:
    for number in range(5):
        queue.put({"number": number})
    assert [message["number"] for message in queue.take_all()] == [0, 1, 2, 3, 4]
    assert queue.empty()
    assert queue.take_all() == []


def test_long_messages_travel_in_files(queue: MessageQueue) -> None:
    message = os.urandom(40 * LONGEST_INLINE)
    queue.put(message)
    queue.put("short")
    assert queue.get() == message
    assert queue.get() == "short"


@pytest.mark.parametrize("size", [1, 5_000, 2 * LONGEST_INLINE])
def test_a_full_queue_makes_the_writer_wait(make_queue: MakeQueue, size: int) -> None:
    queue = make_queue(2)
    queue.put("x" * size)
    queue.put("y" * size)
    with pytest.raises(Full):
        queue.put("z", timeout=0.01)
    assert queue.get() == "x" * size
    queue.put("z", timeout=0.01)
    assert len(queue.take_all()) == 2


def test_an_empty_queue_makes_the_reader_wait(queue: MessageQueue) -> None:
    began = time.monotonic()
    with pytest.raises(Empty):
        queue.get(timeout=0.02)
    assert time.monotonic() - began >= 0.02


def test_unpicklable_result_becomes_a_failure(queue: MessageQueue) -> None:
    queue.put({"id": "x", "success": True, "result": lambda: None})
    message = queue.get()
    assert message["success"] is False
    assert "cannot be pickled" in message["result"]


def test_other_unpicklable_messages_are_the_callers_error(queue: MessageQueue) -> None:
    with pytest.raises((AttributeError, TypeError)):
        queue.put(lambda: None)


def _read(queue: MessageQueue, ready: Any) -> None:
    ready.set()
    while True:
        queue.get()


def _write(queue: MessageQueue, ready: Any) -> None:
    ready.set()
    while True:
        queue.put(b"x" * 10_000)


def _start(target: Any, queue: MessageQueue) -> Any:
    ready = fork.Event()
    process = fork.Process(target=target, args=(queue, ready))
    process.start()
    assert ready.wait(DEADLINE)
    return process


@pytest.mark.parametrize("victim", ["reader", "writer"])
def test_killed_processes_leave_a_usable_queue(
    make_queue: MakeQueue, victim: str
) -> None:
    """Stock queues are stuck after the first such death, or after a few."""
    queue = make_queue(2)
    for _ in range(10):
        process = _start(_read if victim == "reader" else _write, queue)
        os.kill(process.pid, signal.SIGKILL)
        process.join()
        queue.take_all()
    queue.put("alive", timeout=DEADLINE)
    assert queue.get(timeout=DEADLINE) == "alive"
