"""Server-Sent Events: a stream for whoever speaks HTTP, `EventSource` among them."""

from __future__ import annotations

import json
from collections.abc import AsyncGenerator, AsyncIterator, Iterator, Mapping
from contextlib import aclosing
from typing import Any

from asgiref.sync import SyncToAsync, sync_to_async
from django.core.handlers.asgi import ASGIRequest
from django.db import connections
from django.http import StreamingHttpResponse
from drf_spectacular.utils import OpenApiParameter
from rest_framework.renderers import BaseRenderer
from rest_framework.request import Request

from django_workflows.api.base import ErrorsInJSON
from django_workflows.api.openapi import ApiSchema, describe
from django_workflows.push import threaded
from django_workflows.push.following import follow
from django_workflows.push.hub import get_hub
from django_workflows.push.messages import CLOSED, HEARTBEAT, Message
from django_workflows.push.requests import (
    INDEX_SCHEMA,
    FollowView,
    Wanted,
    parse_index,
)

#: Bytes after which a response ends. The browser goes on with another one where it was,
#: once it has read this one: servers keep what a client does not read.
LONGEST_RESPONSE = 16 * 1024 * 1024
#: Milliseconds until a browser asks again, unless it was told that all is over.
RECONNECT = 1000
#: What caches, proxies and middleware are told not to do.
_HEADERS: Mapping[str, str] = {
    "Cache-Control": "no-store",
    "X-Accel-Buffering": "no",
    # Compression would keep a message until there is more to compress.
    "Content-Encoding": "identity",
}


class EventStreamRenderer(BaseRenderer):
    """Stands for the format in content negotiation; errors are JSON."""

    media_type = "text/event-stream"
    format = "event-stream"

    def render(
        self,
        data: Any,
        accepted_media_type: str | None = None,
        renderer_context: Mapping[str, Any] | None = None,
    ) -> bytes:
        return json.dumps(data).encode()


_EVENT = {
    "type": "object",
    "description": "An event of the stream.",
    "properties": {
        "id": {"type": "string", "description": "The index of a chunk."},
        "data": {"type": "string", "description": "A message, as JSON text."},
    },
    "required": ["data"],
}


class StreamView(ErrorsInJSON, FollowView):
    """`runs/{id}/stream/`: the chunks of one of a run's streams as they are written."""

    http_method_names = ["get", "options"]
    renderer_classes = (EventStreamRenderer,)
    schema = ApiSchema()

    @describe(
        operation_id="runs_stream",
        parameters=[
            OpenApiParameter("namespace", str, description="Which stream of the run."),
            OpenApiParameter(
                "start",
                INDEX_SCHEMA,
                description="Index of the first chunk; negative: from the end.",
            ),
            OpenApiParameter(
                "chunks",
                str,
                enum=["0"],
                description="`0`: only what becomes of the run, until it has ended.",
            ),
            OpenApiParameter(
                "Last-Event-ID",
                # As text: browsers send an empty one, too.
                {"type": "string", "pattern": "^(-?[0-9]{1,18})?$"},
                OpenApiParameter.HEADER,
                description="Index of the last chunk received; wins over `start`.",
            ),
        ],
        responses={(200, "text/event-stream"): _EVENT},
    )
    def get(self, request: Request, id: str) -> StreamingHttpResponse:  # noqa: A002
        """Server-Sent Events, until the stream is closed.

        Each chunk is an event whose `id` is its index; `data` is a JSON message, as the
        websocket sends it.
        """
        wanted = self.wanted(request, id)
        body: AsyncIterator[bytes] | Iterator[bytes]
        if isinstance(request._request, ASGIRequest):
            body = _encoded(_followed(wanted))
        else:
            body = threaded.drained(_encoded(threaded.followed(wanted)))
        return StreamingHttpResponse(
            body, content_type="text/event-stream; charset=utf-8", headers=_HEADERS
        )

    def start(self, request: Request) -> int:
        """After the last chunk that a browser says it has, when it comes again."""
        start = super().start(request)
        last = request.headers.get("Last-Event-ID", "")
        return parse_index(last, "Last-Event-ID") + 1 if last else start


async def _followed(wanted: Wanted) -> AsyncGenerator[Message, None]:
    await _give_back_thread()
    async with (
        get_hub().subscribe(wanted.run_id, wanted.namespace) as source,
        aclosing(follow(source, wanted.start, chunks=wanted.chunks)) as messages,
    ):
        async for message in messages:
            yield message


async def _encoded(
    messages: AsyncGenerator[Message, None],
) -> AsyncGenerator[bytes, None]:
    """The messages in the format of the answer, up to the end of the stream."""
    yield f"retry: {RECONNECT}\n\n".encode()
    size = 0
    async with aclosing(messages):
        async for message in messages:
            event = _encode(message)
            yield event
            size += len(event)
            if message is CLOSED or size > LONGEST_RESPONSE:
                return


def _encode(message: Message) -> bytes:
    if message is HEARTBEAT:
        return b": heartbeat\n\n"
    number = "" if message.index is None else f"id: {message.index}\n"
    return f"{number}data: {message.text}\n\n".encode()


async def _give_back_thread() -> None:
    """Let go of the thread in which Django has run the request's synchronous parts.

    It would be kept, with its database connections, as long as the client listens.
    """
    await sync_to_async(_close_connections)()
    context = SyncToAsync.thread_sensitive_context.get(None)
    if context is None:
        return
    executor = SyncToAsync.context_to_thread_executor.pop(context, None)
    if executor is not None:
        executor.shutdown(wait=False)


def _close_connections() -> None:
    for database in connections.all(initialized_only=True):
        if not database.in_atomic_block:
            database.close()
