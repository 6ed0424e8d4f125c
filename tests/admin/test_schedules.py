"""Schedules in the admin: the list, the form, the preview and the buttons."""

from __future__ import annotations

import json
import re
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from html import unescape
from typing import Any

import pytest
from django.contrib.admin.models import LogEntry
from django.contrib.auth.models import Permission, User
from django.db import connection
from django.test import Client, override_settings
from django.test.utils import CaptureQueriesContext
from django.urls import reverse
from django.utils import translation
from pytest_django import DjangoAssertNumQueries

from django_workflows import create_schedule, workflow
from django_workflows.admin.schedules import backfill
from django_workflows.admin.schedules.times import preview_of
from django_workflows.admin.schedules.words import cron_in_words, when
from django_workflows.definitions import register
from django_workflows.models import Definition, Run, Schedule
from django_workflows.store import schedule_runs
from django_workflows.store.people import making_up
from django_workflows.testing import WorkflowTester
from tests.admin.pages import client_of, read, text_of, user_with

pytestmark = pytest.mark.django_db

LIST = "admin:django_workflows_schedule_changelist"
ADD = "admin:django_workflows_schedule_add"
CHANGE = "admin:django_workflows_schedule_change"


@workflow(name="tests.admin.report")
async def report(title: str = "Sales", total: Decimal = Decimal(0)) -> str:
    return f"{title}: {total!r}"


@workflow(name="tests.admin.failing_report")
async def failing_report() -> None:
    raise ValueError("no figures")


def hourly(name: str = "hourly", **options: Any) -> Schedule:
    return create_schedule(name, report, **{"interval": "1h", **options})


def url(name: str, schedule: Schedule) -> str:
    return reverse(f"admin:django_workflows_schedule_{name}", args=[schedule.pk])


def travel(workflows: WorkflowTester, moment: datetime) -> None:
    workflows.advance(moment - workflows.now)


def form_of(client: Client, schedule: Schedule | None = None) -> dict[str, Any]:
    """What a browser would send that changes nothing."""
    answer = client.get(
        reverse(ADD) if schedule is None else reverse(CHANGE, args=[schedule.pk])
    )
    form = answer.context["adminform"].form
    data: dict[str, Any] = {}
    for name, field in form.fields.items():
        for is_shown in (True, False):
            if is_shown or field.show_hidden_initial:
                widget = field.widget if is_shown else field.hidden_widget()
                part = (
                    form[name].html_name if is_shown else form[name].html_initial_name
                )
                shown = widget.get_context(part, form[name].value(), {})["widget"]
                value = shown["value"]
                if isinstance(value, list):
                    [value] = value
                is_off = (
                    shown.get("type") == "checkbox" and "checked" not in shown["attrs"]
                )
                if not is_off:
                    data[part] = "" if value is None else value
    return data


def problems(answer: Any) -> dict[str, list[str]]:
    assert answer.status_code == 200
    return dict(answer.context["adminform"].form.errors)


def log(schedule: Schedule) -> list[str]:
    entries = LogEntry.objects.filter(object_id=schedule.pk).order_by("pk")
    return [entry.get_change_message() for entry in entries]


# -- adding and changing --------------------------------------------------------------


def test_a_schedule_is_added(admin_client: Client) -> None:
    data = form_of(admin_client) | {
        "name": "nightly",
        "workflow": "tests.admin.report",
        "args": '["Costs"]',
        "kwargs": '{"total": "1.50"}',
        "cron": "30 2 * * *",
        "timezone": "Europe/Berlin",
        "jitter": "1m30s",
        "overlap": "allow_all",
    }
    answer = admin_client.post(reverse(ADD), data)
    assert answer.status_code == 302
    schedule = Schedule.objects.get()
    assert (schedule.name, schedule.cron) == ("nightly", "30 2 * * *")
    assert schedule.jitter == 90
    assert schedule.catchup_window == 365 * 86400
    # As the annotations want them.
    assert (schedule.args, schedule.kwargs) == (
        ("Costs",),
        {"total": Decimal("1.50")},
    )
    assert schedule.next_run_at is not None
    assert log(schedule) == ["Added."]


