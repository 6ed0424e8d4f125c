"""Database work of asynchronous views, on few connections however many requests."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextvars import copy_context
from functools import lru_cache
from typing import TypeVar

from asgiref.sync import SyncToAsync, sync_to_async
from django.db import close_old_connections

T = TypeVar("T")

#: Threads, each with a connection, for all requests of a process.
THREADS = 8


async def in_database(function: Callable[[], T]) -> T:
    """Call a function that uses the database.

    An ASGI server gives every request a thread of its own, and so a connection: there
    it is called on one of few threads that they share. Elsewhere, under WSGI and in
    tests, on the thread that the request came in on, with its connection and its
    transaction.
    """
    if SyncToAsync.thread_sensitive_context.get(None) is None:
        return await sync_to_async(function)()
    context = copy_context()
    return await asyncio.get_running_loop().run_in_executor(
        _threads(), lambda: context.run(_call, function)
    )


def _call(function: Callable[[], T]) -> T:
    close_old_connections()
    try:
        return function()
    finally:
        close_old_connections()  # kept, or given back, as CONN_MAX_AGE says


@lru_cache(maxsize=1)
def _threads() -> ThreadPoolExecutor:
    return ThreadPoolExecutor(THREADS, thread_name_prefix="workflows-webhooks")


os.register_at_fork(after_in_child=_threads.cache_clear)
