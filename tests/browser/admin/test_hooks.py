"""Hooks in a browser: found in their list, and resumed on their page."""

from __future__ import annotations

from datetime import date

import pytest
from playwright.sync_api import expect

from django_workflows.models import Run
from django_workflows.testing import WorkflowTester
from tests.admin.pages import user_with
from tests.browser.admin.console import Console, axe
from tests.browser.admin.orders import count_stock


@pytest.mark.does("hook_resume")
def test_json_is_sent_to_a_hook(console: Console, workflows: WorkflowTester) -> None:
    run: Run = count_stock.start(date(2026, 11, 2))
    workflows.run_until_idle()
    ada = console.user
    console.log_in(user_with("view_run", "view_hook", "view_payload", name="bob"))
    page = console.open("django_workflows_hook_changelist")
    page.get_by_role("link", name=run.hooks.get().pk).click()
    expect(page.get_by_text("You may not send payloads to hooks.")).to_be_visible()
    button = page.get_by_role("button", name="Send this payload")
    expect(button).to_have_count(0)

    console.log_in(ada)
    page.reload()
    payload = page.get_by_role("textbox", name="Payload")
    payload.fill('{"counted": ')
    button.click()
    expect(page.get_by_text("Nothing was sent.")).to_be_visible()
    expect(payload).to_have_value('{"counted": ')
    axe(page)
    payload.fill('{"counted": 77}')
    button.click()
    expect(page.locator(".messagelist .success")).to_contain_text("sent to the run")
    axe(page)
    workflows.run_until_idle()
    run.refresh_from_db()
    assert run.status == "completed"
    page.reload()
    by_her = page.locator("#people tr", has_text="ada")
    expect(by_her).to_contain_text("Sent a payload to hook")
