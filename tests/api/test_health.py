"""Health and workers over HTTP."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.db import OperationalError, connection
from django.db.backends.utils import CursorWrapper
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from django_workflows import start, start_many, step, workflow
from django_workflows.models import Run, Worker
from django_workflows.testing import WorkflowTester

API = "/workflows/api"
pytestmark = pytest.mark.django_db


@workflow
async def quick() -> None:
    """Nothing to do."""


@workflow(queue="slow")
async def slow() -> None:
    """Nothing to do either."""


@workflow
async def reading_the_clock() -> float:
    import time

    return time.time()


@step(max_concurrency=1)
def limited() -> None:
    """One at a time."""


@workflow
async def waiting_for_a_slot() -> None:
    await limited()


@pytest.fixture
def staff() -> Client:
    client = Client()
    client.force_login(User.objects.create_user("staff", is_staff=True))
    return client


def add_worker(age: float = 0, **fields: Any) -> Worker:
    now = timezone.now()
    return Worker.objects.create(
        **{
            "id": f"wrk_{Worker.objects.count()}",
            "host": "here",
            "pid": 1,
            "queues": "default,slow",
            "started_at": now - timedelta(hours=1),
            "heartbeat_at": now - timedelta(seconds=age),
            **fields,
        }
    )


# -- health ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("workers", "status"),
    [
        ([], 503),
        ([{"age": 60}], 503),
        ([{"stopped_at": timezone.now()}], 503),
        ([{}], 200),
        ([{"age": 60}, {}], 200),
    ],
)
def test_health_is_a_database_and_a_worker_with_a_fresh_heartbeat(
    workers: list[dict[str, Any]], status: int
) -> None:
    for worker in workers:
        add_worker(**worker)
    answer = Client().get(f"{API}/health/")
    assert answer.status_code == status
    assert answer.json() == {
        "status": "ok" if status == 200 else "unhealthy",
        "database": True,
        "worker": status == 200,
    }


@pytest.mark.parametrize("is_known", [False, True])
def test_health_answers_while_the_database_does_not(
    is_known: bool, staff: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fails(*args: Any) -> None:
        raise OperationalError("the database is away")

    client = staff if is_known else Client()
    with monkeypatch.context() as patch:
        patch.setattr(CursorWrapper, "execute", fails)
        answer = client.get(f"{API}/health/")
    assert answer.status_code == 503
    assert answer.json() == {
        "status": "unhealthy",
        "database": False,
        "worker": False,
    }


def test_health_is_open_to_who_signs_in_wrongly(client: Client) -> None:
    add_worker()
    answer = client.get(f"{API}/health/", headers={"Authorization": "Basic eDp5"})
    told = {"status": "ok", "database": True, "worker": True}
    assert (answer.status_code, answer.json()) == (200, told)


def test_health_is_no_error_in_the_log(caplog: pytest.LogCaptureFixture) -> None:
    """Monitoring asks every few seconds; Django would mail each answer to admins."""
    assert Client().get(f"{API}/health/").status_code == 503
    assert not caplog.records


def test_health_tells_staff_what_waits(staff: Client) -> None:
    add_worker()
    first = start(quick)
    start_many(quick, [()] * 2)
    start(slow)
    quick.options(delay="1h").start()
    Run.objects.filter(pk=first.pk).update(wake_at=timezone.now() - timedelta(hours=2))
    told = staff.get(f"{API}/health/").json()
    assert told["workers"] == 1
    assert [(q["name"], q["due_runs"], q["due_steps"]) for q in told["queues"]] == [
        ("default", 3, 0),
        ("slow", 1, 0),
    ]
    first.refresh_from_db()
    assert first.wake_at is not None
    oldest = first.wake_at.isoformat().replace("+00:00", "Z")
    assert told["oldest_due_at"] == told["queues"][0]["oldest_due_at"] == oldest
    assert told["blocked_runs"] == {}


def test_health_tells_staff_of_blocked_runs(
    staff: Client, workflows: WorkflowTester
) -> None:
    for _ in range(2):
        start(reading_the_clock)
    workflows.run_until_idle()
    told = staff.get(f"{API}/health/").json()
    assert told["blocked_runs"] == {reading_the_clock.name: 2}


def test_health_counts_steps_that_wait_for_a_limit(
    staff: Client, workflows: WorkflowTester
) -> None:
    """Another worker has the only slot."""
    run = start(waiting_for_a_slot)
    workflows.run_until_idle()
    call = run.steps.get()
    call.status, call.due_at = "pending", workflows.now
    call.save()
    [queue] = staff.get(f"{API}/health/").json()["queues"]
    assert (queue["name"], queue["due_steps"]) == ("default", 1)


def test_counts_stop_somewhere(staff: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("django_workflows.store.queue_waits.COUNTED", 3)
    start_many(quick, [()] * 5)
    [queue] = staff.get(f"{API}/health/").json()["queues"]
    assert queue["due_runs"] == 3


def test_many_queues_take_as_many_queries_as_one(staff: Client) -> None:
    def queries() -> int:
        with CaptureQueriesContext(connection) as captured:
            staff.get(f"{API}/health/")
        return len(captured)

    start(quick)
    one = queries()
    names = [f"queue-{number:02}" for number in range(20)]
    for name in names:
        quick.options(queue=name).start()
    assert queries() == one
    told = staff.get(f"{API}/health/").json()["queues"]
    assert [queue["name"] for queue in told] == ["default", *names]
    assert {queue["due_runs"] for queue in told} == {1}


# -- workers --------------------------------------------------------------------------


def test_workers_are_listed_with_their_state(staff: Client) -> None:
    add_worker(age=60, started_at=timezone.now() - timedelta(hours=2))
    add_worker(runs=3, steps=4)
    listed = staff.get(f"{API}/workers/").json()
    assert (listed["next"], listed["previous"]) == (None, None)
    silent, alive = listed["results"]
    assert (silent["id"], silent["is_alive"]) == ("wrk_0", False)
    assert (alive["id"], alive["is_alive"]) == ("wrk_1", True)
    assert alive["queues"] == ["default", "slow"]
    assert (alive["runs"], alive["steps"], alive["host"]) == (3, 4, "here")


def test_workers_come_in_pages(staff: Client) -> None:
    for _ in range(3):
        add_worker()
    first = staff.get(f"{API}/workers/?page_size=2").json()
    second = staff.get(first["next"]).json()
    ids = [worker["id"] for page in (first, second) for worker in page["results"]]
    assert ids == ["wrk_0", "wrk_1", "wrk_2"]


@pytest.mark.parametrize("route", ["workers", "workflows", "schema"])
def test_others_than_staff_see_neither_workers_nor_workflows(route: str) -> None:
    client = Client()
    assert client.get(f"{API}/{route}/").status_code in (401, 403)
    client.force_login(User.objects.create_user("somebody"))
    assert client.get(f"{API}/{route}/").status_code == 403
