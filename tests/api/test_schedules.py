"""Schedules over HTTP."""

from __future__ import annotations

from datetime import datetime
from typing import Any

import pytest
from django.contrib.auth.models import User
from rest_framework.test import APIClient

from django_workflows import create_schedule, workflow
from django_workflows.errors import SerializationError
from django_workflows.models import Run, Schedule
from django_workflows.store import schedule_runs
from django_workflows.store.people import making_up
from django_workflows.testing import WorkflowTester
from tests.api.permissions import OwnRuns

URL = "/workflows/api/schedules/"


@workflow(api=True)
async def to_all(number: int = 1, *, since: datetime | None = None) -> int:
    return number


@workflow
async def to_nobody(number: int = 1) -> int:
    return number


HOURLY = {"name": "hourly", "workflow": to_all.name, "interval": "1h"}


@pytest.fixture
def client(workflows: WorkflowTester) -> APIClient:
    client = APIClient()
    client.force_login(User.objects.create_user("staff", is_staff=True))
    return client


def test_a_schedule_from_its_creation_to_its_end(
    client: APIClient, workflows: WorkflowTester
) -> None:
    body = {**HOURLY, "args": ["5"], "kwargs": {"since": "2026-01-01T00:00:00Z"}}
    created = client.post(URL, body, "json")
    assert created.status_code == 201
    shown = created.json()
    assert shown["interval"] == 3600
    assert shown["args"] == [5]
    assert datetime.fromisoformat(shown["next_run_at"]) > workflows.now
    own = f"{URL}{shown['id']}/"
    assert client.get(own).json() == shown == client.get(f"{URL}hourly/").json()
    assert client.get(URL).json()["results"] == [shown]
    workflows.advance("1h")
    run = Run.objects.get()
    assert run.result() == 5
    assert isinstance(run.kwargs["since"], datetime)

    changed = client.patch(own, {"interval": None, "cron": "0 3 * * *"}, "json").json()
    assert (changed["interval"], changed["cron"]) == (None, "0 3 * * *")
    assert changed["args"] == [5]
    replaced = client.put(own, HOURLY, "json").json()
    assert (replaced["interval"], replaced["cron"]) == (3600, None)
    assert (replaced["args"], replaced["kwargs"]) == ([], {})

    paused = client.post(f"{own}pause/", {"note": "holidays"}, "json").json()
    assert (paused["paused"], paused["note"]) == (True, "holidays")
    triggered = client.post(f"{own}trigger/")
    assert triggered.status_code == 201
    assert triggered.json()["attributes"]["schedule"] == "hourly"
    day = {"start": "2026-01-01T01:00:00+01:00", "end": "2026-01-01T02:00:00Z"}
    filled = client.post(f"{own}backfill/", day, "json").json()
    assert len(filled["runs"]) == 3
    assert client.post(f"{own}backfill/", day, "json").json() == {"runs": []}
    assert client.post(f"{own}unpause/").json()["paused"] is False

    assert client.delete(own).status_code == 204
    assert client.get(own).status_code == 404
    assert Run.objects.count() == 5


@pytest.mark.parametrize(
    ("changes", "about"),
    [
        ({"workflow": to_nobody.name}, "workflow"),
        ({"workflow": "no.such.workflow"}, "workflow"),
        ({"args": ["many"]}, "number"),
        ({"kwargs": {"other": 1}}, "kwargs"),
        ({"interval": "often"}, "interval"),
        ({"interval": None}, "__all__"),
        ({"interval": None, "at": "2999-01-01T00:00:00"}, "at"),
        ({"start_at": "0001-01-01T00:00:00+14:00"}, "start_at"),
        ({"overlap": "perhaps"}, "overlap"),
        ({"name": "taken"}, "name"),
        ({"name": 7}, "name"),
    ],
)
def test_what_is_refused(
    client: APIClient, changes: dict[str, Any], about: str
) -> None:
    create_schedule("taken", to_nobody, interval=60)
    answer = client.post(URL, {**HOURLY, **changes}, "json")
    assert answer.status_code == 400
    assert list(answer.json()) == [about]
    assert Schedule.objects.count() == 1


def test_what_is_not_for_the_api_is_not_given_other_arguments(
    client: APIClient,
) -> None:
    schedule = create_schedule("theirs", to_nobody, interval=60)
    own = f"{URL}{schedule.pk}/"
    assert client.patch(own, {"args": [2]}, "json").status_code == 400
    assert client.patch(own, {"note": "seen"}, "json").json()["note"] == "seen"
    assert client.post(f"{own}trigger/").status_code == 201


def test_a_schedule_whose_workflow_is_gone(client: APIClient) -> None:
    schedule = create_schedule("gone", to_all, interval=60)
    Schedule.objects.update(workflow="somewhere.else")
    own = f"{URL}{schedule.pk}/"
    assert client.get(own).json()["workflow"] == "somewhere.else"
    assert client.post(f"{own}trigger/").status_code == 409
    assert client.post(f"{own}pause/").status_code == 200


def test_runs_of_others_are_not_started(client: APIClient, settings: Any) -> None:
    settings.WORKFLOWS = {"PERMISSION_CLASSES": [OwnRuns]}
    schedule = create_schedule("theirs", to_all, interval=60)
    own = f"{URL}{schedule.pk}/"
    assert client.post(f"{own}trigger/").status_code == 404
    day = {"start": "2026-01-01T00:00:00Z", "end": "2026-01-01T00:02:00Z"}
    assert client.post(f"{own}backfill/", day, "json").status_code == 404
    assert not Run.objects.exists()


def test_a_backfill_that_fails_half_way_goes_on_where_it_has_stopped(
    client: APIClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is committed in batches: what was started before stays."""
    monkeypatch.setattr(making_up, "BATCH", 10)
    schedule = create_schedule("hourly", to_all, interval="1h")
    day = {"start": "2026-01-01T00:00:00Z", "end": "2026-01-01T23:00:00Z"}
    start_one = schedule_runs.start_at_time

    def fails_at_noon(schedule: Schedule, us: int) -> Run | None:
        if us % (86_400 * 1_000_000) == 12 * 3600 * 1_000_000:
            raise SerializationError("nobody works at noon")
        return start_one(schedule, us)

    with monkeypatch.context() as patched:
        patched.setattr(schedule_runs, "start_at_time", fails_at_noon)
        answer = client.post(f"{URL}{schedule.pk}/backfill/", day, "json")
    assert answer.status_code == 409
    assert "nobody works at noon" in answer.json()["detail"]
    assert Run.objects.count() == 10
    for count in (14, 0):
        answer = client.post(f"{URL}{schedule.pk}/backfill/", day, "json")
        assert len(answer.json()["runs"]) == count
        assert Run.objects.count() == 24


def test_a_backfill_that_is_too_large(client: APIClient) -> None:
    schedule = create_schedule("fast", to_all, interval=1)
    years = {"start": "2000-01-01T00:00:00Z", "end": "2026-01-01T00:00:00Z"}
    answer = client.post(f"{URL}{schedule.pk}/backfill/", years, "json")
    assert answer.status_code == 400
    assert "in parts" in answer.json()["end"][0]


def test_redacted_arguments(client: APIClient, settings: Any) -> None:
    settings.WORKFLOWS = {"REDACT": ["since"]}
    schedule = create_schedule("secret", to_all, kwargs={"since": None}, interval=1)
    shown = client.get(f"{URL}{schedule.pk}/").json()
    assert shown["kwargs"] == {"since": "[redacted]"}
