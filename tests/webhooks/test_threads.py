"""On which threads the database work of the route is done."""

from __future__ import annotations

import asyncio
import threading
from contextvars import ContextVar

import pytest
from asgiref.sync import ThreadSensitiveContext, async_to_sync
from django.db import connections

from django_workflows.store.database import alias
from django_workflows.webhooks.threads import THREADS, in_database

_given: ContextVar[str] = ContextVar("given")


def here() -> tuple[str, str]:
    return threading.current_thread().name, _given.get("")


async def many(count: int) -> list[tuple[str, str]]:
    _given.set("by the request")
    return await asyncio.gather(*[in_database(here) for _ in range(count)])


def test_requests_under_asgi_share_few_threads() -> None:
    async def serve() -> list[tuple[str, str]]:
        async with ThreadSensitiveContext():
            return await many(100)

    found = async_to_sync(serve)()
    threads = {name for name, _ in found}
    assert all(name.startswith("workflows-webhooks") for name in threads)
    assert len(threads) <= THREADS
    assert {given for _, given in found} == {"by the request"}


def test_elsewhere_it_is_the_thread_of_the_request() -> None:
    found = async_to_sync(many)(3)
    assert found == [(threading.current_thread().name, "by the request")] * 3


@pytest.mark.django_db(transaction=True)
def test_connection_is_given_back_when_it_is_obsolete() -> None:
    """As Django does at the end of a request: with CONN_MAX_AGE=0 it is closed."""
    seen = []

    def work() -> None:
        connection = connections[alias()]
        connection.ensure_connection()
        connection.close_at = 0
        seen.append(connection)

    async def serve() -> None:
        async with ThreadSensitiveContext():
            await in_database(work)

    async_to_sync(serve)()
    assert seen[0].connection is None
