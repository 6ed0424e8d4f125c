"""Hooks over HTTP: what is shown, what is delivered, and that no token is logged."""

from __future__ import annotations

import json
import logging
from io import BytesIO
from typing import Any
from urllib.parse import quote

import django
import pydantic
import pytest
from django.contrib.auth.models import User
from django.core import mail
from django.core.handlers.asgi import ASGIRequest
from django.db import DatabaseError
from django.test import Client
from django.urls import resolve
from django.utils.log import AdminEmailHandler
from rest_framework.permissions import IsAdminUser

from django_workflows import create_hook, create_webhook, define_hook, start, workflow
from django_workflows.models import Event, Run
from django_workflows.replay import defined_hooks
from django_workflows.testing import WorkflowTester

API = "/workflows/api"
#: Slashes, what a URL means something else by, and the name of a route.
TOKENS = [
    "plain",
    "a/b",
    "a//b/",
    "50% of a%2Fb?c=d#e",
    "tökén \n",
    "x/resume",
    "resume",
    "e",
]


class Decision(pydantic.BaseModel):
    """What somebody has decided."""

    approved: bool
    by: str = "nobody"
    notes: list[str] = []


decision = define_hook(Decision)
number = define_hook(int)


@workflow
async def waiting(token: str, metadata: Any = None) -> Any:
    return await create_hook(token=token, metadata=metadata)


@workflow
async def deciding(token: str) -> Any:
    return await decision.create(token=token, metadata={"password": "hush", "n": 1})


@workflow
async def counting(token: str) -> Any:
    return await number.create(token=token)


@workflow
async def listening(token: str) -> Any:
    return await create_webhook(token=token, metadata={"custom": 1})


@workflow
async def opaque(token: str) -> Any:
    kind = defined_hooks.define_hook(Decision)
    kind.__dict__["json_schema"] = {"x-python-type": "elsewhere.Unknown"}
    return await kind.create(token=token)


class OnlyCounting(IsAdminUser):
    """Staff, and of all runs only some."""

    def has_object_permission(self, request: Any, view: Any, obj: Any) -> bool:
        assert isinstance(obj, Run)
        return obj.workflow == counting.name


@pytest.fixture
def client(db: None) -> Client:
    client = Client()
    client.force_login(User.objects.create_user("staff", is_staff=True))
    return client


def begin(workflows: WorkflowTester, target: Any, *args: Any) -> Run:
    run: Run = start(target, *args)
    workflows.run_until_idle()
    return run


def url(token: str, route: str = "") -> str:
    return f"{API}/hooks/{quote(token, safe='')}/{route}"


def resume(client: Client, token: str, payload: Any = None) -> Any:
    return send(client, token, json.dumps(payload))


def send(client: Client, token: str, body: str | bytes) -> Any:
    return client.generic("POST", url(token, "resume/"), body, "application/json")


# -- showing --------------------------------------------------------------------------


def test_a_hook_shows_its_run_metadata_and_schema_without_the_token(
    client: Client, workflows: WorkflowTester, settings: Any
) -> None:
    settings.WORKFLOWS = {"REDACT": ["Password"]}
    run = begin(workflows, deciding, "the token")
    found = client.get(url("the token"))
    assert found.status_code == 200
    assert "the token" not in found.text
    shown = found.json()
    assert shown["run"] == run.pk
    assert shown["metadata"] == {"password": "[redacted]", "n": 1}
    assert shown["schema"]["properties"]["approved"]["type"] == "boolean"
    assert shown["created_at"] == workflows.now.isoformat().replace("+00:00", "Z")


def test_a_plain_hook_has_no_schema(client: Client, workflows: WorkflowTester) -> None:
    begin(workflows, waiting, "t", b"\xff")
    shown = client.get(url("t")).json()
    assert shown["schema"] is None
    assert shown["metadata"] == {"data": "/w==", "encoding": "base64"}


@pytest.mark.parametrize("token", TOKENS)
def test_any_token_can_be_shown_and_resumed(
    client: Client, workflows: WorkflowTester, token: str
) -> None:
    run = begin(workflows, waiting, token)
    assert client.get(url(token)).json()["run"] == run.pk
    assert resume(client, token, 1).json()["id"] == run.pk
    workflows.run_until_idle()
    assert run.result() == 1


def test_the_slash_at_the_end_may_be_missing(
    client: Client, workflows: WorkflowTester
) -> None:
    run = begin(workflows, waiting, "t")
    assert client.get(f"{API}/hooks/t").json()["run"] == run.pk
    sent = client.post(f"{API}/hooks/t/resume", 1, content_type="application/json")
    assert sent.status_code == 200


# -- resuming -------------------------------------------------------------------------


