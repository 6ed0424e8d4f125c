"""The console without JavaScript, by keyboard, and for who may do little."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser, Page, expect

from django_workflows.models import Run
from django_workflows.testing import WorkflowTester
from tests.browser.admin.console import Console


@pytest.fixture
def page(browser: Browser) -> Iterator[Page]:
    context = browser.new_context(java_script_enabled=False)
    yield context.new_page()
    context.close()


def test_a_run_is_cancelled_without_javascript(
    console: Console, runs: dict[str, Run], workflows: WorkflowTester
) -> None:
    run = runs["waiting"]
    page = console.open_run(run)
    page.get_by_role("button", name="Cancel").click()
    # Nothing is done before it is confirmed.
    expect(page.get_by_role("heading", level=1)).to_contain_text("Cancel")
    workflows.run_until_idle()
    run.refresh_from_db()
    assert run.status == "running"
    page.get_by_label("Reason").fill("ordered twice")
    page.get_by_role("button", name="Cancel this run").click()
    expect(page.get_by_text("The run has been asked to stop.")).to_be_visible()
    workflows.run_until_idle()
    run.refresh_from_db()
    assert run.status == "cancelled"
    page.reload()
    expect(page.locator("#summary .dw-status").first).to_have_text("cancelled")
    expect(page.locator("#people")).to_contain_text("ada")
    expect(page.locator("#people")).to_contain_text("ordered twice")
