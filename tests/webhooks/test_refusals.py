"""What the public route refuses."""

from __future__ import annotations

from io import BytesIO
from typing import Any

import pytest
from django.http import RawPostDataException
from django.test import Client, RequestFactory, override_settings

from django_workflows import (
    resume_hook,
    resume_webhook,
    start,
)
from django_workflows.testing import WorkflowTester
from tests.webhooks.runs import ROUTE, received, waiting
from tests.webhooks.workflows import collecting, plain


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


def test_body_that_the_view_has_parsed(workflows: WorkflowTester) -> None:
    run = waiting(workflows)
    gone = RequestFactory().post("/", {"a": "1"})
    assert gone.POST["a"] == "1"
    with pytest.raises(RawPostDataException, match=r"request\.POST"):
        resume_webhook("w", gone)
    kept = RequestFactory().post("/", {"a": "1"})
    assert resume_webhook("w", kept).status_code == 202
    assert kept.POST["a"] == "1"
    assert [request.form()["a"] for request in received(run)] == ["1"]


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
