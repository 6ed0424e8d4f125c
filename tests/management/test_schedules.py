"""``manage.py workflows schedules``."""

from __future__ import annotations

from datetime import timedelta

import pytest

from django_workflows import create_schedule, workflow
from django_workflows.testing import WorkflowTester
from tests.management.commands import document, run_command

pytestmark = pytest.mark.django_db


@workflow(name="tests.reporting")
async def reporting(region: str) -> str:
    return region


def test_schedules_are_listed_with_what_keeps_them_from_starting(
    workflows: WorkflowTester,
) -> None:
    assert document("schedules") == []
    assert "no schedule" in run_command("schedules")[1]
    create_schedule(
        "nightly", reporting, args=("eu",), cron="30 2 * * *", timezone="Europe/Berlin"
    )
    paused = create_schedule("often", reporting, args=("us",), interval="90s")
    paused.pause("while we move")
    create_schedule(
        "once", reporting, args=("uk",), at=workflows.now + timedelta(hours=1)
    )
    workflows.advance("2h")
    shown = {each["name"]: each for each in document("schedules")}
    assert list(shown) == ["nightly", "often", "once"]
    assert shown["nightly"]["args"] == ["eu"]
    assert shown["nightly"]["next_run_at"] is not None
    assert shown["once"]["last_run_at"] is not None
    nightly, often, once = run_command("schedules")[1].splitlines()[-3:]
    assert "30 2 * * * (Europe/Berlin)" in nightly
    assert "active" in nightly
    assert "every 90 s" in often
    assert "paused: while we move" in often
    assert "exhausted" in once


def test_why_a_schedule_fails_is_told(workflows: WorkflowTester) -> None:
    schedule = create_schedule("hourly", reporting, args=("eu",), interval="1h")
    type(schedule).objects.update(last_error="TypeError: no region")
    assert "failing: TypeError: no region" in run_command("schedules")[1]
