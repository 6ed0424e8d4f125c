"""Webhooks whose runs continue as new, end, stand still, or are retried."""

from __future__ import annotations

from typing import Any

import pytest
from django.test import Client

from django_workflows import (
    WebhookResponse,
    continue_as_new,
    create_webhook,
    sleep,
    start,
    workflow,
)
from django_workflows.models import Event, Hook
from django_workflows.store import deliveries
from django_workflows.testing import WorkflowTester
from django_workflows.webhooks import receiving
from tests.webhooks.runs import ROUTE, received, waiting
from tests.webhooks.workflows import plain
from tests.webhooks.workflows import receiving as receive


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