def test_workflows_and_definitions_can_be_chosen(admin_client: Client) -> None:
    steps = [{"id": "one", "action": "noop"}]
    register({"id": "cleaning", "name": "Clean up", "steps": steps})
    form = admin_client.get(reverse(ADD)).context["adminform"].form
    groups = dict(form.fields["workflow"].choices)
    assert ("tests.admin.report", "tests.admin.report") in groups["Workflows"]
    assert ("cleaning", "Clean up (cleaning)") in groups["Definitions"]
    data = form_of(admin_client) | {"name": "clean", "workflow": "cleaning"}
    data |= {"interval": "1d", "args": '[{"room": 7}]'}
    assert admin_client.post(reverse(ADD), data).status_code == 302
    assert Schedule.objects.get().kind == "definition"


def test_the_form_reads_no_definition(admin_client: Client) -> None:
    register({"id": "cleaning", "steps": [{"id": "one", "action": "noop"}]})
    with CaptureQueriesContext(connection) as asked:
        page = admin_client.get(reverse(ADD))
    assert "cleaning" in page.content.decode()
    assert not [each["sql"] for each in asked if re.search(r"\bcontent\b", each["sql"])]


def test_a_definition_that_cannot_be_read_gets_no_schedule(
    admin_client: Client,
) -> None:
    register({"id": "cleaning", "steps": [{"id": "one", "action": "noop"}]})
    Definition.objects.update(content="{")
    data = form_of(admin_client) | {"name": "clean", "workflow": "cleaning"}
    data |= {"interval": "1d", "args": "[{}]"}
    form = admin_client.post(reverse(ADD), data).context["adminform"].form
    assert "cleaning v1 cannot be read" in str(form.errors["workflow"])
    assert not Schedule.objects.exists()


@pytest.mark.parametrize(
    ("given", "field", "text"),
    [
        ({"interval": "soon"}, "interval", "'soon'"),
        ({"cron": "61 * * * *"}, "cron", "61"),
        ({"cron": "1 * * * *"}, "__all__", "exactly one"),
        ({"interval": ""}, "__all__", "exactly one"),
        ({"timezone": "Mars/Base"}, "timezone", "Mars/Base"),
        ({"args": "[1,"}, "args", "line 1, column 4"),
        ({"args": '{"a": 1}'}, "args", "Give a list"),
        ({"args": '["Costs", [], 3]'}, "args", "at most 2"),
        ({"kwargs": '{"total": "much"}'}, "kwargs", "total: "),
        ({"kwargs": '{"sum": 1}'}, "kwargs", "'sum'"),
        ({"kwargs": '{"total": NaN}'}, "kwargs", "NaN"),
        ({"workflow": "tests.nothing"}, "workflow", "tests.nothing"),
        ({"name": "taken"}, "name", "taken"),
        ({"remaining_runs": "0"}, "__all__", "never start anything"),
        (
            {"interval": "", "at": "2001-01-01T00:00:00"},
            "at",
            "never start anything",
        ),
    ],
)
def test_what_makes_no_sense_is_told_at_its_field(
    admin_client: Client, given: dict[str, str], field: str, text: str
) -> None:
    hourly("taken")
    data = form_of(admin_client) | {"name": "new", "workflow": "tests.admin.report"}
    data |= {"interval": "1h", **given}
    found = problems(admin_client.post(reverse(ADD), data))
    assert list(found) == [field]
    assert text in " ".join(found[field])
    assert Schedule.objects.count() == 1


def test_a_change_stores_only_what_was_changed(
    admin_client: Client, workflows: WorkflowTester
) -> None:
    schedule = hourly(remaining_runs=5, args=["Costs"], offset="5m")
    data = form_of(admin_client, schedule) | {"overlap": "buffer_all"}
    # Meanwhile a worker has started a run, and somebody has paused the schedule.
    workflows.advance("1h")
    schedule.pause("we move")
    assert admin_client.post(url("change", schedule), data).status_code == 302
    schedule.refresh_from_db()
    assert schedule.overlap == "buffer_all"
    assert schedule.remaining_runs == 4
    assert (schedule.paused, schedule.note) == (True, "we move")
    assert schedule.args == ("Costs",)
    assert log(schedule) == ["Changed Overlap."]


