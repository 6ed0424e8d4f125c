"""Definitions and business events over HTTP."""

from __future__ import annotations

from typing import Any

import pytest
from django.contrib.auth.models import User
from django.test import Client

from django_workflows import workflow
from django_workflows.api.business_events import EXAMPLE as EVENT
from django_workflows.definitions import DefinedWorkflow, get_definition, register
from django_workflows.models import Definition, Run
from django_workflows.testing import WorkflowTester
from tests.api.permissions import OwnRuns

API = "/workflows/api"
pytestmark = pytest.mark.django_db


class Counted(DefinedWorkflow):
    id = "tests-api-class"
    steps = ({"id": "a", "action": "count"},)

    def count(self, params: Any) -> int:
        return len(params)


@workflow(name="tests.api.definitions.audit", on="Api.happened")
async def audit(data: Any) -> None:
    """Started by an event, though no client may start it by its name."""


@pytest.fixture
def staff() -> Client:
    client = Client()
    client.force_login(User.objects.create_user("staff", is_staff=True))
    return client


def definition(wait: Any = "1d", **more: Any) -> dict[str, Any]:
    steps = [
        {"id": "a", "action": "noop", "dependsOn": [], "wait": wait},
        {"id": "b", "action": "noop", "dependsOn": ["a"], "onError": "continue"},
    ]
    return {"id": "from api", "steps": steps, **more}


def send(client: Client, method: str, path: str, body: Any = None) -> Any:
    return getattr(client, method)(
        f"{API}/{path}", body, content_type="application/json"
    )


def test_definition_is_registered_shown_changed_and_hidden(staff: Client) -> None:
    made = send(staff, "post", "definitions/", definition())
    assert made.status_code == 201
    assert (made.json()["version"], made.json()["name"]) == (1, "from api")

    shown = staff.get(f"{API}/definitions/from%20api/")
    assert shown.json() == made.json()
    assert shown.json()["steps"][1]["dependsOn"] == ["a"]
    assert send(staff, "post", "definitions/", shown.json()).json()["version"] == 1

    changed = send(staff, "put", "definitions/from%20api/", definition(wait=5))
    assert (changed.status_code, changed.json()["version"]) == (200, 2)
    listed = staff.get(f"{API}/definitions/").json()
    assert changed.json() in listed["results"]
    assert (listed["next"], listed["previous"]) == (None, None)

    assert staff.delete(f"{API}/definitions/from%20api/").status_code == 204
    assert get_definition("from api") is None
    for method in ("get", "put", "delete"):
        answer = send(staff, method, "definitions/from%20api/", definition())
        assert answer.status_code == 404


def test_classes_are_listed_without_a_row(staff: Client) -> None:
    shown = staff.get(f"{API}/definitions/tests-api-class/").json()
    assert shown in staff.get(f"{API}/definitions/").json()["results"]
    assert not Definition.objects.exists()


@pytest.mark.parametrize(
    ("body", "words"),
    [
        ({}, ["id: ", "at least one step"]),
        ([], ["an object"]),
        (definition(wait="soon", extra=1), ["'soon'", "extra"]),
    ],
)
def test_all_problems_are_told(staff: Client, body: Any, words: list[str]) -> None:
    answer = send(staff, "post", "definitions/", body)
    assert answer.status_code == 400
    problems = "\n".join(answer.json()["problems"])
    for word in words:
        assert word in problems
    assert not Definition.objects.exists()


def test_id_of_the_body_is_that_of_the_route(staff: Client) -> None:
    register(definition())
    answer = send(staff, "put", "definitions/from%20api/", definition(id="other"))
    assert (answer.status_code, list(answer.json())) == (400, ["id"])
    assert get_definition("other") is None


def test_params_are_redacted(staff: Client, settings: Any) -> None:
    settings.WORKFLOWS = {"REDACT": ["token"]}
    steps = [{"id": "a", "action": "noop", "params": {"token": "secret"}}]
    made = send(staff, "post", "definitions/", {"id": "x", "steps": steps})
    assert made.json()["steps"][0]["params"] == {"token": "[redacted]"}
    found = get_definition("x")
    assert found is not None
    assert found.steps[0].params == {"token": "secret"}


# -- events ---------------------------------------------------------------------------


def test_event_starts_what_waits_for_it(
    staff: Client, workflows: WorkflowTester
) -> None:
    triggers = [{"event": "Api.happened", "condition": "total > 100"}]
    register({**definition(), "id": "big", "triggers": triggers})
    body = {**EVENT, "event": "Api.happened"}
    answer = send(staff, "post", "events/", body)
    assert answer.status_code == 200
    assert [run["workflow"] for run in answer.json()] == [
        "django_workflows.definition",
        "tests.api.definitions.audit",
    ]
    again = send(staff, "post", "events/", body)
    assert [run["id"] for run in again.json()] == [run["id"] for run in answer.json()]
    assert Run.objects.count() == 2
    assert send(staff, "post", "events/", {"event": "Api.quiet"}).json() == []


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({}, "event"),
        ({"event": ""}, "event"),
        ({"event": " "}, "event"),
        ({"event": 5}, "event"),
        ({"event": "E", "event_id": "x" * 1001}, "event_id"),
    ],
)
def test_what_is_no_event_is_refused(
    staff: Client, body: dict[str, Any], field: str
) -> None:
    answer = send(staff, "post", "events/", body)
    assert (answer.status_code, list(answer.json())) == (400, [field])


def test_event_starts_nothing_that_is_not_for_the_client(settings: Any) -> None:
    settings.WORKFLOWS = {"PERMISSION_CLASSES": [OwnRuns]}
    client = Client()
    client.force_login(User.objects.create_user("us"))
    answer = send(client, "post", "events/", {"event": "Api.happened"})
    assert answer.status_code == 404
    assert not Run.objects.exists()


@pytest.mark.parametrize("path", ["definitions/", "definitions/from%20api/", "events/"])
def test_pages_for_people(staff: Client, path: str) -> None:
    register(definition())
    page = staff.get(f"{API}/{path}", headers={"accept": "text/html"})
    assert page.status_code == (405 if path == "events/" else 200)
    assert "<form" in page.text
