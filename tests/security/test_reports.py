"""Reports of errors, which Django mails to administrators with the variables of every
frame, show nothing that was posted."""

from __future__ import annotations

import logging
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import django
import pytest
from django.contrib.auth.models import User
from django.core import mail
from django.db import DatabaseError, connection
from django.test import Client
from django.urls import reverse
from django.utils.log import AdminEmailHandler

from django_workflows import (
    create_hook,
    create_schedule,
    create_webhook,
    start,
    workflow,
)
from django_workflows.core.webhooks import PATH
from django_workflows.definitions import register
from django_workflows.testing import WorkflowTester
from tests.definitions.registered import registered_for_a_while
from tests.security.markers import Spy, mark

pytestmark = pytest.mark.django_db

SECRET, TOKEN = mark("posted"), mark("token")
API = "/workflows/api/"
JSON = "application/json"
#: What forms are sent as.
FORM = ""


@workflow(name="reports.paid", api=True, on="reports.paid")
async def paid(iban: Any) -> None:
    """Takes a secret."""


@workflow(name="reports.waiting")
async def waiting() -> Any:
    with create_hook(token="plain") as plain, create_webhook(token=TOKEN) as web:
        await web
        return await plain


@pytest.fixture
def reported(settings: Any) -> Iterator[Callable[[], str]]:
    """Return a function that reads the mails to administrators."""
    address = "ada@example.com"
    settings.ADMINS = [address if django.VERSION >= (6, 0) else ("Ada", address)]
    settings.DEBUG = False
    handler = AdminEmailHandler(include_html=True)
    loggers = [logging.getLogger(n) for n in ("django.request", "django_workflows")]
    for logger in loggers:
        logger.addHandler(handler)

    def read() -> str:
        return "".join(
            message.body + str(getattr(message, "alternatives", ""))
            for message in mail.outbox
        )

    yield read
    for logger in loggers:
        logger.removeHandler(handler)


@pytest.fixture
def client() -> Client:
    client = Client(raise_request_exception=False)
    client.force_login(User.objects.create_superuser("root"))
    return client


def console(page: str, *args: Any, **query: str) -> str:
    url = reverse(f"admin:django_workflows_{page}", args=args)
    return f"{url}?{'&'.join(f'{name}={value}' for name, value in query.items())}"


@dataclass
class Sent:
    """What is posted where. In a form the text stands for the secret."""

    url: str
    data: Any
    kind: str = FORM

    def by(self, client: Client) -> Any:
        if self.kind == FORM:
            return client.post(self.url, self.data)
        return client.post(self.url, self.data, self.kind)


def everything(workflows: WorkflowTester, text: str) -> dict[str, Sent]:
    """All places that take payloads; to forms they are sent as this text."""
    done = start(paid, "old")
    run = start(waiting)
    workflows.run_until_idle()
    hook = run.hooks.get(webhook="")
    schedule = create_schedule("s", paid, args=["old"], interval="1h")
    register({"id": "reports", "steps": [{"id": "a", "action": "noop"}]})
    steps = f'[{{"id": "a", "action": "noop", "params": {text}}}]'
    starting = {"workflow": paid.name, "args": [SECRET]}
    scheduling = {
        "name": "new",
        "workflow": paid.name,
        "args": f"[{text}]",
        "interval": "1h",
        "overlap": "skip",
        "catchup_window": "1d",
        "timezone": "UTC",
    }
    change = {**scheduling, "name": "s", "initial-args": '["old"]'}
    return {
        "start": Sent(console("run_start", workflow=paid.name), {"iban": text}),
        "start again": Sent(console("run_start", again=done.pk), {"iban": text}),
        "resume": Sent(console("hook_resume", hook.pk), {"payload": text}),
        "resume on its page": Sent(console("hook_change", hook.pk), {"payload": text}),
        "add": Sent(console("schedule_add"), scheduling),
        "change": Sent(console("schedule_change", schedule.pk), change),
        "execute": Sent(console("definition_start", id="reports"), {"input": text}),
        "define": Sent(
            console("definition_add"), {"text": f'{{"id": "new", "steps": {steps}}}'}
        ),
        "API start": Sent(f"{API}runs/", starting, JSON),
        "API start by a form": Sent(f"{API}runs/", starting),
        "API resume": Sent(f"{API}hooks/plain/resume/", [SECRET], JSON),
        "API schedule": Sent(
            f"{API}schedules/", {**starting, "name": "new", "interval": "1h"}, JSON
        ),
        "API event": Sent(
            f"{API}events/", {"event": "reports.paid", "data": SECRET}, JSON
        ),
        "webhook": Sent(f"/{PATH}{TOKEN}", [SECRET], JSON),
    }


PLACES = [
    "start",
    "start again",
    "resume",
    "resume on its page",
    "add",
    "change",
    "execute",
    "define",
    "API start",
    "API start by a form",
    "API resume",
    "API schedule",
    "API event",
    "webhook",
]
FORMS = PLACES[: PLACES.index("API start")]


def away(execute: Any, sql: str, params: Any, many: bool, context: Any) -> Any:
    """A database that takes nothing of ours any more."""
    if re.search(r'(INSERT INTO|UPDATE|COPY)\s+["`]?django_workflows_', str(sql)):
        raise DatabaseError("the database is away")
    return execute(sql, params, many, context)


@pytest.mark.parametrize("place", PLACES)
def test_what_cannot_be_stored(
    place: str, workflows: WorkflowTester, client: Client, reported: Callable[[], str]
) -> None:
    with registered_for_a_while():
        sent = everything(workflows, f'{{"iban": "{SECRET}"}}')
        assert [*sent] == PLACES
        with connection.execute_wrapper(away):
            assert sent[place].by(client).status_code == 500
    assert "the database is away" in reported()
    assert not Spy("posted", "token").look_at(reported())


@pytest.mark.parametrize("place", FORMS)
def test_what_cannot_be_shown_again(
    place: str,
    workflows: WorkflowTester,
    client: Client,
    reported: Callable[[], str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A page is made once its view has returned."""

    def breaks(*args: Any, **options: Any) -> None:
        raise LookupError("no widget")

    with registered_for_a_while():
        sent = everything(workflows, f'{{"iban": "{SECRET}')
        monkeypatch.setattr("django.forms.boundfield.BoundField.as_widget", breaks)
        assert sent[place].by(client).status_code == 500
    assert "no widget" in reported()
    assert not Spy("posted", "token").look_at(reported())


def test_without_discretion_they_would(
    workflows: WorkflowTester,
    client: Client,
    reported: Callable[[], str],
    settings: Any,
) -> None:
    """As they do for developers."""
    settings.DEBUG = True
    sent = everything(workflows, f'{{"iban": "{SECRET}"}}')
    with connection.execute_wrapper(away):
        page = sent["start"].by(client).content.decode()
    assert SECRET in page
