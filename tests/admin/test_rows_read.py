"""The console reads few rows of many on MariaDB too, whose indexes hold all of them."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from django.db import connection
from django.test import Client
from django.urls import reverse

from django_workflows.models import Event, Run, Step
from django_workflows.store.distinct import distinct_values
from tests.databases import rows_read

pytestmark = [
    pytest.mark.django_db(transaction=True),
    pytest.mark.skipif(connection.vendor != "mysql", reason="counts the rows it reads"),
]

ROWS = 3_000
#: Far fewer than there are of any kind.
FEW = 1_000
TABLES = ("run", "event", "step")


@pytest.fixture(autouse=True)
def _rows(db: None) -> None:
    since = datetime(2026, 1, 1, tzinfo=UTC)
    times = [since + timedelta(minutes=number) for number in range(ROWS)]
    ids = [f"{number:026d}" for number in range(ROWS)]
    Run.objects.bulk_create(
        Run(
            id=f"wrun_{id_}",
            workflow=f"workflow {number % 3}",
            queue=f"queue {number % 3}",
            status="completed",
            created_at=time,
            finished_at=time,
        )
        for number, (id_, time) in enumerate(zip(ids, times, strict=True))
    )
    Event.objects.bulk_create(
        Event(run_id=f"wrun_{id_}", seq=1, type="run_created", created_at=time)
        for id_, time in zip(ids, times, strict=True)
    )
    Step.objects.bulk_create(
        Step(
            id=f"step_{id_}",
            run_id=f"wrun_{id_}",
            name="step",
            status="completed",
            queue=f"queue {number % 3}",
            limit_key="limit" if number % 2 else "",
            created_at=time,
        )
        for number, (id_, time) in enumerate(zip(ids, times, strict=True))
    )
    with connection.cursor() as cursor:
        for table in TABLES:
            cursor.execute(f"ANALYZE TABLE django_workflows_{table}")
            cursor.fetchall()


def test_the_filters_of_runs_read_no_index_to_its_end() -> None:
    """They offer the workflows and the queues that there are."""
    before = rows_read()
    for field in ("workflow", "queue"):
        names = [f"{field} {number}" for number in range(3)]
        assert distinct_values(Run, field, 100) == names
        assert distinct_values(Run, field, 2) == names[:2]
    assert rows_read() - before < FEW


def test_the_dashboard_reads_no_table_to_its_end(admin_client: Client) -> None:
    """It finds where its period begins, what ran in each part and what is due."""
    before = rows_read()
    page = admin_client.get(reverse("admin:app_list", args=["django_workflows"]))
    assert page.status_code == 200
    assert rows_read() - before < FEW
