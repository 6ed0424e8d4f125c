"""The page of a run."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from django.contrib.admin.models import LogEntry
from django.contrib.admin.utils import quote
from django.test import Client
from django.urls import reverse

from django_workflows import (
    create_hook,
    create_schedule,
    get_run,
    sleep,
    start,
    step,
    workflow,
)
from django_workflows.admin.addresses import run_url
from django_workflows.models import Event, Run, Worker
from django_workflows.testing import WorkflowTester
from tests.admin.crawling import crawl
from tests.admin.pages import client_of, queries_of, read, user_with

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


def test_the_page_leads_to_what_the_run_comes_from(
    admin_client: Client, workflows: WorkflowTester
) -> None:
    schedule = create_schedule("nightly", waiting, interval="1h")
    workflows.advance("1h")
    [run] = Run.objects.all()
    links = [
        reverse("admin:django_workflows_schedule_change", args=[schedule.pk]),
        reverse("admin:django_workflows_run_changelist") + f"?workflow={run.workflow}",
    ]
    html = admin_client.get(run_url(run)).content.decode()
    assert all(f'href="{link}"' in html for link in links)
    assert "schedule=nightly" in html
    for link in links:
        assert admin_client.get(link).status_code == 200
    reader = client_of(user_with("view_run"))
    assert links[0] not in reader.get(run_url(run)).content.decode()


def test_the_worker_that_owns_a_run_is_named(
    admin_client: Client, workflows: WorkflowTester
) -> None:
    run = start(busy, 1)
    workflows.run_until_idle()
    [worker] = Worker.objects.all()
    Run.objects.update(owner=worker.pk)
    url = reverse("admin:django_workflows_worker_change", args=[quote(worker.pk)])
    html = admin_client.get(run_url(run)).content.decode()
    assert f'<a href="{url}">{worker.host}:{worker.pid}</a>' in html
    page = read(client_of(user_with("view_run")), run_url(run))
    assert f"Worker {worker.host}:{worker.pid}" in page


def test_every_link_is_for_those_who_see_it(workflows: WorkflowTester) -> None:
    start(busy, 2)
    workflows.advance("2h")
    assert sum(1 for _page in crawl(client_of(user_with("view_run")))) > 1


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
    short, long = (queries_of(admin_client, run_url(run)) for run in runs)
    assert get_run(runs[1].pk).status == ("failed" if is_over else "running")
    assert short == long


@pytest.mark.parametrize("damage", [b"", b"\x00broken", b"k:lost:xyz", b'{"__x": 1}'])
def test_payloads_that_cannot_be_read_are_told_of(
    damage: bytes, admin_client: Client, workflows: WorkflowTester
) -> None:
    run = start(busy, 2)
    workflows.advance("2h")
    Event.objects.filter(payload__isnull=False).update(payload=damage)
    page = read(admin_client, run_url(run))
    assert "Summary failed" in page
    assert "[unreadable: " in page
    assert "Why it failed Failed: unknown: [unreadable: " in page
    for event in Event.objects.all():
        url = reverse("admin:django_workflows_event_change", args=[event.pk])
        assert admin_client.get(url).status_code == 200
