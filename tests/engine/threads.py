"""Calls on other threads, whose database connections are closed again."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

from django.db import connections

T = TypeVar("T")


def in_thread(function: Callable[[], T]) -> T:
    """Call a function on a thread of its own, with a connection of its own."""
    return in_threads([function])[0]


def in_threads(functions: Sequence[Callable[[], T]]) -> list[T]:
    """Call functions at once, each on a thread; return results in the order given."""

    def call(function: Callable[[], T]) -> T:
        try:
            return function()
        finally:
            connections.close_all()

    with ThreadPoolExecutor(len(functions)) as pool:
        return list(pool.map(call, functions))
