"""The public route: what is delivered, what is refused, and how it is answered."""

from __future__ import annotations

import logging
from io import BytesIO
from typing import Any
from unittest.mock import Mock
from urllib.parse import quote

import pytest
from asgiref.sync import async_to_sync
from django.core.files.uploadedfile import SimpleUploadedFile
from django.core.handlers.asgi import ASGIRequest
from django.db import OperationalError
from django.test import AsyncClient, Client, RequestFactory, override_settings

from django_workflows import (
    WebhookRequest,
    WebhookResponse,
    aresume_webhook,
    continue_as_new,
    create_webhook,
    resume_hook,
    resume_webhook,
    sleep,
    start,
    workflow,
)
from django_workflows.models import Event, Hook, Run, WebhookDelivery
from django_workflows.store import deliveries
from django_workflows.store.rendering import data_json
from django_workflows.testing import WorkflowTester
from django_workflows.webhooks import receiving
from tests.webhooks.workflows import collecting, plain
from tests.webhooks.workflows import receiving as receive

ROUTE = "/.well-known/workflow/v1/webhook/"
SECRET = "pssst"


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


def received(run: Run) -> list[WebhookRequest]:
    """The requests that were delivered to a run, oldest first."""
    events = Event.objects.filter(run=run, type="hook_received").order_by("id")
    return [event.data["payload"] for event in events]


def waiting(workflows: WorkflowTester, *args: Any, **options: Any) -> Run:
    """A run of `receiving` that waits for a request."""
    run = start(receive, *args, **options)
    workflows.run_until_idle()
    return run


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


# -- refusals -------------------------------------------------------------------------


@pytest.mark.parametrize("debug", [True, False])
def test_unknown_tokens_and_plain_hooks_are_not_found(
    workflows: WorkflowTester, client: Client, debug: bool
) -> None:
    run = start(plain, "plain")
    workflows.run_until_idle()
    with override_settings(DEBUG=debug):
        for token in ("plain", "unknown", "", "plain/", "%20"):
            answer = client.post(f"{ROUTE}{token}", b"{}", content_type="x/y")
            assert (answer.status_code, answer.content) == (404, b"")
    resume_hook("plain", 1)
    workflows.run_until_idle()
    assert run.result() == 1


def test_methods(workflows: WorkflowTester, client: Client) -> None:
    run = start(collecting, "w", 2, methods=["post", "PUT"])
    workflows.run_until_idle()
    for method in ("GET", "HEAD", "OPTIONS", "DELETE"):
        answer = client.generic(method, f"{ROUTE}w", b"x")
        assert (answer.status_code, answer.headers["Allow"]) == (405, "POST, PUT")
    for method in ("POST", "PUT"):
        assert client.generic(method, f"{ROUTE}w", b"x").status_code == 202
    assert [request.method for request in received(run)] == ["POST", "PUT"]


@override_settings(WORKFLOWS={"WEBHOOK_MAX_BODY": 10})
def test_body_over_the_limit(workflows: WorkflowTester, client: Client) -> None:
    run = start(collecting, "w", 2)
    workflows.run_until_idle()

    def send(body: bytes) -> int:
        return client.post(f"{ROUTE}w", body, content_type="x/y").status_code

    assert [send(b"x" * 11), send(b"x" * 10)] == [413, 202]
    assert [request.body for request in received(run)] == [b"x" * 10]


class Endless(BytesIO):
    """Counts what is read of it."""

    was_read = 0

    def read(self, size: int | None = -1) -> bytes:
        assert size is not None
        assert size >= 0
        self.was_read += size
        return b"x" * size


@pytest.mark.parametrize(
    ("facts", "status", "was_read"),
    [
        ({"CONTENT_LENGTH": "11"}, 413, 0),
        ({"CONTENT_LENGTH": "9" * 5000}, 413, 0),
        ({"CONTENT_LENGTH": "eleven"}, 400, 0),
        ({"HTTP_TRANSFER_ENCODING": "chunked"}, 411, 0),
        (
            {"HTTP_TRANSFER_ENCODING": "chunked", "wsgi.input_terminated": True},
            413,
            11,
        ),
    ],
)
@override_settings(WORKFLOWS={"WEBHOOK_MAX_BODY": 10})
def test_body_is_read_no_further_than_allowed(
    workflows: WorkflowTester, facts: dict[str, Any], status: int, was_read: int
) -> None:
    run = waiting(workflows)
    request = RequestFactory().post("/")
    body = Endless()
    del request.META["CONTENT_LENGTH"]
    request.META.update({"wsgi.input": body, **facts})
    assert resume_webhook("w", request).status_code == status
    assert body.was_read == was_read
    assert received(run) == []


