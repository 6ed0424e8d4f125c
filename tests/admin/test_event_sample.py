"""What the dashboard reads of a log of any length."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from django_workflows.models import Event
from django_workflows.store import event_sample

pytestmark = pytest.mark.django_db


def add_events(count: int, since: datetime, seconds: float) -> None:
    """The logs of runs with four events each, one after the other."""
    kinds = ("run_created", "step_created", "step_completed", "run_completed")
    Event.objects.bulk_create(
        Event(
            run_id=f"wrun_{number // 4:08}",
            seq=number % 4 + 1,
            type=kinds[number % 4],
            correlation_id=f"step_{number // 4:08}",
            created_at=since + timedelta(seconds=seconds * number / count),
        )
        for number in range(count)
    )


def edges_up_to(now: datetime, parts: int, part: timedelta) -> list[datetime]:
    return [now + part * number for number in range(-parts, 1)]


def test_a_sample_of_a_short_log_is_the_log() -> None:
    now = datetime(2026, 5, 1, tzinfo=UTC)
    add_events(400, now - timedelta(hours=10), 36_000)
    # What is deleted leaves gaps between the keys.
    first = Event.objects.order_by("id")[160].pk
    Event.objects.filter(pk__gte=first, pk__lt=first + 20).delete()
    sample = event_sample.Sample(edges_up_to(now, 5, timedelta(hours=1)))
    assert sample.is_whole
    assert sample.weight == 1
    assert sample.counts["run_created"] == [10.0] * 5
    assert sample.counts["run_failed"] == [0.0] * 5
    longer = event_sample.Sample(edges_up_to(now, 2, timedelta(hours=10)))
    assert longer.counts["step_completed"] == [0.0, 95.0]


def test_a_sample_of_nothing_is_empty() -> None:
    now = datetime(2026, 5, 1, tzinfo=UTC)
    assert event_sample.Sample(edges_up_to(now, 2, timedelta(hours=1))).steps() == []
    add_events(8, now - timedelta(days=1), 60)
    sample = event_sample.Sample(edges_up_to(now, 2, timedelta(hours=1)))
    assert sample.counts["run_created"] == [0.0, 0.0]


def test_a_long_log_is_estimated_from_even_blocks(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(event_sample, "EVENTS", 256)
    monkeypatch.setattr(event_sample, "BLOCK", 8)
    monkeypatch.setattr(event_sample, "STEPS", 10)
    now = datetime(2026, 5, 1, tzinfo=UTC)
    add_events(4_000, now - timedelta(hours=10), 36_000)
    edges = edges_up_to(now, 10, timedelta(hours=1))
    sample = event_sample.Sample(edges)
    assert sample.weight == 16
    for kind in ("run_created", "step_completed", "run_completed"):
        # A block too many or too few in each hour.
        assert sample.counts[kind] == pytest.approx([100] * 10, abs=2 * 16)
        assert sum(sample.counts[kind]) == pytest.approx(1_000, abs=2 * 16)
    steps = sample.steps()
    assert 5 <= len(steps) <= 10
    hundreds = {int(name[-8:]) // 100 for name in steps}
    assert len(hundreds) >= 4, "they are not from all over the period"


def test_what_is_read_of_a_long_log_stays_little(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Not even the planner of PostgreSQL wants to read the table."""
    monkeypatch.setattr(event_sample, "EVENTS", 256)
    monkeypatch.setattr(event_sample, "BLOCK", 8)
    now = datetime(2026, 5, 1, tzinfo=UTC)
    add_events(20_000, now - timedelta(hours=10), 36_000)
    if connection.vendor == "postgresql":
        with connection.cursor() as cursor:
            cursor.execute("ANALYZE django_workflows_event")
    with CaptureQueriesContext(connection) as captured:
        sample = event_sample.Sample(edges_up_to(now, 24, timedelta(hours=1)))
        assert sum(sample.counts["run_created"]) == pytest.approx(5_000, rel=0.1)
        sample.steps()
    for query in captured.captured_queries:
        explain = "EXPLAIN QUERY PLAN" if connection.vendor == "sqlite" else "EXPLAIN"
        with connection.cursor() as cursor:
            cursor.execute(f"{explain} {query['sql']}".replace("%", "%%"), ())
            plan = "\n".join(str(row) for row in cursor.fetchall())
        assert "Seq Scan on django_workflows_event" not in plan
        assert not re.search(r"SCAN (e|django_workflows_event)\b(?! USING)", plan), plan
        assert not re.search(r"'(e|django_workflows_event)', 'ALL'", plan), plan
