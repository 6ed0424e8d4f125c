"""Sends to websockets without filling the memory for clients that read slowly.

Other servers wait in `send()`. Daphne takes whatever it is given and keeps it until the
client reads; and it applies to what we send the limit meant for what clients send.
"""

from __future__ import annotations

import asyncio
from functools import partial
from typing import Any


class Sender:
    """Sends over one websocket.

    To Daphne's side of it, it is a push producer, as Twisted calls it: the transport
    says when it was given more than it could send, and when that has gone.
    """

    def __init__(self, send: Any) -> None:
        self._send = send
        self._is_free = asyncio.Event()
        self._is_free.set()
        self._protocol = _protocol_of(send)
        if self._protocol is not None:
            # The HTTP channel that the handshake came through is registered still.
            self._protocol.unregisterProducer()
            self._protocol.registerProducer(self, True)

    async def send(self, text: str) -> None:
        """Send once the client has read most of what it was sent before."""
        await self.drain()
        message = {"type": "websocket.send", "text": text}
        if self._protocol is None:
            await self._send(message)
            return
        limit = self._protocol.maxMessagePayloadSize
        self._protocol.maxMessagePayloadSize = 0
        try:
            # Nothing is received meanwhile: Daphne's send() never suspends.
            await self._send(message)
        finally:
            self._protocol.maxMessagePayloadSize = limit

    async def drain(self) -> None:
        """Return once the client has read most of what it was sent."""
        await self._is_free.wait()

    def pauseProducing(self) -> None:  # noqa: N802
        """More was sent than the client has read."""
        self._is_free.clear()

    def resumeProducing(self) -> None:  # noqa: N802
        """The client has read it."""
        self._is_free.set()

    def stopProducing(self) -> None:  # noqa: N802
        """The connection is lost; sending does nothing any more."""
        self._is_free.set()


def _protocol_of(send: Any) -> Any:
    """Daphne's side of the connection; None under another server.

    Daphne binds `send()` to it, and Channels' session middleware wraps that.
    """
    while (inner := getattr(send, "__self__", None)) is not None:
        send = getattr(inner, "real_send", None)
    if not isinstance(send, partial) or not send.args:
        return None
    return send.args[0] if hasattr(send.args[0], "registerProducer") else None
