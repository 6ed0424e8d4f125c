"""Ordinary django-q2 tasks that leave marks in a file, across processes."""

from __future__ import annotations

import os
import signal
import time
from typing import Any


def mark(key: str) -> None:
    """Append a line to the file named by the variable MARKS; atomic, if short."""
    descriptor = os.open(os.environ["MARKS"], os.O_WRONLY | os.O_APPEND | os.O_CREAT)
    try:
        os.write(descriptor, f"{key} {time.monotonic()} {os.getpid()}\n".encode())
    finally:
        os.close(descriptor)


def slow(key: str, seconds: float) -> None:
    """Mark the beginning, take a while, and mark the end."""
    mark(f"{key}-begun")
    time.sleep(seconds)
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
