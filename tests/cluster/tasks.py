"""Ordinary django-q2 tasks that leave marks in a file, across processes."""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path
from typing import Any


def mark(key: str) -> None:
    """Append a line to the file named by the variable MARKS; atomic, if short."""
    descriptor = os.open(os.environ["MARKS"], os.O_WRONLY | os.O_APPEND | os.O_CREAT)
    try:
        os.write(descriptor, f"{key} {time.monotonic()} {os.getpid()}\n".encode())
    finally:
        os.close(descriptor)


def is_open(gate: str) -> bool:
    """Whether the test has let go on what waits there; see ``ClusterProcess``."""
    return Path(os.environ["MARKS"]).with_name(f"gate-{gate}").exists()


def wait_at_gate(gate: str) -> None:
    """Wait until it is open; if it never is, the process is killed with the test."""
    while not is_open(gate):
        time.sleep(0.02)


def held(key: str, gate: str) -> None:
    """Mark the beginning, wait at the gate, and mark the end."""
    mark(f"{key}-begun")
    wait_at_gate(gate)
    mark(key)


def deadly(key: str) -> None:
    """Take the worker process down."""
    mark(key)
    os.kill(os.getpid(), signal.SIGKILL)


def unpicklable(key: str) -> Any:
    """Return what no result queue can carry."""
    mark(key)
    return lambda: None


def failing(key: str) -> None:
    """Raise."""
    mark(key)
    raise RuntimeError("on purpose")


def bulky(key: str, data: bytes) -> bytes:
    """Take and return more than a pipe or a socket holds."""
    mark(f"{key}-{len(data)}")
    return data * 2
