"""What becomes of times at which an earlier run is open, and of those missed."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta

import pytest
from django.core.exceptions import ValidationError

from django_workflows import continue_as_new, create_schedule, sleep, workflow
from django_workflows.models import Run, Schedule
from django_workflows.store import scheduling
from django_workflows.testing import WorkflowTester

HOUR = timedelta(hours=1)


@workflow
async def lasts(hours: float) -> None:
    if hours:
        await sleep(timedelta(hours=hours))


@workflow
async def lasts_on(hours: int) -> None:
    await sleep("1h")
    if hours > 1:
        continue_as_new(hours - 1)


@pytest.fixture
def on_the_hour(workflows: WorkflowTester) -> WorkflowTester:
    """The kit, at half past some hour."""
    now = workflows.now
    workflows.advance(now.replace(minute=30, second=0, microsecond=0) + HOUR - now)
    return workflows


@contextmanager
def an_outage(kit: WorkflowTester, duration: timedelta) -> Iterator[None]:
    """No worker looks after schedules; the time passes all the same."""
    paused_at = Schedule.objects.get().next_run_at
    with pytest.MonkeyPatch.context() as patch:
        nothing = scheduling.Served(0, None)
        patch.setattr(
            "django_workflows.worker.reactor.serve_schedules", lambda database: nothing
        )
        patch.setattr(
            "django_workflows.store.due.next_of_schedules",
            lambda database: ("SELECT NULL", []),
        )
        kit.advance(duration)
        yield
    assert Schedule.objects.get().next_run_at == paused_at
    kit.run_until_idle()


def offsets(begin: datetime, status: str | None = None) -> list[int]:
    """For which hours there were runs, the first after `begin` being 0."""
    runs = Run.objects.filter(continued_from=None)
    if status is not None:
        runs = runs.filter(status=status)
    first = begin.replace(minute=0) + HOUR
    times = [datetime.fromisoformat(r.attributes["scheduled_at"]) for r in runs]
    return sorted(round((time - first) / HOUR) for time in times)


def statuses() -> Counter[str]:
    return Counter(Run.objects.values_list("status", flat=True))


@pytest.mark.parametrize(
    ("overlap", "started", "more"),
    [
        # Each run takes two and a half hours; seven times pass.
        ("skip", [0, 3, 6], {"completed": 2, "running": 1}),
        # Begun at 0, 2.5, 5 and still running; 6 waits.
        ("buffer_one", [0, 1, 3], {"completed": 2, "running": 1}),
        ("buffer_all", [0, 1, 2], {"completed": 2, "running": 1}),
        ("cancel_other", [0, 1, 2, 3, 4, 5, 6], {"cancelled": 6, "running": 1}),
        ("terminate_other", [0, 1, 2, 3, 4, 5, 6], {"terminated": 6, "running": 1}),
        ("allow_all", [0, 1, 2, 3, 4, 5, 6], {"completed": 5, "running": 2}),
    ],
)
def test_overlap(
    on_the_hour: WorkflowTester, overlap: str, started: list[int], more: dict[str, int]
) -> None:
    begin = on_the_hour.now
    create_schedule("busy", lasts, args=[2.5], interval="1h", overlap=overlap)
    on_the_hour.advance("7h")
    assert offsets(begin) == started
    assert statuses() == more


def test_what_waits_starts_when_the_run_before_ends(
    on_the_hour: WorkflowTester,
) -> None:
    begin = on_the_hour.now
    schedule = create_schedule(
        "waits", lasts, args=[2.5], interval="1h", overlap="buffer_all"
    )
    on_the_hour.advance("3h")
    schedule.end_at = on_the_hour.now
    schedule.save()
    on_the_hour.advance("20h")
    assert offsets(begin) == [0, 1, 2]
    first = begin + timedelta(minutes=30)
    begun = [run.created_at - first for run in Run.objects.all()]
    assert begun == [timedelta(hours=2.5 * n) for n in range(3)]
    schedule.refresh_from_db()
    assert schedule.next_run_at is None


def test_a_run_that_goes_on_as_new_is_open(on_the_hour: WorkflowTester) -> None:
    begin = on_the_hour.now
    create_schedule("chain", lasts_on, args=[3], interval="1h")
    on_the_hour.advance("6h30m")
    assert offsets(begin) == [0, 4]


def test_a_triggered_run_is_in_the_way(on_the_hour: WorkflowTester) -> None:
    begin = on_the_hour.now
    schedule = create_schedule("one", lasts, args=[1], interval="1h")
    schedule.trigger()
    on_the_hour.advance("2h")
    runs = Run.objects.exclude(attributes__scheduled_at=begin.isoformat())
    assert runs.count() == 1


def test_what_waits_goes_on_after_a_pause(on_the_hour: WorkflowTester) -> None:
    begin = on_the_hour.now
    schedule = create_schedule(
        "pausing", lasts, args=[2.5], interval="1h", overlap="buffer_one"
    )
    on_the_hour.advance("2h")
    schedule.pause()
    on_the_hour.advance("5h")
    assert offsets(begin) == [0]
    schedule.unpause()
    on_the_hour.run_until_idle()
    assert offsets(begin) == [0, 1]


def test_a_policy_that_changes_holds_for_what_waits(
    on_the_hour: WorkflowTester,
) -> None:
    begin = on_the_hour.now
    schedule = create_schedule(
        "changes", lasts, args=[4.5], interval="1h", overlap="buffer_all"
    )
    on_the_hour.advance("4h")
    schedule.overlap = "allow_all"
    schedule.save()
    on_the_hour.run_until_idle()
    assert offsets(begin) == [0, 1, 2, 3]


# -- outages ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("overlap", "window", "started", "waiting"),
    [
        ("skip", "365d", [0], 0),
        ("skip", "2h", [4], 0),
        ("skip", 0, [], 0),
        ("buffer_one", "365d", [0], 1),
        ("buffer_one", "2h", [4], 1),
        ("buffer_one", 0, [], 0),
        ("buffer_all", "365d", [0], 5),
        ("buffer_all", "2h", [4], 1),
        ("buffer_all", 0, [], 0),
        ("cancel_other", "365d", [0, 1, 2, 3, 4, 5], 0),
        ("cancel_other", "2h", [4, 5], 0),
        ("cancel_other", 0, [], 0),
        ("terminate_other", "365d", [0, 1, 2, 3, 4, 5], 0),
        ("terminate_other", "2h", [4, 5], 0),
        ("terminate_other", 0, [], 0),
        ("allow_all", "365d", [0, 1, 2, 3, 4, 5], 0),
        ("allow_all", "2h", [4, 5], 0),
        ("allow_all", 0, [], 0),
    ],
)
def test_after_six_hours_without_a_worker(
    on_the_hour: WorkflowTester,
    overlap: str,
    window: str | int,
    started: list[int],
    waiting: int,
) -> None:
    begin = on_the_hour.now
    create_schedule(
        "missed",
        lasts,
        args=[0.25],
        interval="1h",
        overlap=overlap,
        catchup_window=window,
    )
    with an_outage(on_the_hour, 6 * HOUR):
        assert not Run.objects.exists()
    assert offsets(begin) == started
    schedule = Schedule.objects.get()
    assert len(schedule.buffered) == waiting
    assert schedule.next_run_at == begin + timedelta(hours=6, minutes=30)
    one_is_left = overlap in ("cancel_other", "terminate_other") and started
    open_runs = 1 if one_is_left else len(started)
    assert Run.objects.open().count() == open_runs
    # From then on it goes as ever; each quarter of an hour one run less waits.
    on_the_hour.advance("1h")
    assert max(offsets(begin)) == (4 if waiting == 5 else 6)


def test_missed_times_in_one_go_are_in_batches(
    on_the_hour: WorkflowTester, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(scheduling, "BATCH", 2)
    begin = on_the_hour.now
    create_schedule("many", lasts, args=[0], interval="1h", overlap="allow_all")
    with an_outage(on_the_hour, 5 * HOUR):
        pass
    assert offsets(begin) == [0, 1, 2, 3, 4]


def test_a_full_buffer_loses_nothing(
    on_the_hour: WorkflowTester, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(scheduling, "MOST_BUFFERED", 2)
    begin = on_the_hour.now
    schedule = create_schedule(
        "long queue", lasts, args=[1.5], interval="1h", overlap="buffer_all"
    )
    on_the_hour.advance("8h")
    assert len(Schedule.objects.get().buffered) == 2
    schedule.end_at = on_the_hour.now
    schedule.save()
    on_the_hour.advance("20h")
    assert offsets(begin) == list(range(8))


@pytest.mark.parametrize(("late", "runs"), [(5, 1), (60, 0)])
def test_a_time_that_is_a_little_late_is_not_missed(
    on_the_hour: WorkflowTester, late: int, runs: int
) -> None:
    create_schedule("late", lasts, args=[0], interval="1h", catchup_window=0)
    with an_outage(on_the_hour, timedelta(minutes=30, seconds=late)):
        pass
    assert Run.objects.count() == runs


def test_a_single_time_that_was_missed(on_the_hour: WorkflowTester) -> None:
    at = on_the_hour.now + HOUR
    create_schedule("once", lasts, args=[0], at=at)
    with an_outage(on_the_hour, 6 * HOUR):
        pass
    assert Run.objects.get().attributes["scheduled_at"] == at.isoformat()


def test_times_before_the_schedule_are_not_missed(on_the_hour: WorkflowTester) -> None:
    with pytest.raises(ValidationError):
        create_schedule("past", lasts, args=[0], at=on_the_hour.now - HOUR)
    create_schedule("now", lasts, args=[0], at=on_the_hour.now)
    on_the_hour.run_until_idle()
    assert Run.objects.count() == 1


def test_a_late_run_has_all_the_time_it_may_take(on_the_hour: WorkflowTester) -> None:
    @workflow(name="tests.schedules.bounded", timeout="1h")
    async def bounded() -> None:
        await sleep("30m")

    create_schedule("bounded", bounded, interval="1h", jitter="1m")
    with an_outage(on_the_hour, 6 * HOUR):
        pass
    on_the_hour.advance("30m")
    assert Run.objects.filter(status="completed").count() == 1
