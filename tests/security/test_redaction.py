"""What `WORKFLOWS["REDACT"]` names is shown by no route of the API."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.core.management import call_command
from django.test import Client
from django.urls import reverse

from django_workflows import (
    WebhookRequest,
    create_hook,
    create_schedule,
    create_webhook,
    get_writable,
    resume_hook,
    start,
    step,
    workflow,
)
from django_workflows.core.webhooks import PATH
from django_workflows.models import Run, Schedule
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


@workflow(api=True)
async def lenient(note: str, more: Any = None) -> None:
    """Has another name for what is secret elsewhere."""


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


def test_arguments_of_schedules_are_redacted_by_their_parameters(
    admin_client: Client, settings: Any
) -> None:
    """Also those that are given by their place."""
    args = [mark("argument"), {"passWord": mark("nested_argument")}]
    schedule = create_schedule("nightly", secretive, args=args, interval="1d")
    pages = [
        "/workflows/api/schedules/",
        reverse("admin:django_workflows_schedule_change", args=[schedule.pk]),
    ]

    def found() -> list[set[str]]:
        spies = [Spy(*PLACES) for _page in pages]
        for spy, page in zip(spies, pages, strict=True):
            spy.look_at(admin_client.get(page).content)
        return [spy.found for spy in spies]

    assert found() == [{"argument", "nested_argument"}] * 2
    settings.WORKFLOWS = {"REDACT": ["password"]}
    assert found() == [set()] * 2
    answer = admin_client.get("/workflows/api/schedules/nightly/").json()
    assert answer["args"] == ["[redacted]", {"passWord": "[redacted]"}]


def test_why_a_schedule_fails_is_redacted(
    admin_client: Client, settings: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    schedule = create_schedule("failing", lenient, args=["x"], interval="1d")
    error = f"2026-01-01: ValueError: no account for password='{mark('argument')}'"
    Schedule.objects.filter(pk=schedule.pk).update(last_error=error)
    settings.WORKFLOWS = {"REDACT": ["password"]}
    pages = [
        "/workflows/api/schedules/",
        reverse("admin:app_list", args=["django_workflows"]),
        reverse("admin:django_workflows_schedule_changelist"),
        reverse("admin:django_workflows_schedule_change", args=[schedule.pk]),
    ]
    spy = Spy("argument")
    for page in pages:
        html = admin_client.get(page).content
        assert b"no account for password=[redacted]" in html
        assert not spy.look_at(html)
    call_command("workflows", "schedules")
    assert not spy.look_at(capsys.readouterr().out)


def test_no_other_workflow_reads_what_is_redacted(
    closed: Run, admin_client: Client, settings: Any
) -> None:
    """Its parameters have other names."""
    settings.WORKFLOWS = {"REDACT": ["password"]}
    start_page = reverse("admin:django_workflows_run_start")
    own = admin_client.get(start_page, {"again": closed.pk})
    assert "It is not to be shown." in own.content.decode()
    query = {"again": closed.pk, "workflow": lenient.name}
    other = admin_client.get(start_page, query, follow=True)
    assert f"Run {closed.pk} is of another workflow." in other.content.decode()
    spy = Spy("argument")
    assert not spy.look_at(own.content)
    assert not spy.look_at(other.content)
    query = {**query, "workflow": secretive.name}
    assert admin_client.get(start_page, query).status_code == 200
