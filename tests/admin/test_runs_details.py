"""What the list of runs says about each of them, in a line."""

from __future__ import annotations

import random
import re
from html import unescape

import pytest
from django.test import Client
from django.urls import reverse

from django_workflows import create_hook, sleep, start, step, workflow
from django_workflows.admin.addresses import run_url
from django_workflows.testing import WorkflowTester
from tests.admin.pages import client_of, queries_of, read, user_with

pytestmark = pytest.mark.django_db

URL = reverse("admin:django_workflows_run_changelist")
DASHBOARD = reverse("admin:app_list", args=["django_workflows"])


@step(name="details.charge", max_retries=0)
def charge(card: str) -> None:
    raise ValueError(f"no such card: {card}" + "!" * 200)


@workflow(name="details.pay")
async def pay(card: str) -> None:
    await charge(card)


@workflow(name="details.order")
async def order(name: str) -> None:
    error = LookupError("out of stock")
    error.pages = [name] * 10_000  # type: ignore[attr-defined]
    raise error


@workflow(name="details.ask")
async def ask() -> None:
    await create_hook()


@workflow(name="details.nap")
async def nap() -> None:
    await sleep("3d")


@workflow(name="details.guess")
async def guess(secret: str) -> None:
    random.seed(secret)
    raise AssertionError


def details(client: Client) -> dict[str, str]:
    """What is said, by the ids of runs; with the time that it names, if it does."""
    html = client.get(URL).content.decode()
    found = re.findall(r'<span id="(\w+)-details"(.*?)data-live>(.*?)</span>', html)
    return {
        run: unescape(text + title.replace(' title="', "| ").strip(' "'))
        for run, title, text in found
    }


def test_errors_that_would_take_long_to_read_are_on_the_pages_of_their_runs(
    admin_client: Client, workflows: WorkflowTester
) -> None:
    few, many = start(pay, "4929"), start(order, "many pages")
    workflows.run_until_idle()
    said = details(admin_client)
    assert "4929" in said[few.pk]
    assert said[many.pk] == "Too long to be shown here."
    dashboard = read(admin_client, DASHBOARD)
    assert "4929" in dashboard
    assert "Too long to be shown here." in dashboard
    assert "out of stock" not in dashboard
    assert "out of stock" in read(admin_client, run_url(many))


def test_errors_blocks_and_waits_are_told(
    admin_client: Client, workflows: WorkflowTester
) -> None:
    failed, blocked = start(pay, "4929"), start(guess, "sesame")
    asking, napping = start(ask), start(nap)
    later = nap.options(delay="2h").start()
    done = start(nap)
    workflows.run_until_idle()
    done.terminate()
    workflows.advance("1h")
    said = details(admin_client)
    assert said[failed.pk].startswith("ValueError: no such card: 4929!!!")
    assert said[failed.pk].endswith("…")
    assert len(said[failed.pk]) < 200
    blocked.refresh_from_db()
    assert said[blocked.pk][:40] == blocked.blocked_reason[:40]
    assert said[asking.pk] == "for a payload"
    napping.refresh_from_db()
    assert napping.wake_at is not None
    assert said[napping.pk] == f"wakes in 2 d 23 h| {napping.wake_at:%F %T} UTC"
    assert said[later.pk].startswith("starts in 1 h| ")
    assert said[done.pk] == ""


def test_without_payloads_errors_have_types_only(workflows: WorkflowTester) -> None:
    failed, blocked = start(pay, "4929"), start(guess, "sesame")
    workflows.run_until_idle()
    said = details(client_of(user_with("view_run")))
    assert said[failed.pk] == "ValueError"
    assert said[blocked.pk] == "WorkflowGuardError"


def test_a_blocked_run_has_one_badge(
    admin_client: Client, workflows: WorkflowTester
) -> None:
    run = start(guess, "sesame")
    workflows.run_until_idle()
    html = admin_client.get(URL).content.decode()
    badge = rf'<span id="{run.pk}-status" class="dw-status dw-status-blocked"'
    assert len(re.findall(badge, html)) == 1
    assert "dw-status-running" not in html


def test_however_many_there_are_it_takes_as_many_queries(
    admin_client: Client, workflows: WorkflowTester
) -> None:
    def add(count: int) -> None:
        for number in range(count):
            start(pay, str(number))
            start(ask)
            start(guess, str(number))
        workflows.run_until_idle()

    add(1)
    few = queries_of(admin_client, URL)
    add(9)
    assert len(details(admin_client)) == 30
    assert queries_of(admin_client, URL) == few
