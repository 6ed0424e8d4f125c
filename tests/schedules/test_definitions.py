"""Schedules of definitions."""

from __future__ import annotations

from typing import Any

import pytest
from django.core.exceptions import ValidationError
from rest_framework.test import APIClient

from django_workflows import create_schedule
from django_workflows.definitions import (
    DefinedWorkflow,
    StepDefinition,
    delete_definition,
    register,
)
from django_workflows.models import Run, Schedule
from django_workflows.testing import WorkflowTester


class Cleaning(DefinedWorkflow):
    id = "tests.schedules.cleaning"
    name = "Clean up"
    steps = [StepDefinition(id="sweep", action="sweep")]

    def sweep(self, params: Any, state: Any) -> Any:
        return params


def test_a_definition_is_started_in_its_newest_version(
    workflows: WorkflowTester,
) -> None:
    data: dict[str, Any] = {
        "id": "tests.schedules.stored",
        "name": "Stored",
        "steps": [{"id": "first", "action": "noop"}],
    }
    register(data)
    schedule = create_schedule(
        "stored", data["id"], args=[{"by": "clock"}], interval=60
    )
    workflows.advance(60)
    data["steps"] += [{"id": "second", "action": "noop", "dependsOn": ["first"]}]
    register(data)
    workflows.advance(60)
    runs = Run.objects.order_by("created_at")
    assert [run.attributes["definition_version"] for run in runs] == [1, 2]
    assert {run.attributes["schedule"] for run in runs} == {"stored"}
    assert [len(run.result()) for run in runs] == [1, 2]
    delete_definition(data["id"])
    workflows.advance(120)
    schedule.refresh_from_db()
    assert "knows nothing" in schedule.last_error
    assert Run.objects.count() == 2


def test_a_definition_of_a_class(workflows: WorkflowTester) -> None:
    create_schedule("cleaning", Cleaning.id, kwargs={"input": {"room": 7}}, interval=60)
    workflows.advance(60)
    assert Run.objects.get().result() == {"sweep": {"room": 7}}


@pytest.mark.parametrize(
    "call", [{"args": [1, 2]}, {"kwargs": {"room": 7}}, {"args": [object()]}]
)
def test_what_is_no_input(workflows: WorkflowTester, call: dict[str, Any]) -> None:
    with pytest.raises(ValidationError) as caught:
        create_schedule("cleaning", Cleaning.id, interval=60, **call)
    assert list(caught.value.message_dict) == ["args"]
    assert not Schedule.objects.exists()


def test_over_rest(admin_client: Any, workflows: WorkflowTester) -> None:
    client = APIClient()
    client.cookies = admin_client.cookies
    body = {"name": "cleaning", "workflow": Cleaning.id, "args": [{}], "interval": 60}
    answer = client.post("/workflows/api/schedules/", body, "json")
    assert answer.status_code == 201, answer.json()
    workflows.advance(60)
    assert Run.objects.get().attributes["definition"] == Cleaning.id
