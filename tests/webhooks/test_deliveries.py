"""Signed deliveries: forged ones are refused, repeated ones are delivered once."""

from __future__ import annotations

import logging
from collections.abc import Callable
from threading import Barrier
from typing import Any

import pytest
from django.test import Client, override_settings

from django_workflows import (
    continue_as_new,
    create_webhook,
    hmac_signature,
    start,
    workflow,
)
from django_workflows.models import Event, Hook, Run, WebhookDelivery
from django_workflows.store import retention
from django_workflows.testing import WorkflowTester
from tests.engine.threads import in_threads
from tests.webhooks.signing import signed as headers_for
from tests.webhooks.workflows import greet, signed

ROUTE = "/.well-known/workflow/v1/webhook/"
SCHEMES = ["github", "stripe", "slack", "standard-webhooks"]
#: An id of the delivery for the schemes that have it in the body.
BODY = b'{"id": "d1", "event_id": "d1"}'
SECRETS = ["new secret of ours", "old secret of ours"]

pytestmark = pytest.mark.usefixtures("secrets")


@pytest.fixture
def secrets() -> Any:
    with override_settings(TEST_SECRETS=SECRETS):
        yield


def delivered() -> list[bytes]:
    events = Event.objects.filter(type="hook_received").order_by("id")
    return [event.data["payload"].body for event in events]


@pytest.fixture
def send(workflows: WorkflowTester, client: Client) -> Callable[..., int]:
    def send(
        scheme: str, body: bytes = BODY, *, secret: str = SECRETS[0], **facts: Any
    ) -> int:
        token, sent = facts.pop("token", "w"), facts.pop("sent", body)
        found = headers_for(scheme, secret, body, workflows.now, **facts)
        return client.post(
            f"{ROUTE}{token}", sent, content_type="application/json", headers=found
        ).status_code

    return send


@pytest.mark.parametrize("scheme", SCHEMES)
def test_repeated_delivery_is_acknowledged_and_delivered_once(
    workflows: WorkflowTester, send: Callable[..., int], scheme: str
) -> None:
    run = start(signed, "w", scheme, 2)
    workflows.run_until_idle()
    assert [send(scheme), send(scheme, secret=SECRETS[1])] == [202, 202]
    assert delivered() == [BODY]
    other = BODY.replace(b"d1", b"d2")
    assert send(scheme, other, delivery_id="d2") == 202
    assert delivered() == [BODY, other]
    workflows.run_until_idle()
    assert run.result() == [BODY, other]


@pytest.mark.parametrize("scheme", SCHEMES)
def test_what_is_forged_stale_or_unsigned_is_refused_and_not_stored(
    workflows: WorkflowTester,
    client: Client,
    send: Callable[..., int],
    scheme: str,
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.DEBUG)
    start(signed, "hidden-token", scheme)
    workflows.run_until_idle()
    answers = [
        send(scheme, token="hidden-token", secret="another secret"),
        send(scheme, token="hidden-token", sent=BODY + b" "),
        client.post(f"{ROUTE}hidden-token", BODY, content_type="a/b").status_code,
    ]
    if scheme != "github":
        old = headers_for(scheme, SECRETS[0], BODY, workflows.now)
        workflows.advance("301s")
        path = f"{ROUTE}hidden-token"
        answer = client.post(path, BODY, content_type="a/b", headers=old)
        answers.append(answer.status_code)
    assert set(answers) == {401}
    assert delivered() == []
    assert not WebhookDelivery.objects.exists()
    assert "was refused" in caplog.text
    assert "hidden-token" not in caplog.text
    assert not any(secret in caplog.text for secret in SECRETS)


@pytest.mark.parametrize("setting", [None, "", [], [""]])
def test_missing_secret_refuses_everything(
    workflows: WorkflowTester, send: Callable[..., int], setting: Any
) -> None:
    start(signed, "w", "github")
    workflows.run_until_idle()
    with override_settings(TEST_SECRETS=setting):
        assert send("github", secret="") == 401
    assert delivered() == []


def test_same_id_at_another_webhook_is_another_delivery(
    workflows: WorkflowTester, send: Callable[..., int]
) -> None:
    for token in ("w", "x"):
        start(signed, token, "github")
    workflows.run_until_idle()
    assert [send("github", token=token) for token in "wx"] == [202, 202]
    assert delivered() == [BODY, BODY]


@workflow
async def chain(rounds: int) -> bytes:
    hook = create_webhook("w", verify=hmac_signature("TEST_SECRETS", scheme="github"))
    body: bytes = (await hook).body
    if rounds:
        continue_as_new(rounds - 1)
    return body


def test_delivery_is_known_again_after_continuing(
    workflows: WorkflowTester, send: Callable[..., int]
) -> None:
    run = start(chain, 1)
    workflows.run_until_idle()
    assert send("github") == 202
    workflows.run_until_idle()
    assert send("github") == 202
    assert send("github", b"next", delivery_id="d2") == 202
    workflows.run_until_idle()
    assert run.result() == b"next"


@pytest.mark.parametrize("scheme", SCHEMES)
def test_repeated_delivery_is_acknowledged_when_its_run_has_ended(
    workflows: WorkflowTester, send: Callable[..., int], scheme: str
) -> None:
    start(signed, "w", scheme)
    workflows.run_until_idle()
    assert send(scheme) == 202
    workflows.run_until_idle()
    assert not Hook.objects.exists()
    assert send(scheme) == 202
    other = BODY.replace(b"d1", b"d2")
    assert send(scheme, other, delivery_id="d2") == 404
    assert send(scheme, token="unknown") == 404
    with override_settings(WORKFLOWS={"WEBHOOK_MAX_BODY": 1}):
        assert send(scheme) == 404
    assert delivered() == [BODY]


def test_signed_and_answered_by_a_step(
    workflows: WorkflowTester, send: Callable[..., int]
) -> None:
    @workflow
    async def flow() -> None:
        verify = hmac_signature("TEST_SECRETS")
        hook = create_webhook("w", respond_with="manual", verify=verify)
        await greet(await hook)

    start(flow)
    workflows.run_until_idle()
    assert send("github") == 201


def test_deliveries_go_with_their_run(
    workflows: WorkflowTester, send: Callable[..., int]
) -> None:
    run = start(signed, "w", "github")
    workflows.run_until_idle()
    send("github")
    workflows.run_until_idle()
    assert WebhookDelivery.objects.filter(run=run).count() == 1
    workflows.advance("1s")
    assert retention.prune(older_than=0) == 1
    assert not Run.objects.exists()
    assert not WebhookDelivery.objects.exists()


@pytest.mark.django_db(transaction=True)
def test_repeated_delivery_at_the_same_moment(workflows: WorkflowTester) -> None:
    start(signed, "w", "github", 10)
    workflows.run_until_idle()
    headers = headers_for("github", SECRETS[0], BODY, workflows.now)
    barrier = Barrier(4)

    def send() -> int:
        barrier.wait()
        path = f"{ROUTE}w"
        answer = Client().post(path, BODY, content_type="a/b", headers=headers)
        return answer.status_code

    assert in_threads([send] * 4) == [202] * 4
    assert delivered() == [BODY]
