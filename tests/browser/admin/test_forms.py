"""Forms in the console: a workflow is started, and what it waits for is sent to it."""

from __future__ import annotations

from decimal import Decimal
from pathlib import Path

import pytest
from playwright.sync_api import expect

from django_workflows.models import Run
from django_workflows.testing import WorkflowTester
from tests.browser.admin.console import NARROW, SHOTS, WRONG, Console, axe, too_wide


@pytest.mark.does("run_start", "hook_resume")
def test_a_run_is_started_and_gets_what_it_waits_for(
    console: Console, workflows: WorkflowTester
) -> None:
    page = console.open("django_workflows_run_changelist")
    page.get_by_role("link", name="Start a run").click()
    page.get_by_role("link", name="shop.fulfil").click()
    page.get_by_label("Order").fill("10248")
    page.get_by_label("Amount").fill("many")
    page.locator("summary", has_text="Options").click()
    page.get_by_label("Attributes").fill('{"order": 10248}')
    page.get_by_role("button", name="Start").click()
    expect(page.locator(WRONG)).to_contain_text("Amount")
    expect(page.get_by_label("Order")).to_have_value("10248")
    expect(page.get_by_label("Attributes")).to_be_visible()
    axe(page)
    page.get_by_label("Amount").fill("750.00")
    page.get_by_role("button", name="Start").click()
    expect(page.locator(".messagelist")).to_contain_text("has been started")
    run = Run.objects.get()
    assert run.kwargs == {"order": 10248, "amount": Decimal("750.00")}

    workflows.run_until_idle()
    page.reload()
    hooks = page.locator("#hooks")
    hooks.get_by_label("Approved").check()
    hooks.get_by_label("Note").fill("a good customer")
    axe(page)
    if SHOTS:
        hooks.screenshot(path=Path(SHOTS) / "admin-hooks.png")
    hooks.get_by_role("button", name="Send this payload").click()
    expect(page.locator(".messagelist")).to_contain_text("sent to the run")
    workflows.advance("4d")
    page.reload()
    expect(page.locator("#summary")).to_contain_text("completed")
    expect(page.locator("#people")).to_contain_text("ada")

    page.get_by_role("link", name="Start again with changed input").click()
    expect(page.get_by_label("Amount")).to_have_value("750.00")
    page.emulate_media(color_scheme="dark")
    axe(page)
    page.set_viewport_size(NARROW)
    assert not too_wide(page)
    page.get_by_label("Amount").fill("99.90")
    page.get_by_role("button", name="Start").click()
    expect(page.locator("#people")).to_contain_text(run.pk)
    new = Run.objects.filter(parent=None).exclude(pk=run.pk).get()
    assert new.kwargs == {"order": 10248, "amount": Decimal("99.90")}
