"""Pages that follow what happens, while somebody looks at them."""

from __future__ import annotations

from django.contrib.sessions.models import Session
from playwright.sync_api import Page, Route, expect

from django_workflows.models import Run
from django_workflows.testing import WorkflowTester
from tests.browser.admin.console import Console, refresh
from tests.browser.admin.orders import Decision

LIVE = "[data-live-page]"


def mark(page: Page) -> None:
    """Remember this copy of the page."""
    page.evaluate("window.isTheSame = true")


def assert_not_reloaded(page: Page) -> None:
    assert page.evaluate("window.isTheSame") is True


def test_a_page_follows_its_run_to_the_end(
    console: Console, runs: dict[str, Run], workflows: WorkflowTester
) -> None:
    page = console.open_run(runs["sleeping"])
    mark(page)
    status = page.locator("#summary .dw-status").first
    expect(status).to_have_text("waiting")
    expect(page.locator(LIVE)).to_have_count(1)
    name = f"{runs['sleeping'].title} {runs['sleeping'].pk}"
    expect(page).to_have_title(f"waiting: {name} | Django site admin")
    workflows.advance("3d")
    refresh(page)
    expect(status).to_have_text("completed")
    expect(page).to_have_title(f"completed: {name} | Django site admin")
    expect(page.locator(LIVE)).to_have_count(0)
    assert_not_reloaded(page)


def test_all_of_a_page_goes_on_but_what_somebody_fills_in(
    console: Console, runs: dict[str, Run], workflows: WorkflowTester
) -> None:
    page = console.open_run(runs["waiting"])
    mark(page)
    expect(page.locator("#timeline")).not_to_contain_text("shop.charge")
    expect(page.locator("#cause")).to_have_count(0)
    about = page.locator("#events").get_by_label("About")
    about.fill("step_")
    page.locator("#steps summary").first.click()
    Decision.resume("approval:10256", {"approved": True})
    workflows.advance("1m")
    refresh(page)
    expect(page.locator("#timeline")).to_contain_text("shop.charge")
    expect(page.locator("#steps")).to_contain_text("2 attempts")
    expect(page.locator("#steps details").first).to_have_attribute("open", "")
    expect(page.locator("#summary")).to_contain_text("its sleep to end")
    expect(about).to_have_value("step_")
    expect(page.locator("#steps summary").first).to_be_focused()
    assert_not_reloaded(page)


def test_an_outage_is_told_and_passes(
    console: Console, runs: dict[str, Run], workflows: WorkflowTester
) -> None:
    page = console.open_run(runs["sleeping"])
    mark(page)

    def fail(route: Route) -> None:
        route.abort()

    page.route("**/run/**", fail)
    for _ in range(2):
        with page.expect_console_message(lambda m: "not be refreshed" in m.text):
            refresh(page)
    expect(page.get_by_role("status")).to_contain_text("the server does not answer")
    page.unroute("**/run/**", fail)
    workflows.advance("3d")
    refresh(page)
    expect(page.locator("#summary .dw-status").first).to_have_text("completed")
    expect(page.get_by_role("status")).to_have_count(0)
    assert_not_reloaded(page)


def test_without_a_session_the_page_stays_and_says_so(
    console: Console, runs: dict[str, Run]
) -> None:
    page = console.open_run(runs["sleeping"])
    mark(page)
    Session.objects.all().delete()
    refresh(page)
    expect(page.get_by_role("status")).to_have_text(
        "This page is no longer updated. Reload it."
    )
    expect(page.locator("#summary .dw-status").first).to_have_text("waiting")
    assert_not_reloaded(page)