def test_body_in_chunks_under_wsgi(workflows: WorkflowTester) -> None:
    run = waiting(workflows)
    request = RequestFactory().post("/")
    del request.META["CONTENT_LENGTH"]
    request.META |= {
        "HTTP_TRANSFER_ENCODING": "chunked",
        "wsgi.input_terminated": True,
        "wsgi.input": BytesIO(b"chunks"),
    }
    assert resume_webhook("w", request).status_code == 202
    assert received(run)[0].body == b"chunks"


def test_body_that_is_cut_off_is_not_delivered(workflows: WorkflowTester) -> None:
    run = waiting(workflows)
    request = RequestFactory().post("/", b"abc", content_type="x/y")
    request.META["CONTENT_LENGTH"] = "5"
    assert resume_webhook("w", request).status_code == 400
    assert received(run) == []


def test_request_too_large_for_the_log(
    workflows: WorkflowTester, client: Client
) -> None:
    run = waiting(workflows)
    with override_settings(WORKFLOWS={"MAX_PAYLOAD_BYTES": 1000}):
        answer = client.post(f"{ROUTE}w", b"x" * 1000, content_type="x/y")
    assert answer.status_code == 413
    assert received(run) == []


@override_settings(ALLOWED_HOSTS=["example.com"])
@override_settings(MIDDLEWARE=[])
def test_foreign_host(workflows: WorkflowTester, client: Client) -> None:
    run = waiting(workflows)
    assert client.post(f"{ROUTE}w").status_code == 400
    assert client.post(f"{ROUTE}w", headers={"host": "example.com"}).status_code == 202
    assert len(received(run)) == 1


@override_settings(
    MIDDLEWARE=[
        "django.contrib.sessions.middleware.SessionMiddleware",
        "django.middleware.csrf.CsrfViewMiddleware",
        "django.contrib.auth.middleware.AuthenticationMiddleware",
        "django.contrib.auth.middleware.LoginRequiredMiddleware",
    ]
)
def test_projects_authentication_is_not_asked(workflows: WorkflowTester) -> None:
    run = waiting(workflows)
    client = Client(enforce_csrf_checks=True)
    assert client.post(f"{ROUTE}w", b"{}", content_type="x/y").status_code == 202
    assert len(received(run)) == 1


# -- what others get to see -----------------------------------------------------------


