"""The websocket that follows a run; described in docs/reference/websocket.md."""

from __future__ import annotations

import asyncio
import logging
from functools import partial
from typing import Any

from channels.generic.websocket import AsyncWebsocketConsumer

from django_workflows.push.admission import RefusedError, admit
from django_workflows.push.following import follow
from django_workflows.push.hub import get_hub
from django_workflows.push.readers import get_readers
from django_workflows.push.requests import Wanted
from django_workflows.push.sending import Sender

logger = logging.getLogger("django_workflows.push")

#: The run has ended, and everything was sent.
OVER = 1000
#: Something went wrong here; reconnecting goes on where it was.
ERROR = 1011


class RunConsumer(AsyncWebsocketConsumer):
    """Sends what a run does and writes, as it happens; what it receives it ignores."""

    # A layer that nobody configures: hints are listened to once for all clients.
    channel_layer_alias = "django_workflows: none"

    _sending: asyncio.Task[None] | None = None

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        try:
            await super().__call__(scope, receive, send)
        finally:
            # Not only when the client leaves: servers cancel what they end.
            if self._sending is not None:
                self._sending.cancel()
                await asyncio.wait([self._sending])

    async def connect(self) -> None:
        run_id = self.scope["url_route"]["kwargs"]["run_id"]
        try:
            wanted, events = await get_readers().run(partial(admit, self.scope, run_id))
        except RefusedError:
            await self.close()
            return
        await self.accept()
        self._sending = asyncio.create_task(self._send_all(wanted, events))

    async def _send_all(self, wanted: Wanted, events: bool) -> None:
        code = ERROR
        sender = Sender(self.base_send)
        try:
            async with get_hub().subscribe(wanted.run_id, wanted.namespace) as source:
                messages = follow(
                    source, wanted.start, chunks=wanted.chunks, events=events
                )
                async for message in messages:
                    await sender.send(message.text)
            # Servers give a client little time once its connection is being closed.
            await sender.drain()
            code = OVER
        except Exception:
            logger.exception(
                "a websocket of run %s ended with an error",
                wanted.run_id,
                extra={"action": "websocket_failed", "run_id": wanted.run_id},
            )
        await self.close(code=code)
