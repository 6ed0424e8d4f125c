"""The page of an execution shows its definition, and how far it has come."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from django.test import Client
from django.urls import reverse
from pytest_django import DjangoAssertNumQueries

from django_workflows import start, workflow
from django_workflows.admin.definitions.graphs import Picture
from django_workflows.definitions import action, register
from django_workflows.definitions import start as start_definition
from django_workflows.models import Run, Step
from django_workflows.testing import WorkflowTester
from tests.definitions.registered import registered_for_a_while


@pytest.fixture(autouse=True)
def _registered() -> Iterator[None]:
    with registered_for_a_while():
        action("fail")(_fail)
        yield


def _fail(params: Any, state: Any) -> None:
    raise ValueError("the card is refused")


def execution(*steps: dict[str, Any], given: Any = None) -> Run:
    steps = tuple({"action": "noop", **step} for step in steps)
    register({"id": "order", "name": "An order", "steps": steps})
    return start_definition("order", given)


def page_of(run: Run) -> str:
    return reverse("admin:django_workflows_run_change", args=[run.pk])


def picture(client: Client, run: Run) -> Picture:
    """What the page of a run draws."""
    answer = client.get(page_of(run))
    assert answer.status_code == 200
    [panel] = [each for each in answer.context["panels"] if each["name"] == "graph"]
    drawn: Picture = panel["picture"]
    return drawn


def statuses(client: Client, run: Run) -> dict[str, str]:
    return {step.id: step.status_text for step in picture(client, run).steps}


def test_each_step_shows_how_it_stands(
    admin_client: Client, workflows: WorkflowTester
) -> None:
    run = execution(
        {"id": "check"},
        {"id": "late", "dependsOn": ["check"], "wait": "1h"},
        {"id": "never", "dependsOn": ["check"], "condition": "input.total > 100"},
        {"id": "charge", "action": "fail", "maxRetries": 1, "onError": "continue"},
        {"id": "end", "dependsOn": ["late", "charge"]},
        given={"total": 7},
    )
    workflows.advance("5s")
    assert statuses(admin_client, run) == {
        "check": "completed",
        "late": "waiting",
        "never": "skipped",
        "charge": "failed, 2 attempts",
        "end": "not yet",
    }
    run.cancel()
    workflows.run_until_idle()
    assert statuses(admin_client, run) == {
        "check": "completed",
        "late": "cancelled",
        "never": "skipped",
        "charge": "failed, 2 attempts",
        "end": "did not run",
    }


def test_a_step_links_to_what_the_log_says_of_it(
    admin_client: Client, workflows: WorkflowTester
) -> None:
    run = execution({"id": "check"}, {"id": "end", "dependsOn": ["check"]})
    workflows.run_until_idle()
    steps = picture(admin_client, run).steps
    rows = Step.objects.filter(run=run).order_by("created_at", "id")
    assert {step.state.url for step in steps if step.state} == {
        f"{page_of(run)}?step={row.pk}#step-{row.pk}" for row in rows
    }
    html = admin_client.get(f"{page_of(run)}?step={rows[0].pk}").content.decode()
    assert f'id="step-{rows[0].pk}"' in html


def test_what_a_retry_has_made_void_is_not_shown(
    admin_client: Client, workflows: WorkflowTester
) -> None:
    run = execution({"id": "charge", "action": "fail"}, {"id": "end"})
    workflows.run_until_idle()
    assert statuses(admin_client, run)["charge"] == "failed"
    action("fail")(lambda params: "done")
    run.retry()
    workflows.run_until_idle()
    assert statuses(admin_client, run) == {
        "charge": "completed, 2 attempts",
        "end": "completed",
    }


@workflow
async def plain() -> None:
    """No definition."""


@pytest.mark.django_db
def test_other_runs_have_no_graph(admin_client: Client) -> None:
    panels = admin_client.get(page_of(start(plain))).context["panels"]
    assert "graph" not in [panel["name"] for panel in panels]


def test_the_number_of_queries_is_that_of_a_small_one(
    admin_client: Client,
    workflows: WorkflowTester,
    django_assert_max_num_queries: DjangoAssertNumQueries,
) -> None:
    small = execution({"id": "a"})
    large = execution(*({"id": f"s{number}"} for number in range(60)))
    workflows.run_until_idle()
    counts = []
    for run in (small, large):
        with django_assert_max_num_queries(100) as seen:
            assert set(statuses(admin_client, run).values()) == {"completed"}
        counts.append(len(seen))
    assert counts[0] == counts[1]
