"""All pages of the console, found as a user finds them, and all that they offer."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest
from django.contrib import admin
from django.db.models import Model
from django.urls import reverse
from playwright.sync_api import Page, expect

from django_workflows import create_schedule
from django_workflows.admin.base import RecordAdmin
from django_workflows.definitions import DefinedWorkflow, StepDefinition
from django_workflows.models import Definition, Run, Schedule
from django_workflows.testing import WorkflowTester
from tests.admin.crawling import page_names
from tests.browser.admin.actions import offered, page_name, tried
from tests.browser.admin.console import WRONG, Console, act, problems
from tests.browser.admin.invitations import every_night, invite
from tests.browser.admin.orders import ship
from tests.definitions.registered import registered_for_a_while

#: Each page is looked at in all sizes and colours, which takes its time.
pytestmark = pytest.mark.timeout(600)


@pytest.fixture
def shop(runs: dict[str, Run], workflows: WorkflowTester) -> Iterator[dict[str, Run]]:
    """Runs in all states, those of a definition, and schedules; also a definition that
    is written in code."""
    with registered_for_a_while():

        class Greet(DefinedWorkflow):
            id = "greet"
            name = "Greet a customer"
            steps = [StepDefinition(id="say", action="noop")]

        runs["defined"] = invite()
        every_night()
        create_schedule("hourly", ship, args=[1, 1], interval="1h", paused=True)
        workflows.run_until_idle()
        yield runs


def pages(console: Console, first: list[str]) -> Iterator[str]:
    """Open the first pages, and one of each kind that they lead to by links and by
    forms that ask something; yield what each is called."""
    page = console.page
    known: set[str] = set()
    to_do = list(first)
    for number, url in enumerate(to_do):
        name = page_name(url)
        if not name or (name in known and number >= len(first)):
            continue
        known.add(name)
        page.goto(url)
        if page_name(page.url) != name:
            continue  # what is done without a question leads back
        yield name
        # Links in pictures have no `href` that is a text.
        to_do += page.locator("main a[href], main form[action]").evaluate_all(
            "all => all.map((e) => e.getAttribute('href') ?? e.getAttribute('action'))"
            ".map((url) => new URL(url, location.href).href.split('#')[0])"
        )


def records() -> list[type[Model]]:
    """What is written by the engine alone."""
    found = admin.site._registry.items()
    return [model for model, pages in found if isinstance(pages, RecordAdmin)]


def test_every_page_can_be_read_by_everybody_and_every_action_is_tried(
    console: Console, shop: dict[str, Run]
) -> None:
    names: list[tuple[str, list[Any]]] = [
        ("app_list", ["django_workflows"]),
        *(
            ("django_workflows_run_change", [shop[state].pk])
            for state in ("waiting", "sleeping", "blocked", "failed", "defined")
        ),
        *(
            ("django_workflows_schedule_change", [schedule.pk])
            for schedule in Schedule.objects.all()
        ),
        # No link leads there: a run's own page tells what people did to it.
        *(
            (f"django_workflows_{model._meta.model_name}_history", [row.pk])
            for model in records()
            for row in model._default_manager.all()[:1]
        ),
    ]
    first = [console.url + reverse(f"admin:{name}", args=args) for name, args in names]
    start = reverse("admin:django_workflows_run_start")
    first.append(f"{console.url}{start}?workflow=shop.fulfil")
    seen, offers, wrong = set(), set(), {}
    for name in pages(console, first):
        seen.add(name)
        offers |= offered(console.page)
        if found := problems(console.page):
            wrong[console.page.url] = found
    assert wrong == {}
    assert offers == tried()
    reached = seen | {action.partition(":")[0] for action in offers}
    forbidden = {
        f"{model._meta.model_name}_{page}"
        for model in records()
        for page in ("add", "delete")
    }
    assert reached == {"dashboard", *page_names()} - forbidden


def steering(page: Page) -> None:
    page.locator("#action-toggle").check()
    act(page, "Cancel selected runs")
    expect(page.get_by_label("Reason")).to_be_visible()


def starting(page: Page) -> None:
    page.get_by_label("Amount").fill("many")
    page.get_by_text("Options").click()
    page.get_by_label("Attributes").fill("{")
    page.get_by_role("button", name="Start").click()
    expect(page.locator(WRONG)).to_have_count(3)


def executing(page: Page) -> None:
    page.get_by_role("textbox", name="Input").fill("{")
    page.get_by_role("button", name="Start").click()
    expect(page.locator(WRONG)).to_have_count(1)


def sending(page: Page) -> None:
    page.get_by_label("Limit").fill("much")
    page.get_by_role("button", name="Send this payload").click()
    expect(page.locator(WRONG)).to_have_count(1)


def scheduling(page: Page) -> None:
    page.get_by_label("Cron").fill("at noon")
    page.get_by_label("Interval").fill("long")
    page.get_by_role("button", name="Preview the next times").click()
    expect(page.locator(".errorlist").first).to_be_visible()
    expect(page.locator("#times .dw-problem")).to_be_visible()


def making_up(page: Page) -> None:
    page.get_by_label("From:").fill("2031-03-01T00:00:00")
    page.get_by_role("button", name="Show the times").click()
    expect(page.locator(".errorlist")).to_be_visible()


def defining(page: Page) -> None:
    page.get_by_label("Definition, in JSON").fill("{}")
    page.get_by_role("button", name="Save").click()
    expect(page.get_by_role("alert")).to_be_visible()


def unscheduling(page: Page) -> None:
    page.locator("#action-toggle").check()
    act(page, "delete_selected")
    expect(page.get_by_role("button", name="Yes, I’m sure")).to_be_visible()


def test_what_is_asked_and_refused_can_be_read_by_everybody(
    console: Console, shop: dict[str, Run]
) -> None:
    hook = shop["waiting"].hooks.get()
    schedule = Schedule.objects.latest("pk")
    definition = Definition.objects.get()
    its_id = f"?id={definition.definition_id}"
    visits: list[tuple[Callable[[Page], None], str, list[Any], str]] = [
        (steering, "run_changelist", [], ""),
        (starting, "run_start", [], "?workflow=shop.fulfil"),
        (executing, "definition_start", [], its_id),
        (sending, "hook_change", [hook.pk], ""),
        (scheduling, "schedule_add", [], ""),
        (making_up, "schedule_backfill", [schedule.pk], ""),
        (unscheduling, "schedule_changelist", [], ""),
        (defining, "definition_change", [definition.pk], ""),
    ]
    wrong = {}
    for visit, name, args, query in visits:
        page = console.open(f"django_workflows_{name}", *args, query=query)
        visit(page)
        if found := problems(page):
            wrong[name] = found
    assert wrong == {}
