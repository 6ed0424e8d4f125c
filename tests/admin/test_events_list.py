"""The list of events: of all runs, or the log of one."""

from __future__ import annotations

import re
from html import unescape
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import reverse

from django_workflows import start, step, workflow
from django_workflows.admin.events.list import EventList
from django_workflows.models import Event, Run
from django_workflows.testing import WorkflowTester

pytestmark = pytest.mark.django_db

URL = "admin:django_workflows_event_changelist"


@step
def note(secret: str) -> str:
    return secret


@workflow
async def noting(secret: str) -> None:
    await note(secret)
    await note(secret)


@pytest.fixture
def runs(workflows: WorkflowTester, monkeypatch: pytest.MonkeyPatch) -> list[Run]:
    """Two runs that have ended, and one with an event that nobody has read."""
    monkeypatch.setattr(EventList, "list_per_page", 4)
    found = [start(noting, "sesame") for _ in range(2)]
    workflows.run_until_idle()
    found.append(start(noting, "sesame"))
    Event.objects.create(
        run=found[2], type="wake_requested", created_at=found[2].created_at
    )
    return found


def walk(client: Client, query: str = "") -> list[tuple[str, str, str]]:
    """Number, type and run of each event on a page and all that follow."""
    found: list[tuple[str, str, str]] = []
    while True:
        answer = client.get(reverse(URL) + query)
        assert answer.status_code == 200
        text = answer.content.decode()
        assert "sesame" not in text
        found += re.findall(
            r'field-number"><a [^>]*>(.*?)</a>.*?field-type"><a [^>]*>(.*?)</a>.*?'
            r'field-of_run"><a [^>]*>(.*?)</a>',
            text,
        )
        next_page = re.search(r'<a href="([^"]*)" rel="next"', text)
        if next_page is None:
            return found
        query = unescape(next_page[1])


def expected(run: Run) -> list[tuple[str, str, str]]:
    events = Event.objects.filter(run=run, seq__isnull=False).order_by("-seq")
    return [(f"#{event.seq}", event.type, run.pk) for event in events]


def test_all_events_are_listed_newest_first(
    admin_client: Client, runs: list[Run]
) -> None:
    found = walk(admin_client)
    newest = Event.objects.order_by("-id")
    assert [kind for _, kind, _ in found] == [event.type for event in newest]
    assert found[0] == ("unread", "wake_requested", runs[2].pk)
    assert len(found) > 2 * EventList.list_per_page


def test_the_log_of_a_run_is_listed_by_its_numbers(
    admin_client: Client, runs: list[Run]
) -> None:
    for run in runs:
        assert walk(admin_client, f"?run={run.pk}") == expected(run)
        assert walk(admin_client, f"?q={run.pk}+") == expected(run)
    assert walk(admin_client, "?run=wrun_none") == []
    found = walk(admin_client, f"?run={runs[0].pk}&type=step_completed")
    assert [kind for _, kind, _ in found] == ["step_completed"] * 2


def test_only_what_is_on_the_page_is_read(
    admin_client: Client, runs: list[Run]
) -> None:
    counts = set()
    for query in ("", f"?run={runs[0].pk}", f"?run={runs[1].pk}&type=run_completed"):
        with CaptureQueriesContext(connection) as queries:
            admin_client.get(reverse(URL) + query)
        read = [
            each["sql"] for each in queries if "django_workflows_event" in each["sql"]
        ]
        assert len(read) == 1
        assert "LIMIT" in read[0]
        assert "COUNT(" not in read[0]
        assert '"payload"' not in read[0]
        counts.add(len(queries))
    assert len(counts) == 1


@pytest.mark.parametrize(
    "query", ["?type=run_created", "?run=x&type=nonsense", "?run=a%00b", "?p=x"]
)
def test_what_means_nothing_leads_back_to_all_events(
    admin_client: Client, runs: list[Run], query: str
) -> None:
    answer: Any = admin_client.get(reverse(URL) + query, follow=True)
    assert answer.redirect_chain == [(reverse(URL) + "?e=1", 302)]


def test_nobody_edits_the_log_here(
    admin_client: Client,
    client: Client,
    django_user_model: type[User],
    runs: list[Run],
) -> None:
    before = list(Event.objects.order_by("id").values())
    pk = before[0]["id"]
    for name, args in (("add", []), ("change", [pk]), ("delete", [pk])):
        url = reverse(f"admin:django_workflows_event_{name}", args=args)
        assert admin_client.post(url, {"post": "yes", "seq": "7"}).status_code == 403
    answer = admin_client.get(reverse(URL))
    assert "delete_selected" not in answer.content.decode()
    data = {"action": "delete_selected", "_selected_action": [pk], "post": "yes"}
    admin_client.post(reverse(URL), data)
    assert list(Event.objects.order_by("id").values()) == before
    client.force_login(django_user_model.objects.create_user("eve", is_staff=True))
    assert client.get(reverse(URL)).status_code == 403
