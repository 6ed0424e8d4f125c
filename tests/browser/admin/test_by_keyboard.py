"""The console by keyboard alone, on a site that allows nothing inline."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from playwright.sync_api import Page, Route, expect

from django_workflows.models import Run
from django_workflows.testing import WorkflowTester
from tests.browser.admin.console import Console
from tests.browser.contexts import stop_clock

#: More than any of these pages has.
MANY = 400


POLICY = "default-src 'self'; object-src 'none'; frame-ancestors 'none'"


@pytest.fixture
def console(console: Console) -> Iterator[Console]:
    """What breaks the policy is an error in the browser's console, which fails.

    Pages do not follow what happens: they would lose what marks the stops.
    """
    stop_clock(console.page)

    def answer(route: Route) -> None:
        response = route.fetch(max_redirects=0)
        headers = response.headers | {"content-security-policy": POLICY}
        route.fulfill(response=response, headers=headers)

    console.page.route("**/admin/**", answer)
    yield console
    console.page.unroute_all(behavior="ignoreErrors")


def out_of_reach(page: Page) -> list[str]:
    """Go through the page with the Tab key; return what it does not come to."""
    page.evaluate(
        """() => {
        const all = "a[href], button, input, select, textarea, summary, [tabindex='0']";
        for (const stop of document.querySelectorAll(all)) {
            if (stop.checkVisibility({ checkVisibilityCSS: true })) {
                stop.dataset.stop = stop.outerHTML.slice(0, 120);
            }
        }
        }"""
    )
    ends = 0
    for _ in range(MANY):
        page.keyboard.press("Tab")
        # At the end it begins anew; a form may have begun in the middle.
        ends += page.evaluate(
            """() => {
            const here = document.activeElement;
            if (here === document.body) return 1;
            // A date has several stops in one field.
            delete here.dataset.stop;
            return 0;
            }"""
        )
        if ends == 2 or not page.locator("[data-stop]").count():
            break
    left: list[str] = page.locator("[data-stop]").evaluate_all(
        "all => all.map((e) => e.dataset.stop)"
    )
    return left


@pytest.mark.parametrize("state", ["waiting", "failed"])
def test_everything_on_a_runs_page_is_reached(
    console: Console, runs: dict[str, Run], state: str
) -> None:
    page = console.open_run(runs[state])
    expect(page.locator("#summary")).to_be_visible()
    assert out_of_reach(page) == []


@pytest.mark.parametrize(
    ("name", "args"),
    [
        ("app_list", ["django_workflows"]),
        ("django_workflows_run_changelist", []),
        ("django_workflows_schedule_add", []),
        ("django_workflows_definition_add", []),
    ],
)
def test_everything_on_a_page_is_reached(
    console: Console, runs: dict[str, Run], name: str, args: list[str]
) -> None:
    page = console.open(name, *args)
    expect(page.get_by_role("heading", level=1)).to_be_visible()
    assert out_of_reach(page) == []


def test_a_run_is_paused_with_the_keyboard(
    console: Console, runs: dict[str, Run], workflows: WorkflowTester
) -> None:
    run = runs["sleeping"]
    page = console.open_run(run)
    page.get_by_role("button", name="Pause").focus()
    page.keyboard.press("Enter")
    page.get_by_role("button", name="Pause this run").focus()
    page.keyboard.press("Enter")
    expect(page.get_by_text("The run has been asked to pause.")).to_be_visible()
    workflows.run_until_idle()
    run.refresh_from_db()
    assert run.status == "paused"