def test_tokens_are_not_logged(
    workflows: WorkflowTester,
    client: Client,
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    caplog.set_level(logging.DEBUG)
    logging.getLogger("django").propagate = True
    wrong = WebhookResponse(500)
    waiting(workflows, SECRET, methods=["POST"], respond_with=wrong)
    url = f"{ROUTE}{SECRET}"
    assert client.get(url).status_code == 405
    assert client.post(f"{url}x").status_code == 404
    with override_settings(WORKFLOWS={"WEBHOOK_MAX_BODY": 1}):
        assert client.post(url, b"xx", content_type="x/y").status_code == 413
    assert client.post(url).status_code == 500

    for error, status in ((OperationalError("down"), 503), (KeyError("bug"), 500)):
        monkeypatch.setattr(receiving, "deliver", Mock(side_effect=error))
        answer = client.post(url)
        assert (answer.status_code, answer.content) == (status, b"")
    assert caplog.messages.count("a webhook could not reach the database") == 1
    assert caplog.messages.count("a webhook could not be served") == 1
    assert SECRET not in caplog.text


def test_static_response_is_neither_in_the_metadata_nor_in_plain(
    workflows: WorkflowTester,
) -> None:
    response = WebhookResponse.text(SECRET)
    run = waiting(workflows, respond_with=response, metadata={"for": "people"})
    hook = run.hooks.get()
    assert hook.metadata == {"for": "people"}
    created = Event.objects.get(run=run, type="hook_created")
    assert created.data["metadata"] == {"for": "people"}
    shown = data_json(created, run.workflow)
    assert shown["metadata"] == {"for": "people"}
    assert SECRET not in f"{created.data} {shown} {hook.webhook}"


def test_secrets_are_sealed_by_the_codec(
    workflows: WorkflowTester, client: Client
) -> None:
    settings = {
        "PAYLOAD_CODEC": "django_workflows.codecs.FernetCodec",
        "ENCRYPTION_KEYS": ["MDEyMzQ1Njc4OTAxMjM0NTY3ODkwMTIzNDU2Nzg5MDE="],
    }
    with override_settings(WORKFLOWS=settings):
        run = waiting(workflows, respond_with=WebhookResponse.text(SECRET))
        hook = run.hooks.get()
        answer = client.post(f"{ROUTE}w", SECRET.encode(), content_type="x/y")
        assert answer.content == SECRET.encode()
        stored = [bytes(e.payload or b"") for e in run.events.all()]
        stored.append(bytes(hook.sealed_metadata or b""))
        assert not any(SECRET.encode() in payload for payload in stored)


# -- hooks that change hands ----------------------------------------------------------


@workflow
async def chained(rounds: int) -> list[bytes]:
    response = WebhookResponse.text(f"{rounds} left")
    hook = create_webhook("chain", respond_with=response, metadata=rounds)
    await hook
    if rounds:
        await sleep("1h")
        continue_as_new(rounds - 1)
    return [(await hook).body, (await hook).body]


def test_webhook_is_carried_on(workflows: WorkflowTester, client: Client) -> None:
    run = start(chained, 1)
    workflows.run_until_idle()

    def send(body: bytes) -> bytes:
        answer = client.post(f"{ROUTE}chain", body, content_type="x/y")
        return bytes(answer.content)

    assert send(b"1") == b"1 left"
    workflows.run_until_idle()
    assert send(b"2") == b"1 left"  # unread, so the successor's
    workflows.advance("1h")
    hook = Hook.objects.get()
    assert (hook.metadata, hook.run_id) != (1, run.pk)
    carried = Event.objects.get(run=hook.run, type="hook_carried")
    assert carried.data["metadata"] == 1
    assert [send(b"3"), send(b"4")] == [b"0 left", b"0 left"]
    workflows.run_until_idle()
    assert run.result() == [b"3", b"4"]


def test_webhook_works_again_after_a_retry(
    workflows: WorkflowTester, client: Client
) -> None:
    run = start(chained, 0)
    workflows.run_until_idle()
    run.cancel()
    workflows.run_until_idle()
    assert client.post(f"{ROUTE}chain").status_code == 404
    run.retry()
    assert client.post(f"{ROUTE}chain").content == b"0 left"


@pytest.mark.parametrize(
    ("other", "options", "status", "bodies"),
    [
        (plain, {}, 404, []),
        (receive, {"methods": ["PUT"]}, 405, []),
        (receive, {}, 202, [b"body"]),
    ],
)
def test_other_claim_meanwhile_is_looked_at_anew(
    workflows: WorkflowTester,
    client: Client,
    monkeypatch: pytest.MonkeyPatch,
    other: Any,
    options: dict[str, Any],
    status: int,
    bodies: list[bytes],
) -> None:
    """Between the look for the hook and the delivery its run ends, and another one
    claims the token."""
    run = start(receive, "w")
    workflows.run_until_idle()

    def late(*args: Any, **kwargs: Any) -> Any:
        if not run.is_closed:
            run.terminate()
            start(other, "w", **options)
            workflows.run_until_idle()
        return deliveries.deliver(*args, **kwargs)

    monkeypatch.setattr(receiving, "deliver", late)
    answer = client.post(f"{ROUTE}w", b"body", content_type="x/y")
    assert answer.status_code == status
    assert received(run) == []
    events = Event.objects.filter(type="hook_received")
    assert [event.data["payload"].body for event in events] == bodies


def test_paused_run_reads_what_came(workflows: WorkflowTester, client: Client) -> None:
    run = waiting(workflows)
    run.pause()
    workflows.run_until_idle()
    assert client.post(f"{ROUTE}w", b"x", content_type="x/y").status_code == 202
    run.resume()
    workflows.run_until_idle()
    assert run.result().body == b"x"
