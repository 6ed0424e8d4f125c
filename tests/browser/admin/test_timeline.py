"""The timeline, the steps and the streams of a run, in a browser."""

from __future__ import annotations

import re

import pytest
from playwright.sync_api import Locator, expect

from django_workflows import start, step, workflow
from django_workflows.models import Run
from django_workflows.testing import WorkflowTester
from tests.admin.panels import doubling, shop, tale
from tests.browser.admin.console import Console, barriers, refresh, too_wide


def _edges(bar: Locator) -> tuple[float, float]:
    """Where a bar begins and ends, as parts of the width of its row."""
    bar.page.wait_for_load_state()
    left, right = bar.evaluate(
        """e => {
        const row = e.closest("svg").getBoundingClientRect();
        const bar = e.getBoundingClientRect();
        return [(bar.left - row.left) / row.width, (bar.right - row.left) / row.width];
        }"""
    )
    return round(left, 2), round(right, 2)


def test_a_timeline_is_looked_at_more_closely(
    console: Console, workflows: WorkflowTester
) -> None:
    run = start(shop, 2)
    workflows.run_until_idle()
    for _ in range(20):
        workflows.advance("1s")
    page = console.open_run(run)
    timeline = page.locator("#timeline")
    child = timeline.get_by_role("row", name="panels.resting")
    timer = timeline.get_by_role("row", name="Timer sleep")
    assert _edges(child.locator(".dw-bar")) == (0, 0.4)
    assert _edges(timer.locator(".dw-bar")) == (0, 0.35)
    timer.locator(".dw-bar").hover()
    expect(timer.locator("g:hover title")).to_have_text("timer, completed, 7.0 s")
    hook = timeline.get_by_role("row", name="Hook")
    assert _edges(hook.locator(".dw-bar")) == (0.85, 1)
    workflows.advance("14s")
    refresh(page)
    expect(hook).to_contain_text("17 s")
    assert _edges(hook.locator(".dw-bar")) == (0.5, 1)
    timeline.get_by_role("link", name="Zoom to: attempt 1: failed").last.press("Enter")
    expect(timeline).to_contain_text("rows lie in this part")
    expect(timeline.get_by_role("row", name="panels.resting")).to_have_count(0)
    timeline.get_by_role("link", name="Whole run").click()
    expect(timeline).not_to_contain_text("rows lie in this part")
    timeline.get_by_role("link", name="panels.flaky").click()
    step = page.locator("#steps details[open]").first
    expect(step).to_contain_text("Attempt 3")
    expect(step).to_be_in_viewport()
    page.set_viewport_size({"width": 390, "height": 844})
    assert too_wide(page) == []
    assert barriers(page, "color-contrast", "aria-required-children") == []


def test_the_parts_of_a_long_page_are_reached_from_everywhere(
    console: Console, workflows: WorkflowTester
) -> None:
    run = start(shop, 30)
    workflows.advance("1m")
    page = console.open_run(run)
    nav = page.get_by_role("navigation", name="On this page")
    nav.get_by_role("link", name="Events").click()
    heading = page.get_by_role("heading", name="Events", exact=True)
    expect(heading).to_be_in_viewport()
    expect(nav).to_be_in_viewport()
    # It does not lie upon what it leads to.
    below = nav.bounding_box()
    place = heading.bounding_box()
    assert below is not None
    assert place is not None
    assert below["y"] + below["height"] <= place["y"]
    nav.get_by_role("link", name="Timeline").press("Enter")
    expect(page.get_by_role("heading", name="Timeline", exact=True)).to_be_in_viewport()
    expect(heading).not_to_be_in_viewport()


@step(name="a_project_of_ours.shop.workflows.charge_the_order")
def charge_the_order() -> None:
    """Has the name that it would have by itself in most projects."""


@workflow(name="a_project_of_ours.shop.workflows.fulfil_the_order")
async def fulfil_the_order() -> None:
    await charge_the_order()


