"""The public route: what is delivered, and how it is answered."""

from __future__ import annotations

from io import BytesIO
from typing import Any
from urllib.parse import quote

import pytest
from asgiref.sync import async_to_sync
from django.core.files.uploadedfile import SimpleUploadedFile
from django.core.handlers.asgi import ASGIRequest
from django.test import AsyncClient, Client

from django_workflows import (
    WebhookResponse,
    aresume_webhook,
    create_webhook,
    start,
    workflow,
)
from django_workflows.models import WebhookDelivery
from django_workflows.testing import WorkflowTester
from tests.webhooks.runs import ROUTE, received, waiting
from tests.webhooks.workflows import collecting


@workflow
async def two_webhooks() -> Any:
    default = create_webhook("default")
    static = create_webhook(
        "static", respond_with=WebhookResponse.text("Hello from static response!", 402)
    )
    return [
        {"url": hook.url, "method": request.method, "body": request.text()}
        for hook in (default, static)
        for request in [await hook]
    ]


def test_default_and_static_answers(workflows: WorkflowTester, client: Client) -> None:
    run = start(two_webhooks)
    workflows.run_until_idle()
    answer = client.post(f"{ROUTE}default", b"one", content_type="text/plain")
    assert (answer.status_code, answer.content) == (202, b"")
    assert "Content-Type" not in answer.headers
    answer = client.post(f"{ROUTE}static", b"two", content_type="text/plain")
    assert (answer.status_code, answer.content) == (402, b"Hello from static response!")
    assert answer.headers["Content-Type"] == "text/plain; charset=utf-8"
    workflows.run_until_idle()
    base = f"http://localhost:8000{ROUTE}"
    assert run.result() == [
        {"url": f"{base}default", "method": "POST", "body": "one"},
        {"url": f"{base}static", "method": "POST", "body": "two"},
    ]
    assert not WebhookDelivery.objects.exists()
    workflows.assert_replays(run)


@workflow
async def setting_cookies(cookies: list[str]) -> None:
    pairs = [("Set-Cookie", cookie) for cookie in cookies]
    await create_webhook("w", respond_with=WebhookResponse(headers=pairs))


def test_cookies_are_sent_as_they_were_written(
    workflows: WorkflowTester, client: Client
) -> None:
    cookies = ["a=1; Path=/; SameSite=None; Secure; Partitioned", 'b={"c": [1, 2]}']
    start(setting_cookies, cookies)
    workflows.run_until_idle()
    answer = client.post(f"{ROUTE}w")
    assert [cookie.OutputString() for cookie in answer.cookies.values()] == cookies
    assert answer.cookies["a"].value == "1"


@pytest.mark.parametrize(
    "method", ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "PURGE"]
)
def test_any_method_is_delivered(
    workflows: WorkflowTester, client: Client, method: str
) -> None:
    run = waiting(workflows)
    answer = client.generic(method, f"{ROUTE}w?a=1&b=%C3%BC&a=2")
    assert answer.status_code == 202
    request = received(run)[0]
    assert (request.method, request.body) == (method, b"")
    assert request.url == f"http://testserver{ROUTE}w?a=1&b=%C3%BC&a=2"
    assert request.path == f"{ROUTE}w"
    assert request.query == {"a": "2", "b": "ü"}


def test_url_of_the_request_is_that_of_the_webhook(
    workflows: WorkflowTester, client: Client
) -> None:
    @workflow
    async def flow(token: str) -> Any:
        hook = create_webhook(token)
        return [hook.url, (await hook).url]

    for token in ("a/b", "50%", "ü?#&", " x ", "..", "a\nb", "a//b/", "%2F"):
        run = start(flow, token)
        workflows.run_until_idle()
        path = f"{ROUTE}{quote(token, safe='')}"
        answer = client.post(path, SERVER_NAME="localhost", SERVER_PORT="8000")
        assert answer.status_code == 202, token
        workflows.run_until_idle()
        made, seen = run.result()
        assert made == seen == f"http://localhost:8000{path}"


def test_body_headers_and_forms_arrive_as_they_were_sent(
    workflows: WorkflowTester, client: Client
) -> None:
    run = start(collecting, "w", 9)
    workflows.run_until_idle()
    body = bytes(range(256))
    client.post(
        f"{ROUTE}w", body, content_type="application/x-own", headers={"x-trace": "a,b"}
    )
    client.post(f"{ROUTE}w", {"a": ["1", "2"], "cv": SimpleUploadedFile("c", b"\0")})
    exact, form = received(run)
    assert exact.body == body
    assert exact.headers["CONTENT-TYPE"] == "application/x-own"
    assert exact.headers["X-Trace"] == "a,b"
    assert form.form().getlist("a") == ["1", "2"]
    assert form.form().files["cv"].content == b"\0"


def test_repeated_headers_are_kept_under_asgi(workflows: WorkflowTester) -> None:
    run = waiting(workflows)
    scope = {
        "type": "http",
        "method": "POST",
        "path": f"{ROUTE}w",
        "query_string": b"a=1",
        "headers": [(b"x-trace", b"a"), (b"host", b"h"), (b"X-Trace", b"b")],
    }
    request = ASGIRequest(scope, BytesIO(b"body"))
    assert async_to_sync(aresume_webhook)("w", request).status_code == 202
    found = received(run)[0]
    assert (found.body, found.url) == (b"body", f"http://h{ROUTE}w?a=1")
    assert found.headers.getlist("x-trace") == ["a", "b"]


def test_asynchronous_client(workflows: WorkflowTester) -> None:
    run = waiting(workflows)

    async def send() -> int:
        answer = await AsyncClient().post(f"{ROUTE}w", b"{}", content_type="a/b")
        return answer.status_code

    assert async_to_sync(send)() == 202
    assert received(run)[0].body == b"{}"
