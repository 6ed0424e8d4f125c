"""Waits for clients that read slowly, where the server does not.

Daphne takes whatever it is given and keeps it until the client reads: one that does not
could fill its memory. Other servers wait in `send()` by themselves.
"""

from __future__ import annotations

import asyncio
from functools import partial
from typing import Any


class Pressure:
    """Knows whether a client still has to read what was sent before.

    A push producer, as Twisted calls it: its transport says when it was given more than
    it could send, and when that has gone.
    """

    def __init__(self, send: Any) -> None:
        self._is_free = asyncio.Event()
        self._is_free.set()
        protocol = _protocol_of(send)
        if protocol is not None:
            # The HTTP channel that the handshake came through is registered still.
            protocol.unregisterProducer()
            protocol.registerProducer(self, True)

    async def wait(self) -> None:
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
