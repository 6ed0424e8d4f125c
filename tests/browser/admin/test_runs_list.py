"""The list of runs in a browser."""

from __future__ import annotations

import pytest
from playwright.sync_api import expect

from django_workflows.models import Run
from tests.browser.admin.console import Console, act, refresh


@pytest.mark.does("run_changelist:created_after", "run_changelist:created_before")
def test_runs_of_the_list_are_followed_and_steered(
    console: Console, runs: dict[str, Run]
) -> None:
    page = console.open("django_workflows_run_changelist")
    sleeping, failed = runs["sleeping"], runs["failed"]
    status = page.locator(f"#{sleeping.pk}-status")
    for run in (sleeping, failed):
        page.locator(f"input[value='{run.pk}']").check()
    sleeping.terminate()
    refresh(page)
    expect(status).to_have_text("terminated")
    trail = page.locator(".breadcrumbs")
    colour = trail.evaluate("e => getComputedStyle(e).backgroundColor")
    # What was ticked stays so.
    act(page, "Retry selected runs")
    expect(page.get_by_role("link", name=str(failed))).to_be_visible()
    # Django's own pages and ours look the same.
    expect(trail).to_have_css("background-color", colour)
    page.get_by_role("button", name="Retry selected runs").click()
    expect(page.locator(".messagelist .success")).to_have_text(f"{failed.pk} goes on.")
    expect(page.locator(".messagelist .error")).to_contain_text(sleeping.pk)

    page.get_by_label("From", exact=True).fill("2001-01-01T00:00")
    page.get_by_label("To", exact=True).fill("2001-01-02T00:00")
    page.get_by_role("button", name="Show").click()
    expect(page.get_by_text("No runs match.")).to_be_visible()
    page.get_by_role("link", name="Any time").click()
    expect(page.get_by_role("link", name=failed.pk)).to_be_visible()
