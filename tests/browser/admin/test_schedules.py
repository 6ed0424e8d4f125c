"""Schedules, as somebody makes and keeps them."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from playwright.sync_api import Locator, expect

from django_workflows import create_schedule, workflow
from django_workflows.models import Run, Schedule
from django_workflows.testing import WorkflowTester
from tests.browser.admin.console import (
    NARROW,
    WRONG,
    Console,
    act,
    axe,
    inline,
    shot,
    too_wide,
)


@workflow(name="shop.nightly_report")
async def nightly_report(title: str = "Sales") -> str:
    return title


@pytest.mark.does(
    *("schedule_add:_preview", "schedule_add:_continue"),
    *("schedule_backfill", "schedule_trigger", "schedule_pause"),
)
def test_a_schedule_from_its_preview_to_its_runs(
    console: Console, workflows: WorkflowTester
) -> None:
    workflows.advance(datetime(2031, 3, 28, 12, tzinfo=UTC) - workflows.now)
    page = console.open("django_workflows_schedule_add")
    page.get_by_label("Name:").fill("nightly report")
    page.get_by_label("What it starts").select_option("shop.nightly_report")
    page.get_by_label("Cron").fill("30 2 * * *")
    page.get_by_label("Time zone").fill("Europe/Berlin")
    page.get_by_role("button", name="Preview the next times").click()
    expect(page).to_have_url(f"{page.url.partition('#')[0]}#times")
    rows = page.locator("#times table").first.locator("tbody tr")
    expect(rows).to_have_count(10)
    expect(rows.nth(1)).to_contain_text("Sun 2031-03-30 03:00")
    expect(rows.nth(1)).to_contain_text("clocks have been set")
    assert not Schedule.objects.exists()
    axe(page)
    assert inline(page) == []
    shot(page, "schedule-preview")
    message = page.locator(".messagelist")
    page.get_by_role("button", name="Save and continue").click()
    expect(message).to_contain_text("was added successfully")
    schedule = Schedule.objects.get()
    assert schedule.cron == "30 2 * * *"

    page.get_by_role("link", name="Backfill").click()
    page.get_by_label("From:").fill("2031-03-01T00:00:00")
    page.get_by_label("Until:").fill("2031-03-07T00:00:00")
    page.get_by_role("button", name="Show the times").click()
    expect(page.get_by_role("button", name="Start 6 runs")).to_be_visible()
    axe(page)
    assert not Run.objects.exists()
    page.get_by_role("button", name="Start 6 runs").click()
    expect(message).to_contain_text("6 runs have been started.")
    page.get_by_role("button", name="Trigger now").click()
    expect(message).to_contain_text("A run has been started")
    workflows.run_until_idle()
    page.get_by_label("Note").first.fill("the warehouse moves")
    page.get_by_role("button", name="Pause").click()
    expect(page.locator(".dw-schedule")).to_contain_text("the warehouse moves")
    expect(page.locator("#runs tbody tr")).to_have_count(7)
    expect(page.locator("#runs .dw-status-completed")).to_have_count(7)
    axe(page)
    assert inline(page) == []
    shot(page, "schedule")
    page.set_viewport_size(NARROW)
    assert too_wide(page) == []


@pytest.mark.does(
    *("schedule_add:_addanother", "schedule_add:_save", "schedule_unpause"),
    *(f"schedule_change:_{name}" for name in ("preview", "continue", "addanother")),
    *("schedule_change:_save", "schedule_changelist:delete_selected"),
    "schedule_delete",
)
def test_schedules_are_changed_and_deleted(
    console: Console, workflows: WorkflowTester
) -> None:
    schedule = create_schedule("hourly", nightly_report, interval="1h", paused=True)
    page = console.open("django_workflows_schedule_change", schedule.pk)
    message = page.locator(".messagelist")
    page.get_by_role("button", name="Unpause").click()
    expect(message).to_contain_text("The schedule goes on with its next time.")
    interval = page.get_by_label("Interval:")

    def save(length: str, button: str, where: Locator, told: str) -> int:
        interval.fill(length)
        page.get_by_role("button", name=button, exact=True).click()
        expect(where).to_contain_text(told)
        schedule.refresh_from_db()
        assert not schedule.paused
        return int(schedule.interval or 0)

    errors, times = page.locator(WRONG), page.locator("#times")
    assert save("soon", "Save", errors, "Interval") == 3600
    preview = "Preview the next times"
    assert save("2h", preview, times, "Nothing has been saved") == 3600
    editing = "You may edit it again below."
    assert save("2h", "Save and continue editing", message, editing) == 7200
    another = "You may add another schedule below."
    assert save("3h", "Save and add another", message, another) == 10800
    for name, button in (("daily", "Save and add another"), ("monthly", "Save")):
        page.get_by_label("Name:").fill(name)
        page.get_by_label("What it starts").select_option("shop.nightly_report")
        page.get_by_label("Cron").fill("0 0 1 * *")
        page.get_by_role("button", name=button, exact=True).click()
        expect(message).to_contain_text(f"“{name}” was added successfully")
    page.get_by_role("link", name="hourly", exact=True).click()
    expect(interval).to_have_value("3h")
    assert save("4h", "Save", message, "“hourly” was changed") == 14400

    for name in ("daily", "monthly"):
        page.get_by_role("row", name=name).get_by_role("checkbox").check()
    act(page, "delete_selected")
    sure = page.get_by_role("button", name="Yes, I’m sure")
    expect(sure).to_be_visible()
    axe(page)
    assert Schedule.objects.count() == 3
    sure.click()
    expect(message).to_contain_text("Successfully deleted 2 schedules.")
    page.get_by_role("link", name="hourly", exact=True).click()
    page.locator(".deletelink").click()  # said to be a button since 6.1
    expect(sure).to_be_visible()
    axe(page)
    assert Schedule.objects.get() == schedule
    sure.click()
    expect(message).to_contain_text("“hourly” was deleted successfully")
    assert not Schedule.objects.exists()


def test_the_list(console: Console, workflows: WorkflowTester) -> None:
    create_schedule("hourly", nightly_report, interval="1h")
    create_schedule(
        "nightly",
        nightly_report,
        cron="30 2 * * *",
        timezone="Europe/Berlin",
        # Not within the next hour, whatever the time is now.
        start_at=workflows.now + timedelta(days=2),
    )
    create_schedule("weekly", nightly_report, cron="0 9 * * 1", paused=True)
    workflows.advance("1h")
    page = console.open("django_workflows_schedule_changelist")
    expect(page.locator("#result_list")).to_contain_text("every day, at 02:30")
    expect(page.locator("#result_list .dw-status-completed")).to_have_count(1)
    axe(page)
    assert inline(page) == []
    shot(page, "schedules")
    page.set_viewport_size(NARROW)
    assert too_wide(page) == []
