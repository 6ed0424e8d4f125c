"""Schedules by the kit's clock: creating, editing, pausing, triggering, backfilling."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from django.core.exceptions import ValidationError

from django_workflows import acreate_schedule, create_schedule, sleep, workflow
from django_workflows.models import Run, Schedule
from django_workflows.testing import WorkflowTester

HOUR = timedelta(hours=1)


@workflow
async def report(number: int = 0, *, title: str = "") -> str:
    return f"{title}{number}"


@workflow
async def long_report() -> None:
    await sleep("10d")


@pytest.fixture
def on_the_hour(workflows: WorkflowTester) -> WorkflowTester:
    """The kit, at half past some hour."""
    now = workflows.now
    half_past = now.replace(minute=30, second=0, microsecond=0) + HOUR
    workflows.advance(half_past - now)
    return workflows


def scheduled_at() -> list[str]:
    runs = Run.objects.order_by("created_at", "id")
    return sorted(run.attributes["scheduled_at"] for run in runs)


def hours(begin: datetime, count: int) -> list[str]:
    first = begin.replace(minute=0) + HOUR
    return [(first + n * HOUR).isoformat() for n in range(count)]


@pytest.mark.parametrize("times", [{"interval": "1h"}, {"cron": "0 * * * *"}])
def test_runs_start_at_their_times(
    on_the_hour: WorkflowTester, times: dict[str, Any]
) -> None:
    begin = on_the_hour.now
    schedule = create_schedule(
        "hourly", report, args=[7], kwargs={"title": "no. "}, **times
    )
    on_the_hour.run_until_idle()
    assert not Run.objects.exists()
    on_the_hour.advance("3h")
    assert scheduled_at() == hours(begin, 3)
    for run in Run.objects.all():
        assert run.result() == "no. 7"
        assert run.attributes["schedule"] == "hourly"
        assert run.created_at.isoformat() == run.attributes["scheduled_at"]
    schedule.refresh_from_db()
    assert schedule.last_run_at == begin + timedelta(hours=2, minutes=30)
    assert schedule.next_run_at == begin + timedelta(hours=3, minutes=30)
    assert (schedule.args, schedule.kwargs) == ((7,), {"title": "no. "})


def test_a_single_time(workflows: WorkflowTester) -> None:
    schedule = create_schedule("once", report, at=workflows.now + HOUR)
    workflows.advance("59m")
    assert not Run.objects.exists()
    workflows.advance("10d")
    assert Run.objects.get().result() == "0"
    schedule.refresh_from_db()
    assert schedule.next_run_at is None
    assert schedule.next_runs(3) == []


def test_times_below_a_second_and_an_offset(workflows: WorkflowTester) -> None:
    schedule = create_schedule("fast", report, interval=0.25, offset="100ms")
    begin = workflows.now
    workflows.advance(2)
    times = [datetime.fromisoformat(time) for time in scheduled_at()]
    assert len(times) == 8
    assert {time.microsecond for time in times} == {100000, 350000, 600000, 850000}
    assert schedule.next_runs(1)[0] == times[-1] + timedelta(seconds=0.25)
    assert times[0] > begin


def test_bounds_are_included(on_the_hour: WorkflowTester) -> None:
    first = on_the_hour.now.replace(minute=0) + 3 * HOUR
    schedule = create_schedule(
        "bound", report, interval="1h", start_at=first, end_at=first + 2 * HOUR
    )
    assert schedule.next_run_at == first
    assert schedule.next_runs() == [first, first + HOUR, first + 2 * HOUR]
    on_the_hour.advance("1d")
    assert scheduled_at() == [(first + n * HOUR).isoformat() for n in range(3)]
    schedule.refresh_from_db()
    assert schedule.next_run_at is None


def test_remaining_runs(on_the_hour: WorkflowTester) -> None:
    schedule = create_schedule("twice", report, interval="1h", remaining_runs=2)
    assert len(schedule.next_runs(5)) == 2
    schedule.trigger()
    on_the_hour.advance("1d")
    assert Run.objects.count() == 3
    schedule.refresh_from_db()
    assert (schedule.remaining_runs, schedule.next_run_at) == (0, None)
    schedule.remaining_runs = 1
    schedule.save()
    on_the_hour.advance("1d")
    assert Run.objects.count() == 4


def test_jitter_delays_the_start_and_not_the_time(on_the_hour: WorkflowTester) -> None:
    begin = on_the_hour.now
    create_schedule("spread", report, interval="1h", jitter="10m")
    on_the_hour.advance("10h")
    assert scheduled_at() == hours(begin, 10)
    late = set()
    for run in Run.objects.all():
        assert run.started_at is not None
        late.add(
            run.started_at - datetime.fromisoformat(run.attributes["scheduled_at"])
        )
    assert len(late) == 10
    assert timedelta() <= min(late) < max(late) <= timedelta(minutes=10)


@pytest.mark.parametrize(
    ("changes", "about"),
    [
        ({"workflow": "no.such.workflow"}, "workflow"),
        ({"workflow": 7}, "workflow"),
        ({"args": [1, 2]}, "args"),
        ({"kwargs": {"unknown": 1}}, "args"),
        ({"args": [object()]}, "args"),
        ({"name": "taken"}, "name"),
        ({"name": ""}, "name"),
        ({"name": "x" * 256}, "name"),
        ({"interval": None}, "__all__"),
        ({"cron": "0 0 * * *"}, "__all__"),
        ({"interval": None, "at": datetime(2999, 1, 1)}, "at"),
        ({"interval": None, "at": datetime(2001, 1, 1, tzinfo=ZoneInfo("UTC"))}, "at"),
        ({"start_at": datetime(2999, 1, 1)}, "start_at"),
        ({"end_at": "tomorrow"}, "end_at"),
        ({"end_at": datetime(2001, 1, 1, tzinfo=ZoneInfo("UTC"))}, "__all__"),
        ({"interval": 0}, "interval"),
        ({"interval": -1}, "interval"),
        ({"interval": float("nan")}, "interval"),
        ({"interval": "often"}, "interval"),
        ({"interval": None, "cron": "often"}, "cron"),
        ({"interval": None, "cron": "0 0 30 2 *"}, "cron"),
        ({"interval": None, "cron": "* * * * *", "offset": 1}, "__all__"),
        ({"timezone": "Mars/Base"}, "timezone"),
        ({"jitter": -1}, "jitter"),
        ({"catchup_window": "never"}, "catchup_window"),
        ({"overlap": "perhaps"}, "overlap"),
        ({"remaining_runs": -1}, "remaining_runs"),
        ({"remaining_runs": 0}, "__all__"),
        ({"remaining_runs": 1.5}, "remaining_runs"),
        ({"paused": "yes"}, "paused"),
    ],
)
def test_nonsense_is_refused(
    workflows: WorkflowTester, changes: dict[str, Any], about: str
) -> None:
    create_schedule("taken", report, interval=60)
    given: dict[str, Any] = {"name": "new", "workflow": report, "interval": 60}
    given |= changes
    with pytest.raises(ValidationError) as caught:
        create_schedule(given.pop("name"), given.pop("workflow"), **given)
    assert list(caught.value.message_dict) == [about]
    assert Schedule.objects.count() == 1


def test_all_that_is_wrong_is_told_at_once(workflows: WorkflowTester) -> None:
    with pytest.raises(ValidationError) as caught:
        create_schedule("", report, interval="often", overlap="perhaps")
    assert set(caught.value.message_dict) == {"name", "interval", "overlap"}


def test_a_row_of_ones_own_is_checked_as_well(workflows: WorkflowTester) -> None:
    own = Schedule(name="own", workflow=report.name, interval="often")
    own.args = [3]
    with pytest.raises(ValidationError, match="not a duration"):
        own.clean()
    with pytest.raises(ValidationError, match="not a duration"):
        own.save()
    own.interval = 60
    own.full_clean(exclude=["created_at"])
    own.save()
    workflows.advance(60)
    assert Run.objects.get().result() == "3"


def test_options_of_a_start_are_refused(workflows: WorkflowTester) -> None:
    with pytest.raises(ValidationError, match="options of its decorator"):
        create_schedule("bulk", report.options(queue="bulk"), interval=60)


def test_names_are_told_apart_exactly(db: None) -> None:
    names = ["nightly", "Nightly", "n\u00efghtly"]
    for name in names:
        create_schedule(name, report, interval="1h")
    for name in names:
        assert Schedule.objects.get(name=name).name == name
    with pytest.raises(ValidationError, match="named 'Nightly' already"):
        create_schedule("Nightly", report, interval="1h")


def test_the_zone_is_the_projects_unless_one_is_named(
    workflows: WorkflowTester, settings: Any
) -> None:
    settings.TIME_ZONE = "Asia/Tokyo"
    assert create_schedule("here", report, cron="0 9 * * *").timezone == "Asia/Tokyo"
    paris: Any = ZoneInfo("Europe/Paris")
    there = create_schedule("there", report, cron="0 9 * * *", timezone=paris)
    assert there.timezone == "Europe/Paris"
    assert all(time.astimezone(paris).hour == 9 for time in there.next_runs(400))


# -- editing ---------------------------------------------------------------------------


def test_editing_holds_at_once(on_the_hour: WorkflowTester) -> None:
    schedule = create_schedule("edited", report, interval="1d")
    schedule.interval = 1800
    schedule.args = [5]
    schedule.save()
    assert schedule.next_run_at == on_the_hour.now + timedelta(minutes=30)
    on_the_hour.advance("30m")
    assert Run.objects.get().result() == "5"
    schedule.interval, schedule.cron = None, "15 * * * *"
    schedule.save()
    on_the_hour.advance("1h")
    assert Run.objects.count() == 2


def test_saving_takes_back_nothing_that_workers_have_written(
    on_the_hour: WorkflowTester,
) -> None:
    schedule = create_schedule("stale", report, interval="1h", remaining_runs=5)
    on_the_hour.advance("2h")
    schedule.note = "seen"
    schedule.save()
    stored = Schedule.objects.get()
    assert (stored.remaining_runs, stored.note) == (3, "seen")
    assert stored.next_run_at is not None
    assert stored.next_run_at > on_the_hour.now
    assert schedule.remaining_runs == 3


def test_a_wrong_edit_changes_nothing(on_the_hour: WorkflowTester) -> None:
    schedule = create_schedule("safe", report, interval="1h")
    schedule.args = [1, 2, 3]
    with pytest.raises(ValidationError):
        schedule.save()
    assert Schedule.objects.get().args == ()


def test_times_are_not_changed_behind_the_schedules_back(
    on_the_hour: WorkflowTester,
) -> None:
    create_schedule("bulk", report, interval="1h")
    with pytest.raises(TypeError, match="update"):
        Schedule.objects.update(interval=5)
    assert Schedule.objects.update(note="all") == 1


def test_a_deleted_schedule_starts_nothing(on_the_hour: WorkflowTester) -> None:
    schedule = create_schedule("gone", report, interval="1h")
    on_the_hour.advance("1h")
    schedule.delete()
    on_the_hour.advance("1d")
    assert Run.objects.count() == 1
    # Another of the same name has times of its own.
    create_schedule("gone", report, interval="1h")
    on_the_hour.advance("1h")
    assert Run.objects.count() == 2


# -- pausing, triggering, backfilling --------------------------------------------------


def test_times_in_a_pause_are_never_caught_up_with(on_the_hour: WorkflowTester) -> None:
    begin = on_the_hour.now
    schedule = create_schedule("paused", report, interval="1h")
    schedule.pause("holidays")
    on_the_hour.advance("5h")
    assert not Run.objects.exists()
    other = Schedule.objects.get()
    assert (other.paused, other.note) == (True, "holidays")
    other.unpause()
    # An instance from before the pause can pause it as well.
    schedule.unpause()
    assert schedule.next_run_at == begin + timedelta(hours=5, minutes=30)
    on_the_hour.advance("1h")
    assert scheduled_at() == hours(begin, 6)[5:]
    assert Schedule.objects.get().note == "holidays"


def test_a_pause_that_is_over_before_the_next_time(on_the_hour: WorkflowTester) -> None:
    schedule = create_schedule("short", report, interval="1h", paused=True)
    next_run_at = schedule.next_run_at
    schedule.unpause()
    assert schedule.next_run_at == next_run_at
    on_the_hour.advance("1h")
    assert Run.objects.count() == 1


def test_trigger_and_backfill_while_paused(on_the_hour: WorkflowTester) -> None:
    begin = on_the_hour.now
    schedule = create_schedule("by hand", report, interval="1h", paused=True)
    next_run_at = schedule.next_run_at
    assert schedule.trigger().attributes == {
        "schedule": "by hand",
        "scheduled_at": begin.isoformat(),
    }
    schedule.trigger()
    first = begin.replace(minute=0)
    runs = schedule.backfill(first - 3 * HOUR, first)
    assert [run.attributes["scheduled_at"] for run in runs] == [
        (first - n * HOUR).isoformat() for n in (3, 2, 1, 0)
    ]
    assert schedule.backfill(first - 3 * HOUR, first) == []
    assert Run.objects.count() == 6
    schedule.refresh_from_db()
    assert schedule.next_run_at == next_run_at


def test_backfilling_what_has_run_or_will_run(on_the_hour: WorkflowTester) -> None:
    begin = on_the_hour.now
    schedule = create_schedule("both", report, interval="1h")
    on_the_hour.advance("2h")
    assert len(schedule.backfill(begin, begin + 4 * HOUR)) == 2
    on_the_hour.advance("4h")
    assert scheduled_at() == hours(begin, 6)


def test_what_cannot_be_backfilled(on_the_hour: WorkflowTester) -> None:
    now = on_the_hour.now
    schedule = create_schedule("wrong", report, interval="1s")
    with pytest.raises(ValueError, match="time zone"):
        schedule.backfill(datetime(2026, 1, 1), now)
    with pytest.raises(ValueError, match="before"):
        schedule.backfill(now, now - HOUR)
    with pytest.raises(ValueError, match="in parts"):
        schedule.backfill(now - timedelta(days=30), now)
    assert not Run.objects.exists()


async def _by_hand() -> None:
    schedule = await acreate_schedule("async", report, interval="1h")
    await schedule.apause()
    await schedule.aunpause()
    await schedule.atrigger()
    times = await schedule.anext_runs(2)
    await schedule.abackfill(times[0], times[1])
    await schedule.adelete()


def test_async_twins(workflows: WorkflowTester) -> None:
    from asgiref.sync import async_to_sync

    async_to_sync(_by_hand)()
    assert Run.objects.count() == 3


# -- failing starts --------------------------------------------------------------------


def test_a_failing_start_does_not_stop_the_schedule(
    on_the_hour: WorkflowTester, monkeypatch: pytest.MonkeyPatch
) -> None:
    @workflow(name="tests.schedules.changing")
    async def changing(number: int) -> int:
        return number

    import inspect

    schedule = create_schedule("changing", changing, interval="1h", args=[1])
    fits = changing.signature
    monkeypatch.setattr(changing, "signature", inspect.signature(lambda: None))
    on_the_hour.advance("2h")
    assert not Run.objects.exists()
    schedule.refresh_from_db()
    assert "TypeError" in schedule.last_error
    monkeypatch.setattr(changing, "signature", fits)
    on_the_hour.advance("1h")
    assert Run.objects.get().result() == 1
    schedule.refresh_from_db()
    assert schedule.last_error == ""


def test_an_unknown_workflow_is_left_to_those_who_know_it(
    on_the_hour: WorkflowTester,
) -> None:
    schedule = create_schedule("foreign", report, interval="1h", catchup_window="1d")
    Schedule.objects.update(workflow="somewhere.else")
    begin = on_the_hour.now
    on_the_hour.advance("3h")
    schedule.refresh_from_db()
    assert not Run.objects.exists()
    assert schedule.next_run_at == begin + timedelta(minutes=30)
    # It can be paused all the same, and goes on where it is known.
    schedule.note = "waits for a deploy"
    schedule.save()
    Schedule.objects.update(workflow=report.name)
    on_the_hour.run_until_idle()
    assert scheduled_at()[0] == hours(begin, 1)[0]


def test_run_does_not_skip_time_for_schedules_alone(workflows: WorkflowTester) -> None:
    from django_workflows import create_hook

    @workflow(name="tests.schedules.waits")
    async def waits() -> Any:
        return await create_hook("wait")

    create_schedule("often", report, interval="6h")
    with pytest.raises(RuntimeError, match="waits for"):
        workflows.run(waits)
    assert workflows.run(long_report) is None
    assert Run.objects.filter(attributes__schedule="often").count() == 40