def test_what_clocks_show_twice_is_taken_back(
    admin_client: Client, settings: Any
) -> None:
    """At 01:30 clocks in New York are set from 02:00 to 01:00 again."""
    settings.TIME_ZONE = "America/New_York"
    first, second = (datetime(2099, 11, 1, hour, 30, tzinfo=UTC) for hour in (5, 6))
    schedule = hourly(start_at=second)
    data = form_of(admin_client, schedule) | {"end_at": "2100-01-01T00:00"}
    assert admin_client.post(url("change", schedule), data).status_code == 302
    schedule.refresh_from_db()
    assert schedule.start_at == second
    assert schedule.end_at == datetime(2100, 1, 1, 5, tzinfo=UTC)

    data = form_of(admin_client) | {"name": "once", "workflow": "tests.admin.report"}
    data |= {"at": "2099-11-01T01:30"}
    assert admin_client.post(reverse(ADD), data).status_code == 302
    assert Schedule.objects.get(name="once").at == first
    data |= {"name": "never", "at": "2099-03-08T02:30"}  # no clock shows that
    assert list(problems(admin_client.post(reverse(ADD), data))) == ["at"]


def test_every_field_can_be_changed(admin_client: Client) -> None:
    schedule = hourly()
    data = form_of(admin_client, schedule) | {
        "name": "once",
        "workflow": "tests.admin.report",
        "interval": "",
        "at": "2100-01-02T03:04",
        "kwargs": '{"title": "All"}',
        "remaining_runs": "3",
        "catchup_window": "2h",
        "paused": "on",
        "note": "not yet",
    }
    assert admin_client.post(url("change", schedule), data).status_code == 302
    schedule.refresh_from_db()
    assert schedule.name == "once"
    assert schedule.interval is None
    assert schedule.at == datetime(2100, 1, 2, 3, 4, tzinfo=UTC)
    assert schedule.kwargs == {"title": "All"}
    assert (schedule.remaining_runs, schedule.catchup_window) == (3, 7200)
    assert (schedule.paused, schedule.note) == (True, "not yet")


