"""Who looks for limited work reads few rows of many on MariaDB too, whose indexes hold
what has ended and what waits for something else."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from django.db import connection
from django.utils import timezone

from django_workflows.models import Run, Step
from django_workflows.replay.actions import KnownSteps
from django_workflows.store.admission import run_lines
from django_workflows.store.due import look
from django_workflows.store.step_claims import Offer, steps_on_offer
from django_workflows.store.step_lines import step_lines
from tests.databases import rows_read

pytestmark = [
    pytest.mark.django_db(transaction=True),
    pytest.mark.skipif(connection.vendor != "mysql", reason="counts the rows it reads"),
]

ROWS = 3_000
#: Far fewer than there are.
FEW = 1_000
SINCE = datetime(2026, 1, 1, tzinfo=UTC)


def analyze(table: str) -> None:
    with connection.cursor() as cursor:
        cursor.execute(f"ANALYZE TABLE {table}")
        cursor.fetchall()


def test_the_lines_of_steps_are_found_among_many_that_have_ended() -> None:
    Run.objects.create(id="wrun_1", workflow="work", created_at=SINCE, status="running")
    Step.objects.bulk_create(
        Step(
            id=f"step_{number}",
            run_id="wrun_1",
            name="limited",
            status="completed" if number else "pending",
            due_at=None if number else SINCE,
            limit_key=f"ended {number % 3}" if number else "waits",
            options="{}",
            created_at=SINCE,
        )
        for number in range(ROWS)
    )
    analyze("django_workflows_step")
    before = rows_read()
    lines = step_lines(connection, ["default"], KnownSteps(("limited",)), None)
    assert rows_read() - before < FEW
    assert [line.first for line in lines] == ["step_0"]


def test_the_lines_of_runs_are_found_among_many_that_are_open() -> None:
    Run.objects.bulk_create(
        Run(
            id=f"wrun_{number}",
            workflow="work",
            status="running" if number else "pending",
            queued_at=None if number else SINCE,
            limit_key=f"at work {number % 3}" if number else "waits",
            created_at=SINCE,
        )
        for number in range(ROWS)
    )
    analyze("django_workflows_run")
    before = rows_read()
    lines = run_lines(connection, ["default"], (("work", ""),))
    assert rows_read() - before < FEW
    assert [line.key for line in lines] == ["waits"]


def test_nothing_to_be_begun_is_seen_without_reading_what_there_is() -> None:
    """Each worker looks many times a second."""
    Run.objects.bulk_create(
        Run(id=f"wrun_{number}", workflow="work", status="running", created_at=SINCE)
        for number in range(ROWS)
    )
    Step.objects.bulk_create(
        Step(
            id=f"step_{number}",
            run_id=f"wrun_{number}",
            name="step",
            status="completed",
            limit_key=f"ended {number % 3}" if number % 2 else "",
            options="{}",
            created_at=SINCE,
        )
        for number in range(ROWS)
    )
    analyze("django_workflows_run")
    analyze("django_workflows_step")
    before = rows_read()
    offer = steps_on_offer(connection, ["default"], KnownSteps(("step",)), 10, None)
    assert rows_read() - before < FEW
    assert offer == Offer([], [], has_queued_runs=False, has_suspects=False)


def test_what_will_be_due_is_not_read_to_see_what_is_next() -> None:
    soon = timezone.now() + timedelta(days=1)
    Run.objects.bulk_create(
        Run(
            id=f"wrun_{number}",
            workflow="work",
            status="running",
            queue=("default", "other")[number % 2],
            wake_at=soon + timedelta(hours=number),
            created_at=SINCE,
        )
        for number in range(ROWS)
    )
    analyze("django_workflows_run")
    before = rows_read()
    due = look(["default", "other"])
    assert rows_read() - before < FEW
    assert not due.now
    assert due.wait == pytest.approx(86_400, abs=3_600)
