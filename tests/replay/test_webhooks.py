"""Webhooks in workflow code: their URLs, their facts, what is refused."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from django_workflows import (
    WebhookRequest,
    WebhookResponse,
    create_webhook,
    hmac_signature,
    workflow,
)
from django_workflows.replay.blocking import RunBlocked
from tests.replay.driver import Driver, check_replays, drive

REQUEST = WebhookRequest("PUT", "http://h/?q=1", [("A", "1"), ("a", "2")], b"\x00")


def test_payload_is_the_request_and_the_url_holds_the_token() -> None:
    @workflow
    async def flow() -> Any:
        with create_webhook("a/b %ü?", metadata={"for": "tests"}) as hook:
            request = await hook
            return [hook.url, request, request.headers.getlist("A")]

    run = drive(flow)
    run.send("a/b %ü?", REQUEST)
    url, request, repeated = run.result
    assert url.endswith("/.well-known/workflow/v1/webhook/a%2Fb%20%25%C3%BC%3F")
    assert (request, repeated) == (REQUEST, ["1", "2"])
    assert run.count("hook_disposed") == 1
    check_replays(run)


def test_generated_tokens_differ() -> None:
    @workflow
    async def flow() -> Any:
        return [create_webhook().url, create_webhook().url]

    one, two = drive(flow).result
    assert one != two
    assert len(one.rpartition("/")[2]) >= 20


def test_iteration_ends_when_it_is_disposed_of() -> None:
    @workflow
    async def flow() -> Any:
        hook = create_webhook("w")
        bodies = []
        async for request in hook:
            bodies.append(request.body)
            if len(bodies) == 2:
                hook.dispose()
        return bodies

    run = drive(flow)
    run.send("w", REQUEST)
    run.send("w", REQUEST)
    assert run.result == [b"\x00", b"\x00"]
    check_replays(run)


def test_carried_hook_becomes_a_webhook_with_what_it_received() -> None:
    @workflow
    async def flow() -> Any:
        await asyncio.sleep(1)
        hook = create_webhook("w")
        return [(await hook).body, hook.url.rpartition("/")[2]]

    run = Driver(flow, carried={"hook_1": "w"}).begin()
    run.send("w", REQUEST)
    run.fire()
    assert run.result == [b"\x00", "w"]
    check_replays(run)


@pytest.mark.parametrize(
    "arguments",
    [
        {"token": ""},
        {"respond_with": "Manual"},
        {"respond_with": 202},
        {"respond_with": b"bytes"},
        {"methods": "POST"},
        {"methods": []},
        {"methods": ["PO ST"]},
        {"methods": [None, ""]},
        {"methods": 1},
        {"verify": "SECRET"},
        {"verify": {"secret": "S"}},
    ],
)
def test_what_is_refused(arguments: dict[str, Any]) -> None:
    @workflow
    async def flow() -> str:
        with pytest.raises(ValueError, match=next(iter(arguments))):
            create_webhook(**arguments)
        return "refused"

    run = drive(flow)
    assert run.result == "refused"
    assert run.count("hook_created") == 0


def test_webhook_outside_of_a_workflow() -> None:
    with pytest.raises(RuntimeError, match=r"create_webhook\(\)"):
        create_webhook()


def test_answering_in_workflow_code_is_refused() -> None:
    @workflow
    async def flow() -> str:
        request = await create_webhook("w", respond_with="manual")
        with pytest.raises(RuntimeError) as refused:
            request.respond_with(WebhookResponse())
        return str(refused.value)

    run = drive(flow)
    run.send("w", REQUEST)
    assert "inside a step" in run.result
    check_replays(run)


def test_answer_methods_and_secret_may_change_with_the_code() -> None:
    facts: dict[str, Any] = {"respond_with": WebhookResponse.text("old")}

    @workflow
    async def flow() -> Any:
        return (await create_webhook("w", metadata={"a": 1}, **facts)).body

    run = drive(flow)
    facts = {
        "respond_with": "manual",
        "methods": ["get", "POST", "get"],
        "verify": hmac_signature("THE_SECRET", scheme="slack"),
    }
    run.drop()
    run.send("w", REQUEST)
    assert run.result == b"\x00"
    created = next(e for e in drive(flow).log if e.type == "hook_created")
    assert created.detail["webhook"] == {
        "respond_with": "manual",
        "methods": ["GET", "POST"],
        "verify": {
            "secret": "THE_SECRET",
            "header": "X-Slack-Signature",
            "scheme": "slack",
        },
    }


def test_another_token_diverges() -> None:
    token = "w"

    @workflow
    async def flow() -> Any:
        await create_webhook(token)

    run = drive(flow)
    token = "x"
    with pytest.raises(RunBlocked, match="the code issued hook_created"):
        check_replays(run)