def test_what_becomes_impossible_before_it_is_saved_is_told(
    admin_client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    save = Schedule.save

    def save_too_late(self: Schedule, **options: Any) -> None:
        monkeypatch.setattr(Schedule, "save", save)
        hourly("new")
        self.save()

    data = form_of(admin_client) | {"name": "new", "workflow": "tests.admin.report"}
    data |= {"interval": "1h", "note": "a long text"}
    monkeypatch.setattr(Schedule, "save", save_too_late)
    answer = admin_client.post(reverse(ADD), data)
    assert "there is a schedule named 'new' already" in str(problems(answer))
    assert answer.context["adminform"].form["note"].value() == "a long text"
    assert not Schedule.objects.exists()


# -- payloads -------------------------------------------------------------------------


def test_arguments_are_hidden_from_those_who_may_not_see_payloads() -> None:
    schedule = hourly(args=["Costs-4711"])
    schedule.last_error = "2026-01-01T00:00:00+00:00: ValueError: Costs-4711 is bad"
    schedule.store(["last_error"])
    client = client_of(user_with("view_schedule", "change_schedule"))
    for page in (reverse(LIST), url("change", schedule)):
        html = client.get(page).content.decode()
        assert "4711" not in html
        assert "ValueError" in html
    assert "You may not see payloads." in html
    data = form_of(client, schedule) | {"interval": "2h"}
    assert client.post(url("change", schedule), data).status_code == 302
    schedule.refresh_from_db()
    assert (schedule.interval, schedule.args) == (7200, ("Costs-4711",))
    # The page may have been made when there was the permission.
    data |= {"initial-args": '["Costs-4711"]', "args": '["Others"]', "kwargs": "{"}
    assert client.post(url("change", schedule), data).status_code == 302
    schedule.refresh_from_db()
    assert (schedule.args, schedule.kwargs) == (("Costs-4711",), {})
    # Problems of what is not in the form are told nevertheless.
    data = form_of(client, schedule) | {"workflow": "tests.admin.failing_report"}
    answer = client.post(url("change", schedule), data)
    assert "which you may not see, do not fit" in text_of(answer.content.decode())


def test_those_who_may_only_look_see_everything_in_words() -> None:
    schedule = hourly(args=["Costs-4711"], jitter="90s")
    client = client_of(user_with("view_schedule", "view_payload"))
    html = client.get(url("change", schedule)).content.decode()
    assert "Costs-4711" in html
    assert "1m30s" in html
    assert "every 1h" in html
    assert "_save" not in html
    assert client.post(url("change", schedule), {"name": "x"}).status_code == 403
    data = {"name": "x", "_preview": "1"}
    assert client.post(url("change", schedule), data).status_code == 403


def test_those_who_may_only_look_do_so_in_their_language() -> None:
    moment = datetime(2030, 1, 2, 3, 4, tzinfo=UTC)
    schedule = hourly(paused=True, note="Pause", start_at=moment, overlap="allow_all")
    client = client_of(user_with("view_schedule"))
    with translation.override("de"):
        html = client.get(url("change", schedule)).content.decode()
    labels = re.findall(r"<label>(.*?):?</label>", html)
    assert labels == [
        "Name",
        "Was er startet",
        "Wann",
        "Nicht vor",
        "Nicht nach",
        "Verbleibende Läufe",
        "Streuung",
        "Überschneidung",
        "Nachholfrist",
        "Angehalten",
        "Notiz",
    ]
    read = text_of(html)
    assert "Nicht vor: 2. Januar 2030 03:04" in read
    assert "Nicht nach: -" in read
    assert "Überschneidung: alle zulassen" in read
    assert 'alt="True"' in html


@override_settings(WORKFLOWS={"REDACT": ["title"]})
def test_what_is_redacted_is_not_stored_in_place_of_the_truth(
    admin_client: Client,
) -> None:
    schedule = hourly(kwargs={"title": "secret", "total": Decimal(1)})
    data = form_of(admin_client, schedule)
    assert json.loads(data["kwargs"])["title"] == "[redacted]"
    changed = data | {"kwargs": data["kwargs"].replace('"1"', '"2"')}
    assert changed != data
    found = problems(admin_client.post(url("change", schedule), changed))
    assert "would be lost" in str(found["kwargs"])
    data |= {"interval": "2h"}
    assert admin_client.post(url("change", schedule), data).status_code == 302
    schedule.refresh_from_db()
    assert schedule.kwargs == {"title": "secret", "total": Decimal(1)}


# -- times ----------------------------------------------------------------------------


def test_the_preview_shows_times_and_saves_nothing(
    admin_client: Client, workflows: WorkflowTester
) -> None:
    travel(workflows, datetime(2031, 3, 28, 12, tzinfo=UTC))
    data = form_of(admin_client) | {
        "name": "nightly",
        "workflow": "tests.admin.report",
        "cron": "30 2 * * *",
        "timezone": "Europe/Berlin",
        "_preview": "1",
    }
    answer = admin_client.post(reverse(ADD), data)
    assert answer.status_code == 200
    assert not Schedule.objects.exists()
    preview = answer.context["preview"]
    assert [time.clock for time in preview.next[:3]] == [
        "Sat 2031-03-29 02:30",
        "Sun 2031-03-30 03:00",
        "Mon 2031-03-31 02:30",
    ]
    assert [time.offset for time in preview.next[:2]] == ["UTC+01:00", "UTC+02:00"]
    assert [time.is_set for time in preview.next[:3]] == [False, True, False]
    assert preview.next[0].here == "Sat 2031-03-29 01:30"
    assert len(preview.next) == 10
    html = unescape(answer.content.decode())
    assert "Nothing has been saved" in html
    assert "clocks have been set" in html
    # What was given is still there.
    assert answer.context["adminform"].form["name"].value() == "nightly"


def test_the_preview_of_a_change_is_of_what_is_being_edited(
    admin_client: Client,
) -> None:
    schedule = hourly()
    data = form_of(admin_client, schedule) | {"interval": "7h", "_preview": "1"}
    answer = admin_client.post(url("change", schedule), data)
    assert len(answer.context["preview"].next) == 10
    assert "every 1h" in answer.content.decode()
    schedule.refresh_from_db()
    assert schedule.interval == 3600
    found = admin_client.post(url("change", schedule), data | {"interval": "x"})
    assert found.context["preview"] is None
    assert "interval" in problems(found)


@pytest.mark.parametrize(
    ("cron", "around"),
    [
        ("30 2 * * *", ["Sat 02:30", "Sun 03:00"]),
        ("0 12 1 1 *", []),
        ("*/30 * * * *", ["Sun 00:30", "Sun 01:00", "Sun 01:30", "Sun 03:00"]),
        ("* * * * *", ["Sun 01:56", "Sun 01:57", "Sun 01:58", "Sun 01:59"]),
    ],
)
def test_times_around_the_change_of_clocks(
    workflows: WorkflowTester, cron: str, around: list[str]
) -> None:
    travel(workflows, datetime(2031, 1, 2, tzinfo=UTC))
    schedule = create_schedule("s", report, cron=cron, timezone="Europe/Berlin")
    change = preview_of(schedule).change
    assert change is not None
    assert change.before == "Sun 2031-03-30 02:00 UTC+01:00"
    assert change.after == "Sun 2031-03-30 03:00 UTC+02:00"
    shown = [f"{time.clock[:3]} {time.clock[-5:]}" for time in change.times]
    assert shown[: len(around)] == around
    assert len(shown) <= 10
    assert [time.is_set for time in change.times].count(True) == (len(around) > 0)


def test_where_clocks_are_never_set_nothing_is_said_of_it() -> None:
    schedule = create_schedule("s", report, cron="0 9 * * *", timezone="Asia/Tokyo")
    assert preview_of(schedule).change is None
    assert preview_of(hourly()).change is None


@pytest.mark.parametrize(
    ("cron", "words"),
    [
        ("30 2 * * *", "every day, at 02:30"),
        ("0 9 * * 1-5", "Monday to Friday, at 09:00"),
        ("0 9 * * sun,7,wed", "Sunday, Sunday, Wednesday, at 09:00"),
        ("5 * * * *", "every day, every hour at minute 5"),
        ("*/15 * * * MON", "Monday, every 15m"),
        ("* * * * *", "every day, every minute"),
        ("0 0 1 * *", "on day 1 of each month, at 00:00"),
        ("*/7 * * * *", "cron */7 * * * *"),
        ("0 0 13 * 5", "cron 0 0 13 * 5"),
        ("0 0 1 1 *", "cron 0 0 1 1 *"),
        ("0 0 * * 1-5/2", "cron 0 0 * * 1-5/2"),
        ("0 0 L * *", "cron 0 0 L * *"),
    ],
)
def test_cron_in_words(cron: str, words: str) -> None:
    assert cron_in_words(cron) == words


def test_when_in_words() -> None:
    nightly = create_schedule("a", report, cron="30 2 * * *", timezone="Asia/Tokyo")
    assert when(nightly) == "every day, at 02:30 (Asia/Tokyo)"
    assert when(hourly(offset=90)) == "every 1h, moved by 1m30s"
    once = create_schedule("b", report, at=datetime(2100, 1, 1, tzinfo=UTC))
    assert when(once) == "once: Fri 2100-01-01 00:00"


# -- buttons --------------------------------------------------------------------------


def test_pausing_and_going_on(admin_client: Client) -> None:
    schedule = hourly()
    answer = admin_client.post(url("pause", schedule), {"note": "we move"}, follow=True)
    assert "The schedule is paused." in answer.content.decode()
    schedule.refresh_from_db()
    assert (schedule.paused, schedule.note) == (True, "we move")
    assert answer.context["verbs"] == ["unpause", "trigger", "backfill"]
    admin_client.post(url("unpause", schedule))
    schedule.refresh_from_db()
    assert not schedule.paused
    assert log(schedule) == ["Paused: we move", "Unpaused"]


def test_the_list_and_the_page_say_how_soon_the_next_time_is(
    admin_client: Client, workflows: WorkflowTester
) -> None:
    schedule = create_schedule("soon", report, at=workflows.now + timedelta(minutes=5))
    workflows.advance("0s")
    for page in (reverse(LIST), reverse(CHANGE, args=[schedule.pk])):
        assert "in 5 min" in read(admin_client, page)


def test_triggering(admin_client: Client, workflows: WorkflowTester) -> None:
    schedule = hourly()
    answer = admin_client.post(url("trigger", schedule), follow=True)
    run = Run.objects.get()
    assert run.pk in answer.content.decode()
    assert log(schedule) == [f"Triggered: {run.pk}"]
    noted = LogEntry.objects.get(object_id=run.pk)
    assert noted.get_change_message() == "Started by the schedule: hourly"
    workflows.run_until_idle()
    page = admin_client.get(url("change", schedule))
    assert page.context["runs"] == [run]
    assert "completed" in page.content.decode()
    runs = admin_client.get(page.context["runs_url"])
    assert list(runs.context["cl"].result_list) == [run]


def test_a_start_that_fails_is_told(
    admin_client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    schedule = hourly()
    Schedule.objects.filter(pk=schedule.pk).update(workflow="tests.gone")
    answer = admin_client.post(url("trigger", schedule), follow=True)
    assert "tests.gone" in str(next(iter(answer.context["messages"])))
    assert log(schedule) == []
    # It is still there to be chosen.
    form = answer.context["adminform"].form
    assert form.fields["workflow"].choices[1][0] == "tests.gone"


def test_times_are_made_up_for_after_they_were_shown(admin_client: Client) -> None:
    schedule = hourly()
    page = admin_client.get(url("backfill", schedule))
    assert page.context["count"] == 0
    ends = {"start": "2026-01-01T00:00", "end": "2026-01-01T23:59"}
    page = admin_client.post(url("backfill", schedule), ends)
    html = page.content.decode()
    assert "These are 24 times" in html
    assert "and 13 more" in html
    assert "Start 24 runs" in html
    assert not Run.objects.exists()
    ends["post"] = "yes"
    page = admin_client.post(url("backfill", schedule), ends, follow=True)
    assert str(next(iter(page.context["messages"]))) == "24 runs have been started."
    assert Run.objects.filter(attributes__schedule="hourly").count() == 24
    page = admin_client.post(url("backfill", schedule), ends, follow=True)
    assert "24 times have had theirs" in str(next(iter(page.context["messages"])))
    assert log(schedule)[0].endswith("24")


def test_very_many_times_are_made_up_for_bit_by_bit(
    admin_client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No request takes longer than somebody waits for, and none starts a run twice."""
    monkeypatch.setattr(making_up, "BATCH", 10)
    monkeypatch.setattr(backfill, "LONGEST", 0.0)
    schedule = hourly()
    ends = {"start": "2026-01-01T00:00", "end": "2026-01-01T23:59", "post": "yes"}
    for left in (14, 4):
        page = admin_client.post(url("backfill", schedule), ends)
        said = f"10 runs have been started. {left} are left: go on."
        assert [str(each) for each in page.context["messages"]] == [said]
        html = page.content.decode()
        assert f"These are {left} times" in html
        assert f"{24 - left} times have had theirs" in html
        assert f"Start {left} runs" in html
        assert Run.objects.count() == 24 - left
    page = admin_client.post(url("backfill", schedule), ends, follow=True)
    said = "4 runs have been started. 20 times have had theirs."
    assert [str(each) for each in page.context["messages"]] == [said]
    page = admin_client.post(url("backfill", schedule), ends, follow=True)
    said = "0 runs have been started. 24 times have had theirs."
    assert [str(each) for each in page.context["messages"]] == [said]
    del ends["post"]
    html = admin_client.post(url("backfill", schedule), ends).content.decode()
    assert "24 times have had theirs" in html
    assert "Start" not in html.partition('id="content-main"')[2].partition("</form>")[0]
    assert Run.objects.filter(attributes__schedule="hourly").count() == 24
    assert [text.rpartition(": ")[2] for text in log(schedule)] == ["10", "10", "4"]


def test_what_was_made_up_for_before_a_failure_stays_and_is_told(
    admin_client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(making_up, "BATCH", 10)
    monkeypatch.setattr(backfill, "LONGEST", 3600.0)
    schedule = hourly()
    start_one = schedule_runs.start_at_time

    def fails_at_noon(schedule: Schedule, us: int) -> Run | None:
        if us % (86_400 * 1_000_000) == 12 * 3600 * 1_000_000:
            raise ValueError("nobody works at noon")
        return start_one(schedule, us)

    monkeypatch.setattr(schedule_runs, "start_at_time", fails_at_noon)
    ends = {"start": "2026-01-01T00:00", "end": "2026-01-01T23:59", "post": "yes"}
    page = admin_client.post(url("backfill", schedule), ends, follow=True)
    assert [str(each) for each in page.context["messages"]] == [
        "10 runs have been started.",
        "nobody works at noon",
    ]
    assert Run.objects.count() == 10
    assert len(log(schedule)) == 1


@pytest.mark.parametrize(
    ("start", "end", "text"),
    [
        ("2026-01-02T00:00", "2026-01-01T00:00", "lies before"),
        ("2020-01-01T00:00", "2026-01-01T00:00", "more than 10,000"),
        ("2026-01-01T00:01", "2026-01-01T00:02", "no time in between"),
        ("", "2026-01-01T00:02", "required"),
    ],
)
def test_ends_that_make_no_sense_are_refused(
    admin_client: Client, start: str, end: str, text: str
) -> None:
    ends = {"start": start, "end": end, "post": "yes"}
    page = admin_client.post(url("backfill", hourly()), ends)
    assert text in unescape(page.content.decode())
    assert not Run.objects.exists()


def test_only_posts_act_and_what_is_gone_is_told(admin_client: Client) -> None:
    schedule = hourly()
    for verb in ("pause", "unpause", "trigger"):
        answer = admin_client.get(url(verb, schedule))
        assert answer["Location"] == url("change", schedule)
    assert log(schedule) == []
    gone = url("trigger", schedule)
    schedule.delete()
    assert admin_client.post(gone).status_code == 404
    assert not Run.objects.exists()


def test_who_may_do_what() -> None:
    schedule = hourly()
    client = client_of(user_with("view_schedule", "start_run"))
    for verb in ("pause", "unpause", "trigger", "backfill"):
        assert client.post(url(verb, schedule)).status_code == 403
    assert client.get(url("change", schedule)).context["verbs"] == []
    assert client.get(url("delete", schedule)).status_code == 403
    assert client.get(reverse(ADD)).status_code == 403
    user = User.objects.get(username="anna")
    user.user_permissions.set(
        Permission.objects.filter(codename__in=["view_schedule", "change_schedule"])
    )
    for verb in ("trigger", "backfill"):
        assert client.post(url(verb, schedule)).status_code == 403
    page = client.get(url("change", schedule))
    assert page.context["verbs"] == ["pause"]
    assert page.context["runs"] is None
    assert client.post(url("pause", schedule)).status_code == 302
    assert not Run.objects.exists()


def test_deleting_leaves_runs_alone(admin_client: Client) -> None:
    schedule = hourly()
    run = schedule.trigger()
    assert "hourly" in admin_client.get(url("delete", schedule)).content.decode()
    admin_client.post(url("delete", schedule), {"post": "yes"})
    assert not Schedule.objects.exists()
    assert Run.objects.get() == run


# -- the list -------------------------------------------------------------------------


def test_the_list_tells_how_each_stands(
    admin_client: Client, workflows: WorkflowTester
) -> None:
    hourly()
    create_schedule("failing", failing_report, interval="1h")
    hourly("paused", paused=True)
    triggered = create_schedule("triggered", failing_report, interval="30d")
    workflows.advance("1h")
    triggered.trigger()
    workflows.run_until_idle()
    html = admin_client.get(reverse(LIST)).content.decode()
    [body] = re.findall("<tbody>(.*?)</tbody>", html, re.DOTALL)
    rows = [re.sub("<[^>]+>", " ", row) for row in body.split("</tr>")[:-1]]
    found = [" ".join(unescape(row).split()) for row in rows]
    assert len(found) == 4
    assert re.fullmatch(r"failing .* every 1h .* failed .*", found[0])
    assert re.fullmatch(r"hourly .* every 1h .* completed .*", found[1])
    assert re.fullmatch(r"paused tests.admin.report every 1h paused - -?", found[2])
    assert re.fullmatch(r"triggered .* every 30d .* failed .*", found[3])


def test_the_number_of_queries_does_not_grow(
    admin_client: Client,
    workflows: WorkflowTester,
    django_assert_max_num_queries: DjangoAssertNumQueries,
) -> None:
    counts = []
    for number in (1, 20):
        for each in range(number):
            schedule = hourly(f"{number}-{each}")
        workflows.advance("1h")
        for page in (reverse(LIST), url("change", schedule)):
            with django_assert_max_num_queries(30) as seen:
                assert admin_client.get(page).status_code == 200
            counts.append(len(seen))
    assert counts[:2] == counts[2:]
