"""What the dashboard says that somebody should look at."""

from __future__ import annotations

import random
from datetime import timedelta
from urllib.parse import urljoin

import pytest
from django.test import Client
from django.urls import reverse

from django_workflows import create_schedule, sleep, start, step, workflow
from django_workflows.models import Run, Schedule, Worker
from django_workflows.testing import WorkflowTester
from tests.admin.pages import client_of, text_of, user_with
from tests.admin.panels import links, part

pytestmark = pytest.mark.django_db

URL = reverse("admin:app_list", args=["django_workflows"])


@step(name="attention.charge", max_retries=0)
def charge(card: str) -> None:
    if card == "stolen":
        raise ValueError("no such card")


@workflow(name="attention.pay")
async def pay(card: str) -> None:
    await charge(card)


@workflow(name="attention.guess")
async def guess() -> float:
    return random.random() + random.SystemRandom().random()


@workflow(name="attention.nap")
async def nap() -> None:
    await sleep("1h")


def later(workflows: WorkflowTester, length: str) -> None:
    """Let time pass, in which the workers give signs of life."""
    workflows.advance(length)
    Worker.objects.update(heartbeat_at=workflows.now)


def panel(client: Client) -> str:
    return part(client.get(URL).content.decode(), "dashboard-attention")


def told(client: Client) -> list[str]:
    """The sentences; each leads to where there is more about it."""
    found = links(panel(client))
    for url in found.values():
        assert client.get(urljoin(URL, url)).status_code == 200
    return list(found)


def test_a_site_on_which_all_is_well_says_so(
    admin_client: Client, workflows: WorkflowTester
) -> None:
    assert panel(admin_client) == ""  # there is nothing yet
    start(pay, "mine")
    workflows.run_until_idle()
    assert told(admin_client) == []
    assert "all is well" in text_of(panel(admin_client))


def test_failures_are_counted(admin_client: Client, workflows: WorkflowTester) -> None:
    for card in ("mine", "stolen", "yours", "stolen"):
        start(pay, card)
    nap.options(timeout="1m").start()
    start(nap)
    later(workflows, "2m")
    said = ["3 of 5 runs that ended failed or timed out."]
    assert told(admin_client) == said
    shown = admin_client.get(urljoin(URL, links(panel(admin_client))[said[0]]))
    assert sorted(run.status for run in shown.context["cl"].result_list) == [
        "failed",
        "failed",
        "timed_out",
    ]
    assert "all is well" not in text_of(panel(admin_client))
    later(workflows, "2d")
    assert told(admin_client) == []


def test_blocked_runs_are_counted(
    admin_client: Client, workflows: WorkflowTester
) -> None:
    start(guess)
    start(guess)
    workflows.run_until_idle()
    assert told(admin_client) == ["2 runs cannot go on with today's code."]
    assert links(panel(admin_client))[told(admin_client)[0]] == "#dashboard-blocked"


def test_work_that_nobody_does_is_told(
    admin_client: Client, workflows: WorkflowTester
) -> None:
    workflows.queues = ("default",)
    start(nap)
    nap.options(queue="mail").start()
    workflows.run_until_idle()
    later(workflows, "5m")
    assert told(admin_client) == ["Queue “mail” has had work for 5 min, and no worker."]
    [worker] = Worker.objects.all()
    Worker.objects.filter(pk=worker.pk).update(queues="default,mail")
    assert told(admin_client) == ["Work in queue “mail” has waited for 5 min."]
    Run.objects.filter(queue="mail").update(wake_at=workflows.now)
    assert told(admin_client) == []


def test_workers_that_are_gone_or_silent_are_told(
    admin_client: Client, workflows: WorkflowTester
) -> None:
    start(nap)
    workflows.run_until_idle()
    assert Worker.objects.count() == 1
    Worker(
        id="wrk_silent",
        host="here",
        pid=1,
        started_at=workflows.now,
        heartbeat_at=workflows.now - timedelta(minutes=5),
    ).save()
    assert told(admin_client) == [
        "1 worker has fallen silent; its work goes elsewhere soon."
    ]
    Worker.objects.update(stopped_at=workflows.now)
    assert told(admin_client) == [
        "No worker is alive: nothing goes on until one is started."
    ]
    reader = client_of(user_with("view_run"))
    assert told(reader) == []


def test_schedules_that_fail_are_told(
    admin_client: Client, workflows: WorkflowTester
) -> None:
    create_schedule("nightly", nap, interval="1d")
    start(nap)
    workflows.run_until_idle()
    Schedule.objects.update(last_error="LookupError: a secret")
    assert told(admin_client) == [
        "The last start by schedule “nightly” has failed.",
    ]
    reader = client_of(user_with("view_run", "view_worker"))
    assert told(reader) == []