@pytest.mark.parametrize(
    "payload",
    [None, True, 0, -1.5, "", "text", [], [1, None], {}, {"a": {"b": []}}, 10**30],
    ids=repr,
)
def test_any_json_value_is_a_payload(
    client: Client, workflows: WorkflowTester, payload: Any
) -> None:
    run = begin(workflows, waiting, "t")
    sent = client.generic(
        "POST",
        url("t", "resume/"),
        json.dumps(payload),
        content_type="application/json",
    )
    assert sent.status_code == 200
    assert sent.json()["id"] == run.pk
    workflows.run_until_idle()
    assert run.result() == payload
    assert run.result() is not False


def test_no_body_is_null(client: Client, workflows: WorkflowTester) -> None:
    run = begin(workflows, waiting, "t")
    assert send(client, "t", "").status_code == 200
    workflows.run_until_idle()
    assert run.result() is None


@pytest.mark.parametrize(
    ("server", "status"),
    [({"wsgi.input_terminated": True}, 200), ({}, 411)],
    ids=["a server that knows their end", "one that does not"],
)
def test_a_body_in_chunks_is_read_or_refused(
    client: Client, workflows: WorkflowTester, server: dict[str, Any], status: int
) -> None:
    run = begin(workflows, waiting, "t")
    answer = client.post(
        url("t", "resume/"),
        content_type="application/json",
        HTTP_TRANSFER_ENCODING="chunked",
        CONTENT_LENGTH="",
        **{"wsgi.input": BytesIO(b'{"approved": true}'), **server},
    )
    assert answer.status_code == status
    workflows.run_until_idle()
    run.refresh_from_db()
    if status == 200:
        assert run.result() == {"approved": True}
    else:
        assert not run.is_closed


def test_a_body_in_chunks_under_asgi(client: Client, workflows: WorkflowTester) -> None:
    run = begin(workflows, waiting, "t")
    path = url("t", "resume/")
    headers = [(b"content-type", b"application/json")]
    scope = {"type": "http", "method": "POST", "path": path, "headers": headers}
    request = ASGIRequest(scope, BytesIO(b"[1, 2]"))
    request.user = User.objects.get()
    request._dont_enforce_csrf_checks = True  # type: ignore[attr-defined]
    view, args, kwargs = resolve(path)
    assert view(request, *args, **kwargs).status_code == 200
    workflows.run_until_idle()
    assert run.result() == [1, 2]


def test_a_body_that_is_cut_off_is_refused(
    client: Client, workflows: WorkflowTester
) -> None:
    run = begin(workflows, waiting, "t")
    sent: dict[str, Any] = {"CONTENT_LENGTH": "2", "wsgi.input": BytesIO(b"1")}
    cut_off = client.post(url("t", "resume/"), content_type="application/json", **sent)
    assert cut_off.status_code == 400
    workflows.run_until_idle()
    assert not run.is_closed


def test_a_payload_is_delivered_as_the_type_of_the_schema(
    client: Client, workflows: WorkflowTester
) -> None:
    run = begin(workflows, deciding, "t")
    assert resume(client, "t", {"approved": "yes", "by": "Ada"}).status_code == 200
    workflows.run_until_idle()
    assert run.result() == Decision(approved=True, by="Ada")


@pytest.mark.parametrize(
    ("target", "payload", "fields"),
    [
        (deciding, {}, {"approved"}),
        (deciding, {"approved": "perhaps", "by": 1}, {"approved", "by"}),
        (deciding, {"approved": True, "notes": ["a", 2]}, {"notes"}),
        (deciding, [], {"non_field_errors"}),
        (deciding, None, {"non_field_errors"}),
        (counting, "many", {"non_field_errors"}),
        (counting, None, {"non_field_errors"}),
    ],
)
def test_an_invalid_payload_is_400_by_field_and_not_delivered(
    client: Client,
    workflows: WorkflowTester,
    target: Any,
    payload: Any,
    fields: set[str],
) -> None:
    begin(workflows, target, "t")
    refused = client.generic(
        "POST",
        url("t", "resume/"),
        json.dumps(payload),
        content_type="application/json",
    )
    assert refused.status_code == 400
    assert set(refused.json()) == fields
    assert all(messages for messages in refused.json().values())
    assert not Event.objects.filter(type="hook_received").exists()


@pytest.mark.parametrize(
    ("body", "content_type", "status"),
    [
        ("{", "application/json", 400),
        ("NaN", "application/json", 400),
        ("[" * 100_000, "application/json", 400),
        (b"\xff", "application/json", 400),
        ("a=1", "application/x-www-form-urlencoded", 415),
        ("text", "text/plain", 415),
        ('"' + "x" * 2_100_000 + '"', "application/json", 413),
    ],
    ids=["open", "nan", "deep", "bytes", "form", "text", "large"],
)
def test_what_is_no_json_is_refused(
    client: Client,
    workflows: WorkflowTester,
    body: str,
    content_type: str,
    status: int,
) -> None:
    begin(workflows, waiting, "t")
    refused = client.generic("POST", url("t", "resume/"), body, content_type)
    assert refused.status_code == status
    assert not Event.objects.filter(type="hook_received").exists()