def test_beside_the_list_of_apps_there_is_room_for_long_names_and_bars(
    console: Console, workflows: WorkflowTester
) -> None:
    run = start(fulfil_the_order)
    workflows.run_until_idle()
    console.page.set_viewport_size({"width": 1280, "height": 800})
    page = console.open_run(run)
    expect(page.locator("#nav-sidebar")).to_be_visible()
    spare = "e => e.clientWidth - e.scrollWidth"
    assert page.locator("#timeline .dw-scroll").evaluate(spare) >= 0
    page = console.open("django_workflows_run_changelist")
    expect(page.locator("#nav-sidebar")).to_be_visible()
    assert page.locator(".results").evaluate(spare) >= 0


def test_an_id_is_selected_by_a_click(console: Console, runs: dict[str, Run]) -> None:
    run = runs["waiting"]
    page = console.open_run(run)
    for text in (run.pk, str(run.key)):
        page.locator("#content").get_by_text(text, exact=True).first.click()
        assert page.evaluate("getSelection().toString()") == text


def test_long_waits_are_drawn_short_until_somebody_wants_them_to_scale(
    console: Console, workflows: WorkflowTester
) -> None:
    run = start(shop, 1)
    for _ in range(20):
        workflows.advance("1s")
    workflows.advance("3d")
    page = console.open_run(run)
    timeline = page.locator("#timeline")
    child = timeline.get_by_role("row", name="panels.resting").locator(".dw-bar")
    begin, end = _edges(child)
    assert begin == 0
    assert end > 0.3
    expect(timeline.locator(".dw-tl-folded").first).to_contain_text("3 d")
    to_scale = timeline.get_by_role("link", name="Draw to scale")
    short = timeline.get_by_role("link", name="Draw long waits short")
    to_scale.click()
    expect(short).to_be_visible()
    assert _edges(child)[1] <= 0.01
    page.set_viewport_size({"width": 390, "height": 844})
    short.click()
    expect(to_scale).to_be_visible()
    assert too_wide(page) == []
    assert barriers(page) == []


@pytest.mark.does("run_change:type", "run_change:of")
def test_steps_and_events_are_looked_for(
    console: Console, workflows: WorkflowTester
) -> None:
    run = start(doubling, 30)
    workflows.run_until_idle()
    page = console.open_run(run)
    events = page.locator("#events")
    rows = events.locator("tbody tr")
    expect(rows).to_have_count(50)
    events.get_by_role("link", name="Next").click()
    expect(rows.first).to_contain_text("51")
    events.get_by_role("link", name="First").click()
    expect(rows.first).to_contain_text("run_created")
    events.get_by_label("Type").select_option("step_completed")
    events.get_by_role("button", name="Filter").click()
    expect(rows).to_have_count(30)
    step = run.steps.earliest("pk")
    events.get_by_label("About").fill(step.pk)
    events.get_by_role("button", name="Filter").click()
    expect(rows).to_have_count(1)
    expect(rows).to_contain_text("panels.double")
    events.get_by_role("link", name="Show all").click()
    expect(rows).to_have_count(50)

    steps = page.locator("#steps")
    steps.get_by_role("link", name="Completed 30").click()
    chosen = steps.locator("[aria-current]")
    expect(chosen).to_contain_text("Completed")
    steps.locator("summary").first.click()
    expect(steps.locator("details").first).to_contain_text("Attempt 1")


def test_a_stream_is_followed_while_the_page_lives(
    console: Console, workflows: WorkflowTester
) -> None:
    run: Run = start(tale, 3)
    workflows.run_until_idle()
    page = console.open_run(run)
    streams = page.locator("#streams")
    expect(streams).to_contain_text('"word": 2')
    streams.get_by_role("link", name=re.compile("Follow")).last.click()
    stream = streams.locator("workflow-stream")
    expect(stream).to_contain_text('"word":2')
    with page.expect_response(re.compile("/change/")):
        refresh(page)
    expect(stream).to_contain_text('"word":2')
    streams.get_by_role("link", name="Show the last chunks only").click()
    expect(stream).to_have_count(0)
