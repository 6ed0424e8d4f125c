"""PostgreSQL finds the runs of a list by the index that has them, and no others."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from django.db import connection, transaction
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import reverse

from django_workflows.models import Run
from tests.api.conftest import API

pytestmark = [
    pytest.mark.django_db(transaction=True),
    pytest.mark.skipif(connection.vendor != "postgresql", reason="is about its plans"),
]

RUNS = 5_000


@pytest.fixture(autouse=True)
def _runs(db: None) -> None:
    with connection.cursor() as cursor:
        with transaction.atomic():
            # Until it is on the disk, VACUUM knows of no row that everybody sees it.
            cursor.execute("SET LOCAL synchronous_commit = on")
            Run.objects.bulk_create(_run(number) for number in range(RUNS))
        cursor.execute("VACUUM ANALYZE django_workflows_run")


def _run(number: int) -> Run:
    is_old = number < RUNS // 2 and number % 2 == 0
    created_at = datetime(2026, 1, 1, tzinfo=UTC) + timedelta(minutes=number)
    return Run(
        id=f"wrun_{number:026d}",
        workflow="former" if is_old else "orders" if number % 10 else "mails",
        version="1" if is_old else "",
        status="failed" if number % 10 in (4, 5) else "completed",
        queue="slow" if number % 10 == 3 else "default",
        created_at=created_at,
        finished_at=created_at,
    )


#: What the list is narrowed by, and how that is found.
PLANS = {
    "workflow=former": "dw_run_workflow_created",
    "version=1": "dw_run_version_created",
    # In turn, and merged.
    "status=failed,timed_out": "dw_run_status_created",
    "status=failed&workflow=former": "dw_run_unsuccessful",
    "status=failed&workflow=mails": "dw_run_unsuccessful",
    # Never occurs together.
    "workflow=mails&queue=slow": "BitmapAnd",
}


def test_what_no_new_run_has_is_found_by_its_own_index(admin_client: Client) -> None:
    """All runs are in `dw_run_created`, which would be read from the newest one on."""
    listing = reverse("admin:django_workflows_run_changelist")
    plans = {f"{listing}?{query}": index for query, index in PLANS.items()}
    both = "status=failed,timed_out&ordering=-created_at"
    plans[f"{API}runs/?{both}"] = "dw_run_status_created"
    for url, expected in plans.items():
        plan = plan_of(admin_client, url)
        assert expected in plan, f"{url}: {plan}"
        assert "dw_run_created" not in plan, f"{url}: {plan}"


def plan_of(client: Client, url: str) -> str:
    """How the page's rows are found, in the list and in the filters."""
    with CaptureQueriesContext(connection) as captured:
        assert client.get(url).status_code == 200
        statements = [each["sql"] for each in captured.captured_queries]
    plans = [_plan(each) for each in statements if "ORDER BY" in each]
    return "\n".join(plans)


def _plan(statement: str) -> Any:
    with connection.cursor() as cursor:
        cursor.execute(f"EXPLAIN {statement}")
        return "\n".join(line for (line,) in cursor.fetchall())
