"""Websockets without a network."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from channels.auth import AuthMiddlewareStack
from channels.routing import URLRouter
from channels.testing import WebsocketCommunicator
from django.contrib.auth.models import User
from django.test import Client

from django_workflows.routing import websocket_urlpatterns
from tests.cluster.harness import DEADLINE

BARE = URLRouter(websocket_urlpatterns)
WRAPPED = AuthMiddlewareStack(BARE)
HERE = "http://testserver"


def login(user: User) -> dict[str, str]:
    """The headers with which a browser of this user comes."""
    client = Client()
    client.force_login(user)
    return {"cookie": f"sessionid={client.cookies['sessionid'].value}", "origin": HERE}


def communicator(
    run_id: str,
    query: str = "",
    headers: dict[str, str] | None = None,
    application: Any = WRAPPED,
) -> WebsocketCommunicator:
    """A websocket for a run, not yet connected."""
    given = [(key.encode(), value.encode()) for key, value in (headers or {}).items()]
    path = f"/ws/workflows/runs/{run_id}/?{query}"
    return WebsocketCommunicator(application, path, headers=given)


class Socket:
    """A websocket that was accepted."""

    def __init__(self, communicator: WebsocketCommunicator) -> None:
        self._communicator = communicator

    async def say(self, **data: Any) -> None:
        """Send something: `text_data` or `bytes_data`."""
        await self._communicator.send_to(**data)

    async def receive(self) -> Any:
        """The next message; an int is the code with which the server has closed."""
        output = await self._communicator.receive_output(timeout=DEADLINE)
        if output["type"] == "websocket.close":
            return output["code"]
        return json.loads(output["text"])

    async def until(self, kind: str) -> list[Any]:
        """The messages up to the first one of a kind, this included."""
        messages = [await self.receive()]
        while messages[-1]["type"] != kind:
            messages.append(await self.receive())
        return messages

    async def rest(self) -> tuple[list[Any], int]:
        """All messages until the server closes, and the code it gives."""
        messages = []
        while not isinstance(message := await self.receive(), int):
            messages.append(message)
        return messages, message


@asynccontextmanager
async def connected(*args: Any, **kwargs: Any) -> AsyncIterator[Socket]:
    """A websocket, accepted, until the block is left."""
    opened = communicator(*args, **kwargs)
    accepted, _ = await opened.connect(timeout=DEADLINE)
    assert accepted
    try:
        yield Socket(opened)
    finally:
        await opened.disconnect(timeout=DEADLINE)
