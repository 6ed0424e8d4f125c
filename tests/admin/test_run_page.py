"""The page of a run."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from django.contrib.admin.models import LogEntry
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import reverse

from django_workflows import create_hook, get_run, sleep, start, step, workflow
from django_workflows.admin.addresses import run_url
from django_workflows.models import Event, Run
from django_workflows.store.database import connection
from django_workflows.testing import WorkflowTester
from tests.admin.pages import client_of, read, user_with

pytestmark = pytest.mark.django_db


@workflow
async def waiting() -> None:
    """Has nothing to do."""


@step(max_retries=1)
def odd(number: int) -> int:
    if number % 2 == 0:
        raise ValueError("even")
    return number


@workflow
async def busy(number: int) -> None:
    numbers = [odd(each) for each in range(number)]
    hooks = [create_hook() for _each in range(number)]
    await sleep("1h")
    await asyncio.gather(*numbers, *hooks)


def stored() -> list[Any]:
    """Every run and event as it is."""
    return [list(Run.objects.values()), list(Event.objects.values())]


def test_a_run_has_a_page(admin_client: Client) -> None:
    run = start(waiting)
    page = read(admin_client, run_url(run))
    assert "Waiting for a worker of queue default" in page


def test_nothing_is_edited_here(admin_client: Client) -> None:
    run = start(waiting)
    before = stored()
    fields = {"status": "completed", "queue": "other", "_save": "Save"}
    pages = [run_url(run), run_url(run, "delete"), run_url(run, "history")]
    pages.append(reverse("admin:django_workflows_run_add"))
    for url in pages:
        assert admin_client.post(url, fields | {"post": "yes"}).status_code in (
            403,
            200,
        )
        assert stored() == before
    assert admin_client.post(run_url(run), fields).status_code == 403
    added = reverse("admin:django_workflows_run_add")
    assert admin_client.post(added, fields).status_code == 403
    assert admin_client.get(added).status_code == 403
    assert not LogEntry.objects.exists()


def test_the_page_is_for_those_who_may_see_runs() -> None:
    run = start(waiting)
    others = client_of(user_with("cancel_run", "view_payload"))
    assert others.get(run_url(run)).status_code == 403
    reader = client_of(user_with("view_run", name="ben"))
    assert reader.get(run_url(run)).status_code == 200


def test_an_unknown_run_is_answered_as_django_does(admin_client: Client) -> None:
    answer: Any = admin_client.get(run_url("wrun_unknown"), follow=True)
    assert answer.redirect_chain == [(reverse("admin:index"), 302)]
    assert "doesn’t exist" in answer.content.decode()


@pytest.mark.parametrize("is_over", [False, True])
def test_a_long_run_takes_as_many_queries_as_a_short_one(
    is_over: bool, admin_client: Client, workflows: WorkflowTester
) -> None:
    runs = [start(busy, 3), start(busy, 60)]
    if is_over:
        workflows.advance("2h")
    else:
        workflows.run_until_idle()
    used = []
    for run in runs:
        read(admin_client, run_url(run))  # what is cached is cached
        with CaptureQueriesContext(connection()) as queries:
            read(admin_client, run_url(run))
        used.append(len(queries))
    assert get_run(runs[1].pk).status == ("failed" if is_over else "running")
    assert used[0] == used[1]
