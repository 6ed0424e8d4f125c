"""What is logged, shown and stored tells no secrets of webhooks."""

from __future__ import annotations

import logging
from unittest.mock import Mock

import pytest
from django.db import OperationalError
from django.test import Client, override_settings

from django_workflows import (
    WebhookResponse,
)
from django_workflows.models import Event
from django_workflows.store.rendering import data_json
from django_workflows.testing import WorkflowTester
from django_workflows.webhooks import receiving
from tests.webhooks.runs import ROUTE, waiting

SECRET = "pssst"


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
