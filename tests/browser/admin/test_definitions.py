"""Definitions, as somebody edits, starts and follows them."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from playwright.sync_api import expect

from django_workflows.definitions import action, get_definition, register
from django_workflows.testing import WorkflowTester
from tests.browser.admin.console import NARROW, Console, axe, inline, shot, too_wide
from tests.definitions.registered import registered_for_a_while

ORDER: dict[str, Any] = {
    "id": "order-processing",
    "name": "Process customer order",
    "steps": [
        {"id": "validate", "name": "Validate payment", "action": "noop"},
        {
            "id": "reserve",
            "name": "Reserve inventory",
            "action": "noop",
            "dependsOn": ["validate"],
        },
        {
            "id": "fraud",
            "name": "Fraud score",
            "action": "noop",
            "dependsOn": ["validate"],
            "condition": "input.total > 100",
            "onError": "continue",
        },
        {
            "id": "charge",
            "name": "Charge the card",
            "action": "charge_card",
            "dependsOn": ["reserve", "fraud"],
            "onError": "branch",
            "errorBranch": "release",
            "maxRetries": 2,
            "timeout": "30s",
        },
        {"id": "release", "name": "Release the stock", "action": "noop"},
        {
            "id": "ship",
            "name": "Ship",
            "action": "noop",
            "dependsOn": ["charge"],
        },
        {
            "id": "remind",
            "name": "Ask for a review",
            "action": "noop",
            "dependsOn": ["validate"],
            "wait": "3d",
        },
    ],
}


@contextmanager
def refused_cards() -> Iterator[None]:
    """What is registered meanwhile is forgotten then; cards are refused."""
    with registered_for_a_while():
        action("charge_card")(_refuse)
        yield


@pytest.fixture(autouse=True)
def _registered() -> Iterator[None]:
    with refused_cards():
        yield


def _refuse(params: Any) -> None:
    raise ValueError("the card is refused")


@pytest.mark.does("definition_add:_check", "definition_add:_save", "definition_start")
def test_a_definition_from_its_first_words_to_its_execution(
    console: Console, workflows: WorkflowTester
) -> None:
    page = console.open("django_workflows_definition_add")
    editor = page.get_by_label("Definition, in JSON")
    wrong = json.dumps(ORDER, indent=2).replace('"charge_card"', '"charge"')
    editor.fill(wrong)
    page.get_by_role("button", name="Check").click()
    expect(page.get_by_role("alert")).to_contain_text("there is no 'charge'")
    expect(editor).to_have_value(wrong)
    axe(page)
    editor.fill(json.dumps(ORDER, indent=2))
    page.get_by_role("button", name="Check").click()
    expect(page.get_by_role("status")).to_contain_text("Nothing is wrong with it")
    expect(page.locator("#graph svg .dw-step")).to_have_count(7)
    axe(page)
    assert inline(page) == []
    page.set_viewport_size({"width": 1680, "height": 1000})
    shot(page, "definition-editor")
    page.get_by_role("button", name="Save").click()
    expect(page.locator(".messagelist")).to_contain_text("Version 1 has been saved")
    assert get_definition("order-processing") is not None
    page.get_by_text("The steps as a list").click()
    expect(page.locator("#graph ol")).to_contain_text("runs if this fails: charge")
    axe(page)
    page.set_viewport_size(NARROW)
    assert too_wide(page) == []
    page.set_viewport_size({"width": 1280, "height": 900})

    page.get_by_role("link", name="Start an execution").click()
    page.get_by_role("textbox", name="Input").fill('{"total": 7}')
    axe(page)
    page.get_by_role("button", name="Start").click()
    expect(page.locator(".messagelist")).to_contain_text("has been started")
    workflows.advance("10s")
    page.reload()
    graph = page.locator("#graph")
    expect(graph.locator("svg .dw-step-completed")).to_have_count(3)
    expect(graph.locator("svg .dw-step-skipped")).to_have_count(2)
    expect(graph.locator("svg .dw-step-waiting")).to_contain_text("waiting")
    expect(graph.locator("svg .dw-step-failed")).to_contain_text("failed, 3 attempts")
    axe(page)
    shot(page, "execution", height=1300)
    graph.get_by_role("link", name="Charge the card").first.click()
    expect(page).to_have_url(re.compile("#step"))
    step = page.locator(f"[id='{page.url.partition('#')[2]}']")
    expect(step).to_be_visible()
    expect(step.locator("details").first).to_have_attribute("open", "")


@pytest.mark.does(
    "definition_change:_check", "definition_change:_save", "definition_delete"
)
def test_a_definition_is_changed_and_deleted(console: Console) -> None:
    register(ORDER)
    page = console.open("django_workflows_definition_changelist")
    page.get_by_role("link", name="order-processing").click()
    editor = page.get_by_label("Definition, in JSON")
    was = json.dumps(ORDER)
    editor.fill(was.replace('"3d"', '"soon"'))
    page.get_by_role("button", name="Check").click()
    expect(page.get_by_role("alert")).to_contain_text("soon")
    editor.fill(was.replace('"3d"', '"4d"'))
    page.get_by_role("button", name="Save").click()
    expect(page.locator(".messagelist")).to_contain_text("Version 2 has been saved")
    axe(page)
    page.locator("#versions").get_by_role("link", name="1", exact=True).click()
    expect(page.locator("#diff")).to_contain_text('+      "wait": "4d"')
    page.get_by_role("link", name="version 2").click()
    expect(page.locator("#diff")).to_have_count(0)
    page.get_by_role("link", name="Delete").click()
    sure = page.get_by_role("button", name="Yes, I’m sure")
    expect(sure).to_be_visible()
    axe(page)
    assert get_definition("order-processing") is not None
    sure.click()
    expect(page.locator(".messagelist")).to_contain_text("deleted successfully")
    expect(page.get_by_role("link", name="order-processing")).to_have_count(0)
    assert get_definition("order-processing") is None


def test_the_list(console: Console) -> None:
    register(ORDER)
    page = console.open("django_workflows_definition_changelist")
    expect(page.locator("#result_list")).to_contain_text("order-processing")
    axe(page)
    assert inline(page) == []
    page.set_viewport_size(NARROW)
    assert too_wide(page) == []
