"""The timeline, the steps and the streams of a run, in a browser."""

from __future__ import annotations

import re

from playwright.sync_api import Locator, expect

from django_workflows import start
from django_workflows.models import Run
from django_workflows.testing import WorkflowTester
from tests.admin.panels import shop, tale
from tests.browser.admin.console import Console, barriers, refresh, too_wide


def _edges(bar: Locator) -> tuple[float, float]:
    """Where a bar begins and ends, as parts of the width of its row."""
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
    timeline.get_by_role("link", name="panels.flaky").click()
    step = page.locator("#steps details[open]").first
    expect(step).to_contain_text("Attempt 3")
    expect(step).to_be_in_viewport()
    page.set_viewport_size({"width": 390, "height": 844})
    assert too_wide(page) == []
    assert barriers(page, "color-contrast", "aria-required-children") == []


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
