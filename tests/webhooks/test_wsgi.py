"""A real WSGI server, and a worker on another thread."""

from __future__ import annotations

from collections.abc import Iterator

import httpx
import pytest
from django.test import override_settings
from pytest_django.live_server_helper import LiveServer

from django_workflows import start
from django_workflows.models import Hook
from django_workflows.store import answers
from tests.cluster.harness import DEADLINE, until
from tests.faults.threads import one_worker
from tests.webhooks.workflows import agreeting, greeting, receiving

pytestmark = [pytest.mark.slow, pytest.mark.django_db(transaction=True)]


@pytest.fixture
def url(sessions_end: None, live_server: LiveServer) -> Iterator[str]:
    with one_worker():
        yield f"{live_server.url}/.well-known/workflow/v1/webhook/w"


def test_step_answers_a_request_that_waits(url: str) -> None:
    run = start(greeting)
    until(Hook.objects.exists, "the webhook")
    answer = httpx.post(url, content="world", timeout=DEADLINE)
    assert (answer.status_code, answer.text) == (201, "Hello, world!")
    assert run.result(timeout=DEADLINE) == "answered"


def test_answer_comes_without_a_notification(
    url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(answers, "notify", lambda *args: None)
    start(agreeting)
    until(Hook.objects.exists, "the webhook")
    answer = httpx.post(url, content='"you"', timeout=DEADLINE)
    assert answer.json() == {"hello": "you"}


def test_sender_waits_no_longer_than_allowed(url: str) -> None:
    with override_settings(WORKFLOWS={"WEBHOOK_RESPONSE_TIMEOUT": "0.2s"}):
        start(receiving, respond_with="manual")
        until(Hook.objects.exists, "the webhook")
        assert httpx.post(url, content="x", timeout=DEADLINE).status_code == 504


def test_body_in_chunks_needs_a_length(url: str) -> None:
    start(receiving)
    until(Hook.objects.exists, "the webhook")
    answer = httpx.post(url, content=iter([b"in ", b"chunks"]), timeout=DEADLINE)
    assert answer.status_code == 411
