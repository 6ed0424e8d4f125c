"""The console on a phone, where names are longer than the screen is wide."""

from __future__ import annotations

from playwright.sync_api import Page, expect

from django_workflows import create_hook, start, workflow
from django_workflows.testing import WorkflowTester
from tests.browser.admin.console import NARROW, Console, too_wide

NAME = "shop." + "a_name_that_does_not_end_" * 8


@workflow(name=NAME)
async def named_at_length() -> None:
    await create_hook()


def cut_off(page: Page) -> list[str]:
    """Return what the page is called, where not all of it is to be seen."""
    page.wait_for_load_state()
    found: list[str] = page.locator(".breadcrumbs, #content > h1").evaluate_all(
        "all => all.filter((e) => e.scrollWidth > e.clientWidth)"
        ".map((e) => e.outerHTML)"
    )
    return found


def test_long_names_are_seen_whole(console: Console, workflows: WorkflowTester) -> None:
    run = start(named_at_length)
    workflows.run_until_idle()
    page = console.page
    page.set_viewport_size(NARROW)
    colours = set()
    for name in ("change", "cancel", "pause"):
        console.open(f"django_workflows_run_{name}", run.pk)
        assert too_wide(page) == []
        assert cut_off(page) == []
        if name != "change":
            button = page.locator(".submit-row input").evaluate(
                "e => getComputedStyle(e).backgroundColor"
            )
            colours.add(button)
    # What ends a run is red, what can be taken back is not.
    assert len(colours) == 2

    console.open("django_workflows_hook_changelist")
    link = page.get_by_role("link", name=run.pk).bounding_box()
    assert link is not None
    assert link["width"] > NARROW["width"] / 3


def test_all_of_a_list_is_selected(console: Console, workflows: WorkflowTester) -> None:
    for _ in range(2):
        start(named_at_length)
    console.page.set_viewport_size(NARROW)
    page = console.open("django_workflows_run_changelist")
    page.locator("#action-toggle").check()
    expect(page.locator("input.action-select:checked")).to_have_count(2)
