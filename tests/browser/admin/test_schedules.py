"""Schedules, as somebody makes and keeps them."""

from __future__ import annotations

from datetime import UTC, datetime

from playwright.sync_api import expect

from django_workflows import create_schedule, workflow
from django_workflows.models import Run, Schedule
from django_workflows.testing import WorkflowTester
from tests.browser.admin.console import NARROW, Console, axe, inline, shot, too_wide


@workflow(name="shop.nightly_report")
async def nightly_report(title: str = "Sales") -> str:
    return title


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
    page.get_by_role("button", name="Save and continue").click()
    schedule = Schedule.objects.get()
    assert schedule.cron == "30 2 * * *"

    page.get_by_role("link", name="Backfill").click()
    page.get_by_label("From:").fill("2031-03-01T00:00:00")
    page.get_by_label("Until:").fill("2031-03-07T00:00:00")
    page.get_by_role("button", name="Show the times").click()
    axe(page)
    assert not Run.objects.exists()
    page.get_by_role("button", name="Start 6 runs").click()
    expect(page.locator(".messagelist")).to_contain_text("6 runs have been started.")
    page.get_by_role("button", name="Trigger now").click()
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


def test_the_list(console: Console, workflows: WorkflowTester) -> None:
    create_schedule("hourly", nightly_report, interval="1h")
    create_schedule(
        "nightly", nightly_report, cron="30 2 * * *", timezone="Europe/Berlin"
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
