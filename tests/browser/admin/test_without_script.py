"""The console without JavaScript: what tests of other files do with it works, too."""

from __future__ import annotations

import re
from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser, Page, expect

from django_workflows import start
from django_workflows.models import Run, Schedule
from django_workflows.testing import WorkflowTester
from tests.admin.panels import tale
from tests.browser.admin import (
    test_definitions,
    test_forms,
    test_lists,
    test_schedules,
    test_steering,
    test_timeline,
)
from tests.browser.admin.console import Console, runs_scripts
from tests.browser.contexts import new_context


@pytest.fixture
def page(browser: Browser) -> Iterator[Page]:
    context = new_context(browser, java_script_enabled=False)
    page = context.new_page()
    assert not runs_scripts(page)
    yield page
    context.close()


@pytest.mark.parametrize("verb", test_steering.DEEDS)
def test_a_run_is_steered_on_its_page(
    console: Console, workflows: WorkflowTester, verb: str
) -> None:
    test_steering.test_a_run_is_steered_on_its_page(console, workflows, verb)


def test_runs_are_steered_in_the_list(
    console: Console, workflows: WorkflowTester
) -> None:
    test_steering.test_runs_are_steered_in_the_list(console, workflows, "cancel")


def test_a_run_is_started_and_gets_what_it_waits_for(
    console: Console, workflows: WorkflowTester
) -> None:
    test_forms.test_a_run_is_started_and_gets_what_it_waits_for(console, workflows)


def test_a_definition_is_written_started_and_changed(
    console: Console, workflows: WorkflowTester
) -> None:
    with test_definitions.refused_cards():
        test_definitions.test_a_definition_from_its_first_words_to_its_execution(
            console, workflows
        )
        test_definitions.test_a_definition_is_changed_and_deleted(console)


def test_a_schedule_is_made_kept_and_deleted(
    console: Console, workflows: WorkflowTester
) -> None:
    test_schedules.test_a_schedule_from_its_preview_to_its_runs(console, workflows)
    Schedule.objects.all().delete()
    test_schedules.test_schedules_are_changed_and_deleted(console, workflows)


def test_runs_are_searched_and_narrowed(console: Console, runs: dict[str, Run]) -> None:
    page = console.open("django_workflows_run_changelist")
    rows = page.locator(test_lists.ROWS)
    test_lists.search_for(page, str(runs["waiting"].key), rows=1)
    page = console.open("django_workflows_run_changelist", query="?queue=default")
    status = page.locator("details[data-filter-title='status']")
    status.get_by_role("link", name="terminated").click()
    expect(rows).to_have_count(1)
    page.get_by_role("textbox", name="Attribute").fill("order")
    page.get_by_label("Value").fill("10251")
    page.get_by_role("button", name="Find").click()
    chosen = page.locator("#changelist-filter li.selected")
    everything = ["terminated", "All", "Any time", "All", "default", "order = 10251"]
    expect(chosen).to_have_text(everything)
    expect(rows).to_have_count(1)
    page.get_by_label("To", exact=True).fill("2001-01-01T00:00")
    page.get_by_role("button", name="Show").click()
    expect(page.get_by_text("No runs match.")).to_be_visible()
    expect(page.get_by_role("link", name="order = 10251")).to_be_visible()


def test_a_long_list_is_read_page_by_page(console: Console) -> None:
    test_lists.test_a_long_list_is_read_page_by_page(console)


def test_a_timeline_is_looked_at_more_closely(
    console: Console, workflows: WorkflowTester
) -> None:
    test_timeline.test_long_waits_are_drawn_short_until_somebody_wants_them_to_scale(
        console, workflows
    )
    timeline = console.page.locator("#timeline")
    timeline.get_by_role("link", name="Zoom to: attempt 1: failed").last.press("Enter")
    expect(timeline).to_contain_text("rows lie in this part")
    timeline.get_by_role("link", name="Whole run").click()
    expect(timeline).not_to_contain_text("rows lie in this part")
    timeline.get_by_role("link", name="panels.flaky").click()
    step = console.page.locator("#steps details[open]").first
    expect(step).to_contain_text("Attempt 3")


def test_steps_and_events_are_looked_for(
    console: Console, workflows: WorkflowTester
) -> None:
    test_timeline.test_steps_and_events_are_looked_for(console, workflows)


def test_payloads_and_streams_are_read(
    console: Console, workflows: WorkflowTester
) -> None:
    run: Run = start(tale, 3)
    workflows.run_until_idle()
    page = console.open_run(run)
    streams = page.locator("#streams")
    expect(streams).to_contain_text('"word": 2')
    streams.get_by_role("link", name=re.compile("Follow")).last.click()
    expect(streams.locator("noscript")).to_be_visible()
    streams.get_by_role("link", name="Show the last chunks only").click()
    expect(streams).to_contain_text('"word": 2')

    run = start(test_schedules.nightly_report, "Sales " * 200)
    workflows.run_until_idle()
    page = console.open_run(run)
    events = page.locator("#events tbody")
    payload = events.locator("details").first
    long = payload.locator("pre")
    expect(long).to_be_hidden()
    payload.locator("summary").click()
    expect(long).to_be_visible()
    events.get_by_role("link").first.click()
    expect(page.get_by_role("heading", level=1)).to_contain_text("1")