def test_a_schema_that_this_process_does_not_know_refuses_every_payload(
    client: Client, workflows: WorkflowTester
) -> None:
    begin(workflows, opaque, "t")
    refused = resume(client, "t", {"approved": True})
    assert refused.status_code == 409
    assert "elsewhere.Unknown" in refused.json()["detail"]
    assert not Event.objects.filter(type="hook_received").exists()


def test_a_webhook_is_shown_and_takes_no_plain_payload(
    client: Client, workflows: WorkflowTester
) -> None:
    begin(workflows, listening, "t")
    assert client.get(url("t")).json()["metadata"] == {"custom": 1}
    assert resume(client, "t", {}).status_code == 409
    assert not Event.objects.filter(type="hook_received").exists()


# -- who ------------------------------------------------------------------------------


def test_an_unknown_token_is_404(client: Client) -> None:
    assert client.get(url("t")).status_code == 404
    assert resume(client, "t", 1).status_code == 404


def test_a_hook_of_a_run_that_one_may_not_have_is_404(
    client: Client, workflows: WorkflowTester, settings: Any
) -> None:
    settings.WORKFLOWS = {"PERMISSION_CLASSES": [OnlyCounting]}
    begin(workflows, waiting, "theirs")
    begin(workflows, counting, "mine")
    unknown = client.get(url("unknown"))
    for answer in (client.get(url("theirs")), resume(client, "theirs", 1)):
        assert (answer.status_code, answer.json()) == (404, unknown.json())
    assert not Event.objects.filter(type="hook_received").exists()
    assert client.get(url("mine")).status_code == 200
    assert resume(client, "mine", 1).status_code == 200


@pytest.mark.parametrize("is_staff", [None, False])
def test_others_than_staff_are_refused(
    workflows: WorkflowTester, is_staff: bool | None
) -> None:
    client = Client()
    if is_staff is not None:
        client.force_login(User.objects.create_user("somebody", is_staff=is_staff))
    begin(workflows, waiting, "t")
    assert client.get(url("t")).status_code in (401, 403)
    assert resume(client, "t", 1).status_code in (401, 403)
    assert not Event.objects.filter(type="hook_received").exists()


def test_session_authentication_wants_a_csrf_token(workflows: WorkflowTester) -> None:
    client = Client(enforce_csrf_checks=True)
    client.force_login(User.objects.create_user("staff", is_staff=True))
    begin(workflows, waiting, "t")
    assert resume(client, "t", 1).status_code == 403


# -- logs -----------------------------------------------------------------------------

SECRET = "s3cret/t0ken"


@pytest.fixture
def everything_logged(caplog: pytest.LogCaptureFixture) -> pytest.LogCaptureFixture:
    caplog.set_level(logging.DEBUG)
    return caplog


def told(caplog: pytest.LogCaptureFixture) -> str:
    """All that was logged, with the requests that log records hold."""
    parts = [caplog.text]
    for record in caplog.records:
        request = getattr(record, "request", None)
        parts += [record.getMessage(), repr(request), repr(getattr(request, "META", 0))]
    return "\n".join(parts)


def test_the_log_of_a_refused_request_does_not_have_the_token(
    client: Client, everything_logged: pytest.LogCaptureFixture
) -> None:
    referer = {"HTTP_REFERER": f"http://testserver{API}/hooks/{SECRET}/"}
    client.get(url(SECRET), **referer)  # type: ignore[arg-type]
    client.get(url(SECRET), HTTP_ACCEPT="text/html")
    client.get(f"{API}/hooks/{SECRET}")
    client.put(url(SECRET))
    send(client, SECRET, "{")
    Client().get(url(SECRET))
    logged = told(everything_logged)
    assert logged.count("Not Found: /workflows/api/hooks/") >= 3
    assert "Method Not Allowed" in logged
    assert "s3cret" not in logged


def test_the_report_of_an_error_does_not_have_the_token(
    client: Client,
    workflows: WorkflowTester,
    settings: Any,
    monkeypatch: pytest.MonkeyPatch,
    everything_logged: pytest.LogCaptureFixture,
) -> None:
    """Mail to admins has the variables of every frame."""
    address = "ada@example.com"
    settings.ADMINS = [address if django.VERSION >= (6, 0) else ("Ada", address)]
    begin(workflows, waiting, SECRET)

    def fails(*args: Any) -> None:
        raise DatabaseError("the database is away")

    monkeypatch.setattr("django_workflows.store.hooks.seal", fails)
    client.raise_request_exception = False
    handler = AdminEmailHandler(include_html=True)
    logging.getLogger("django.request").addHandler(handler)
    try:
        assert resume(client, SECRET, {"is": "a payload"}).status_code == 500
    finally:
        logging.getLogger("django.request").removeHandler(handler)
    assert "s3cret" not in told(everything_logged)
    assert mail.outbox
    for message in mail.outbox:
        report = message.body + str(getattr(message, "alternatives", ""))
        assert "the database is away" in report
        assert "s3cret" not in report
        assert "a payload" not in report
