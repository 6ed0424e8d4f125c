"""Several workers serve a schedule at once, and one that somebody has locked."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from typing import Any

import pytest
from django.db import connection, transaction
from django.utils import timezone

from django_workflows import create_schedule, workflow
from django_workflows.models import Run, Schedule
from django_workflows.store import scheduling
from django_workflows.store.database import to_datetime, to_us
from django_workflows.store.scheduling import Served, serve_schedules
from tests.cluster.harness import DEADLINE

pytestmark = pytest.mark.django_db(transaction=True)

WORKERS = 3


@workflow(name="tests.schedules.ticking")
async def ticking() -> None:
    pass


def hourly(name: str, **options: Any) -> Schedule:
    """A schedule whose next time is half an hour away."""
    offset = timedelta(minutes=(timezone.now().minute + 30) % 60)
    return create_schedule(name, ticking, interval="1h", offset=offset, **options)


@pytest.fixture
def missed() -> Schedule:
    """A schedule of whose times five were missed."""
    schedule = hourly("missed", overlap="allow_all")
    assert schedule.next_run_at is not None
    due = schedule.next_run_at - timedelta(hours=5)
    Schedule.objects.update(next_run_at=due)
    return schedule


def serve(together: threading.Barrier) -> Served:
    """As a worker on a thread of its own."""
    try:
        together.wait(DEADLINE)
        return serve_schedules(connection)
    finally:
        connection.close()


def test_each_time_has_one_run_whoever_looks(missed: Schedule) -> None:
    together = threading.Barrier(WORKERS)
    with ThreadPoolExecutor(WORKERS) as pool:
        served = list(pool.map(serve, [together] * WORKERS))
    assert 1 <= sum(each.count for each in served) <= WORKERS
    times = set(Run.objects.values_list("attributes__scheduled_at", flat=True))
    assert len(times) == Run.objects.count() == 5
    stored = Schedule.objects.get()
    assert stored.next_run_at == missed.next_run_at


def test_nobody_waits_for_a_schedule_that_is_being_edited(missed: Schedule) -> None:
    if connection.vendor == "sqlite":
        pytest.skip("has no row locks; a writer excludes all others")
    with transaction.atomic(), ThreadPoolExecutor(1) as pool:
        Schedule.objects.get().pause("editing")
        assert pool.submit(serve, threading.Barrier(1)).result(DEADLINE).count == 0
    assert not Run.objects.exists()


def test_the_others_of_many_come_next_at_once(
    missed: Schedule, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(scheduling, "AT_ONCE", 2)
    for number in range(2):
        hourly(f"number {number}")
    stored = Schedule.objects.get(pk=missed.pk)
    Schedule.objects.update(next_run_at=stored.next_run_at)
    first, second = serve_schedules(connection), serve_schedules(connection)
    assert (first.count, second.count) == (2, 1)
    assert missed.next_run_at is not None
    assert first.next_us is not None
    assert to_datetime(first.next_us) < missed.next_run_at
    assert second.next_us == to_us(missed.next_run_at)
