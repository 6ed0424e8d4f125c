"""An execution of a definition is called by its definition, wherever runs are named."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from django.contrib.admin.models import LogEntry
from django.test import Client
from django.urls import reverse

from django_workflows import start, workflow
from django_workflows.admin.addresses import run_url
from django_workflows.definitions import action, delete_definition, register
from django_workflows.definitions import start as start_definition
from django_workflows.models import Definition, Run, Worker
from django_workflows.replay.registry import EXECUTING
from django_workflows.testing import WorkflowTester
from tests.admin.pages import client_of, queries_of, read, user_with
from tests.admin.panels import links, panel, part
from tests.definitions.registered import registered_for_a_while

pytestmark = pytest.mark.django_db
LIST = reverse("admin:django_workflows_run_changelist")
DASHBOARD = reverse("admin:app_list", args=["django_workflows"])


def _fail(params: Any, state: Any) -> None:
    raise ValueError("the card is refused")


@pytest.fixture(autouse=True)
def _registered() -> Iterator[None]:
    with registered_for_a_while():
        action("fail")(_fail)
        yield


@workflow(name="executions.other")
async def other() -> None:
    return None


def execution(name: str = "order-procéssing", action: str = "noop") -> Run:
    register({"id": name, "name": "Orders", "steps": [{"id": "a", "action": action}]})
    return start_definition(name, {})


def test_its_page_is_named_by_its_definition(
    admin_client: Client, workflows: WorkflowTester
) -> None:
    run = execution()
    page = admin_client.get(run_url(run))
    assert page.context["title"] == "order-procéssing"
    html = page.content.decode()
    assert f"order-procéssing {run.pk}" in html.partition('class="breadcrumbs"')[2]
    assert EXECUTING not in html
    row = Definition.objects.get(definition_id="order-procéssing")
    url = reverse("admin:django_workflows_definition_change", args=[row.pk])
    summary = panel(admin_client, run, "summary")
    assert links(summary)["order-procéssing"] == url
    assert "version 1" in summary
    few = client_of(user_with("view_run"))
    assert "order-procéssing" not in links(panel(few, run, "summary"))
    delete_definition("order-procéssing")
    assert "order-procéssing" not in links(panel(admin_client, run, "summary"))


def test_lists_and_the_dashboard_name_it_so_at_no_cost(
    admin_client: Client, workflows: WorkflowTester
) -> None:
    execution("first", "fail")
    workflows.run_until_idle()
    before = queries_of(admin_client, LIST)
    for number in range(5):
        execution(f"fails-{number}", "fail")
    workflows.run_until_idle()
    for url in (LIST, DASHBOARD):
        said = read(admin_client, url)
        for number in range(5):
            assert f"fails-{number}" in said
    assert queries_of(admin_client, LIST) == before


def test_their_steps_are_named_by_their_actions(
    admin_client: Client, workflows: WorkflowTester
) -> None:
    run = execution("order-procéssing", "fail")
    workflows.run_until_idle()
    dashboard = part(admin_client.get(DASHBOARD).content.decode(), "dashboard-steps")
    assert "order-procéssing: fail" in dashboard
    assert "django_workflows.action" not in dashboard
    # As if it were still at work.
    worker = Worker.objects.create(
        id="worker_1",
        host="here",
        pid=1,
        started_at=run.created_at,
        heartbeat_at=run.created_at,
    )
    run.steps.update(status="running", worker=worker.pk)
    url = reverse("admin:django_workflows_worker_change", args=[worker.pk])
    assert "order-procéssing: fail" in part(
        admin_client.get(url).content.decode(), "in-hand"
    )


def test_the_list_can_be_narrowed_to_them(admin_client: Client) -> None:
    run = execution()
    start(other)
    url = links(admin_client.get(LIST).content.decode())["executions of definitions"]
    assert url == f"?workflow={EXECUTING}"
    shown = admin_client.get(LIST + url).context["cl"].result_list
    assert [each.pk for each in shown] == [run.pk]


def test_blocked_ones_are_counted_by_definition(
    admin_client: Client, workflows: WorkflowTester
) -> None:
    one, two = execution("one"), execution("two")
    for run in (one, two):
        Run.objects.filter(pk=run.pk).update(
            blocked_reason="UnknownCodeError: gone", blocked_times=1
        )
    html = admin_client.get(DASHBOARD).content.decode()
    for run in (one, two):
        query = f"blocked=yes&amp;workflow={EXECUTING}&amp;attributes.definition="
        assert f'href="{LIST}?{query}{run.title}"' in html
    found = admin_client.get(f"{LIST}?blocked=yes&attributes.definition=one")
    assert [run.pk for run in found.context["cl"].result_list] == [one.pk]


def test_who_cancels_it_reads_what_it_is_in_the_log_of_the_admin(
    admin_client: Client,
) -> None:
    run = execution("order")
    admin_client.post(run_url(run, "cancel"), {"post": "yes"})
    assert LogEntry.objects.get().object_repr == f"order {run.pk}"


def test_attributes_of_other_runs_name_nothing() -> None:
    run = other.options(attributes={"definition": "order"}).start()
    assert run.title == "executions.other"
    assert str(run) == f"executions.other {run.pk}"
    assert start(other).title == "executions.other"
