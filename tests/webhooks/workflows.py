"""Workflows with webhooks, for the tests of this folder."""

from __future__ import annotations

import asyncio
from typing import Any

from django_workflows import (
    WebhookRequest,
    WebhookResponse,
    create_hook,
    create_webhook,
    hmac_signature,
    sleep,
    step,
    workflow,
)


@step(max_retries=0)
def greet(request: WebhookRequest) -> str:
    request.respond_with(WebhookResponse.text(f"Hello, {request.text()}!", 201))
    return "answered"


@step(max_retries=0)
async def agreet(request: WebhookRequest) -> str:
    await request.arespond_with(WebhookResponse.json({"hello": request.json()}))
    return "answered"


@workflow
async def receiving(token: str = "w", **options: Any) -> WebhookRequest:
    """Returns the first request."""
    request: WebhookRequest = await create_webhook(token, **options)
    return request


@workflow
async def collecting(token: str, count: int, **options: Any) -> list[bytes]:
    """Returns the bodies of several requests."""
    bodies: list[bytes] = []
    with create_webhook(token, **options) as hook:
        while len(bodies) < count:
            bodies.append((await hook).body)
    return bodies


@workflow
async def greeting(token: str = "w", delay: str | None = None) -> Any:
    request = await create_webhook(token, respond_with="manual")
    if delay is not None:
        await sleep(delay)
    return await greet(request)


@workflow
async def greeting_when_told(token: str = "w") -> Any:
    request = await create_webhook(token, respond_with="manual")
    await create_hook("go")
    return await greet(request)


@workflow
async def agreeting(token: str = "w") -> Any:
    return await agreet(await create_webhook(token, respond_with="manual"))


@workflow
async def signed(token: str, scheme: str, count: int = 1) -> list[bytes]:
    verify = hmac_signature("TEST_SECRETS", scheme=scheme)
    hook = create_webhook(token, verify=verify)
    return [(await hook).body for _ in range(count)]


@workflow
async def plain(token: str) -> Any:
    return await create_hook(token)


@workflow
async def logging(token: str, scheme: str | None = None) -> list[str]:
    """Returns the texts of all requests until one says "end"."""
    verify = None if scheme is None else hmac_signature("TEST_SECRETS", scheme=scheme)
    texts: list[str] = []
    async for request in create_webhook(token, verify=verify):
        if request.text() == "end":
            return texts
        texts.append(request.text())
    raise AssertionError("nobody disposes of it")


@step
async def echo(request: WebhookRequest) -> int:
    await request.arespond_with(WebhookResponse.text(request.text()))
    return 1


@workflow
async def echoing(count: int) -> int:
    """Answers so many requests with what they say."""
    hook = create_webhook("echo", respond_with="manual")
    return sum(await asyncio.gather(*[echo(await hook) for _ in range(count)]))
