"""The lists of the console in a browser: searched, narrowed, and read page by page."""

from __future__ import annotations

import re

import pytest
from playwright.sync_api import Page, expect

from django_workflows import start_many, workflow
from django_workflows.models import Run
from django_workflows.testing import WorkflowTester
from tests.browser.admin.console import Console
from tests.browser.admin.invitations import every_night, invite
from tests.browser.admin.orders import ship

ROWS = "#result_list tbody tr"


@workflow(name="shop.wrap", version="2")
async def wrap(order: int) -> int:
    return order


def search_for(page: Page, text: str, rows: int) -> None:
    """Look for something that is in so many rows."""
    page.get_by_label("Search for").fill(text)
    page.get_by_role("button", name="Search").click()
    # The page before this one may have as many rows.
    expect(page).to_have_url(re.compile(rf"[?&]q={re.escape(text)}(&|$)"))
    expect(page.locator(ROWS)).to_have_count(rows)
    expect(page.get_by_label("Search for")).to_have_value(text)


def narrow(page: Page) -> set[str]:
    """Choose something in each filter, and all again; return what filters there are."""
    filters = page.locator("#changelist-filter details")
    titles = filters.evaluate_all("all => all.map((e) => e.dataset.filterTitle)")
    for title in titles:
        page.wait_for_load_state()
        choices = page.locator(f"details[data-filter-title='{title}'] li")
        everything = choices.first.inner_text()
        chosen = choices.last.inner_text()
        choices.last.get_by_role("link").click()
        selected = page.locator(f"details[data-filter-title='{title}'] li.selected")
        expect(selected).to_have_text(chosen)
        choices.first.get_by_role("link").click()
        expect(selected).to_have_text(everything)
    return set(titles)


@pytest.mark.does(
    *("run_changelist:q", "hook_changelist:q", "event_changelist:q"),
    *("schedule_changelist:q", "definition_changelist:q"),
    *(f"run_changelist:attribute_{field}" for field in ("name", "value")),
)
def test_lists_are_searched_and_narrowed(
    console: Console, runs: dict[str, Run], workflows: WorkflowTester
) -> None:
    run, hook = runs["waiting"], runs["waiting"].hooks.get()
    wrap.start(10258)
    invite()
    every_night()
    workflows.run_until_idle()

    page = console.open("django_workflows_run_changelist")
    assert narrow(page) == {
        *("status", "blocked", "creation", "workflow", "queue", "attribute")
    }
    search_for(page, str(run.key), rows=1)
    expect(page.get_by_role("link", name=run.pk)).to_be_visible()
    page.get_by_role("link", name="order=10256").click()
    attribute = page.locator("details[data-filter-title='attribute']")
    chosen = attribute.locator("li.selected")
    expect(chosen).to_have_text("order = 10256")
    expect(page.locator(ROWS)).to_have_count(1)
    attribute.get_by_role("link", name="All").click()
    expect(chosen).to_have_text("All")
    attribute.get_by_role("textbox", name="Attribute").fill("order")
    attribute.get_by_label("Value").fill("10255")
    attribute.get_by_role("button", name="Find").click()
    expect(chosen).to_have_text("order = 10255")
    expect(page.locator(ROWS)).to_have_count(1)
    attribute.get_by_role("link", name="All").click()
    expect(chosen).to_have_text("All")
    page.get_by_role("link", name="shop.wrap", exact=True).click()
    version = page.locator("details[data-filter-title='version']")
    version.get_by_role("link", name="2", exact=True).click()
    expect(version.locator("li.selected")).to_have_text("2")
    expect(page.locator(ROWS)).to_have_count(1)

    page = console.open_run(runs["completed"])
    page.get_by_role("link", name="All children in the list of runs").click()
    expect(page.locator(ROWS)).to_have_count(1)
    expect(page.locator("details[data-filter-title='parent']")).to_be_visible()

    page = console.open("django_workflows_hook_changelist")
    assert narrow(page) == {"kind"}
    search_for(page, hook.pk, rows=1)

    page = console.open("django_workflows_event_changelist")
    search_for(page, run.pk, rows=run.events.exclude(seq=None).count())
    kinds = page.locator("details[data-filter-title='type']")
    kinds.get_by_role("link", name="hook_created").click()
    expect(page.locator(ROWS)).to_have_count(1)

    page = console.open("django_workflows_worker_changelist")
    page.get_by_role("link", name="Stopped", exact=True).click()
    expect(page.get_by_text("No workers match.")).to_be_visible()

    page = console.open("django_workflows_schedule_changelist")
    search_for(page, "nightly", rows=1)
    search_for(page, "yearly", rows=0)

    page = console.open("django_workflows_definition_changelist")
    search_for(page, "invitation", rows=1)
    search_for(page, "reminder", rows=0)


def test_a_long_list_is_read_page_by_page(console: Console) -> None:
    started = start_many(ship, [(order, 1) for order in range(60)])
    page = console.open("django_workflows_run_changelist")
    rows = page.locator(ROWS)
    expect(rows).to_have_count(50)
    page.get_by_role("link", name="Next page").click()
    expect(rows).to_have_count(10)
    expect(page.get_by_role("link", name=started[0].pk)).to_be_visible()
    page.get_by_role("link", name="Previous page").click()
    expect(rows).to_have_count(50)
    expect(page.get_by_role("link", name=started[-1].pk)).to_be_visible()
