"""What `WORKFLOWS["REDACT"]` names is shown by no route of the API."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.test import Client

from django_workflows import (
    WebhookRequest,
    create_hook,
    create_webhook,
    get_writable,
    resume_hook,
    start,
    step,
    workflow,
)
from django_workflows.core.webhooks import PATH
from django_workflows.models import Run
from django_workflows.testing import WorkflowTester
from tests.api.test_security import ROUTES, request
from tests.security.markers import Spy, mark

PLACES = (
    "argument",
    "nested_argument",
    "attribute",
    "step_argument",
    "step_result",
    "error_message",
    "hook_metadata",
    "hook_payload",
    "chunk",
    "request_header",
    "request_query",
    "request_body",
    "output",
)


@step
def sign_in(password: str, *, more: Any = None) -> dict[str, Any]:
    return {"name": "ada", "Password": mark("step_result")}


@step(max_retries=0)
def fail(password: str) -> None:
    raise ValueError(f"cannot sign in: password='{password}'")


@step
def keep(request: WebhookRequest) -> WebhookRequest:
    with get_writable() as stream:
        stream.write({"PASSWORD": mark("chunk")})
    return request


@workflow(api=True)
async def secretive(password: str, more: dict[str, Any]) -> dict[str, Any]:
    await sign_in(mark("step_argument"))
    with suppress(ValueError):
        await fail(mark("error_message"))
    await create_hook("plain", metadata={"password": mark("hook_metadata")})
    await keep(await create_webhook("web"))
    return {"password": mark("output")}


@pytest.fixture
def closed(workflows: WorkflowTester) -> Run:
    return run_with_passwords(workflows)


def run_with_passwords(workflows: WorkflowTester) -> Run:
    """A run in which passwords have been everywhere."""
    attributes = {"password": mark("attribute")}
    configured = secretive.options(attributes=attributes)
    run = start(configured, mark("argument"), {"passWord": mark("nested_argument")})
    workflows.run_until_idle()
    resume_hook("plain", {"password": mark("hook_payload")})
    workflows.run_until_idle()
    answer = Client().post(
        f"/{PATH}web?password={mark('request_query')}",
        {"password": mark("request_body")},
        content_type="application/json",
        headers={"Password": mark("request_header")},
    )
    assert answer.status_code == 202
    workflows.run_until_idle()
    run.refresh_from_db()
    assert run.status == "completed"
    return run


def shown(run: Run) -> Iterator[bytes]:
    """What every route shows to staff."""
    client = Client()
    client.force_login(User.objects.create_user("root", is_staff=True))
    for route in ROUTES:
        if route.method == "GET":
            answer = request(client, route, run)
            content = answer.streaming_content if answer.streaming else [answer.content]
            yield b"".join(content)


def test_without_redaction_everything_is_shown(closed: Run) -> None:
    """So there is something to be hidden."""
    spy = Spy(*PLACES)
    for content in shown(closed):
        spy.look_at(content)
    assert spy.found == set(PLACES)


def test_with_redaction_nothing_is_shown(closed: Run, settings: Any) -> None:
    settings.WORKFLOWS = {"REDACT": ["password"]}
    spy, redacted = Spy(*PLACES), 0
    for content in shown(closed):
        spy.look_at(content)
        redacted += content.count(b"[redacted]")
    assert spy.found == set()
    assert redacted >= len(PLACES)
