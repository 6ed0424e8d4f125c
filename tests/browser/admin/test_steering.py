"""People steer runs: one on its page, and many in the list."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from decimal import Decimal

import pytest
from playwright.sync_api import Page, expect

from django_workflows.admin.permissions import VERBS
from django_workflows.admin.steering import EFFECTS, possible
from django_workflows.models import Run
from django_workflows.store.people.steering import WITH_REASON
from django_workflows.store.people.words import DONE, FORK_OF, REPLAY_OF
from django_workflows.testing import WorkflowTester
from tests.admin.pages import user_with
from tests.browser.admin.console import Console, act, axe
from tests.browser.admin.orders import fulfil, print_label, ship

REASON = "the customer called"


def sleeping(workflows: WorkflowTester) -> Run:
    run: Run = fulfil.start(10248, Decimal("99.90"))
    workflows.run_until_idle()
    workflows.advance("5s")
    return run


def paused(workflows: WorkflowTester) -> Run:
    run = sleeping(workflows)
    run.pause()
    workflows.run_until_idle()
    return run


def completed(workflows: WorkflowTester) -> Run:
    run = sleeping(workflows)
    workflows.advance("4d")
    return run


def failed(workflows: WorkflowTester) -> Run:
    """What it failed for is mended by now."""
    run: Run = ship.start(10248, 10)
    workflows.run_until_idle()
    workflows.mock_step(print_label, return_value="label")
    return run


@dataclass(frozen=True)
class Deed:
    """What is done to a run: how it stands before and after, and what is said then."""

    before: Callable[[WorkflowTester], Run]
    after: str
    told: str


DEEDS = {
    "cancel": Deed(sleeping, "cancelled", "The run has been asked to stop."),
    "terminate": Deed(sleeping, "terminated", "The run has been terminated."),
    "pause": Deed(sleeping, "paused", "The run has been asked to pause."),
    "resume": Deed(paused, "running", "The run has been resumed."),
    "retry": Deed(failed, "completed", "The run goes on."),
    "wake": Deed(sleeping, "completed", "The run has been woken."),
    "replay": Deed(completed, "completed", "This is the new run, with the same input."),
    "fork": Deed(completed, "completed", "This is the new run, with the same history."),
}
#: They start a run, which tells that, and leave this one as it is.
AGAIN = {"replay": REPLAY_OF, "fork": FORK_OF}


def confirm(page: Page, workflows: WorkflowTester, run: Run, verb: str) -> None:
    """Read what will happen, which has not happened yet, and give the reason."""
    expect(page.locator("#content")).to_contain_text(str(EFFECTS[verb]))
    axe(page)
    events = run.events.count()
    workflows.run_until_idle()
    assert run.events.count() == events
    if verb in WITH_REASON:
        page.get_by_label("Reason").fill(REASON)


def expect_it_is_told_who_did_it(page: Page, verb: str) -> None:
    by_her = page.locator("#people tr", has_text="ada").first
    expect(by_her).to_contain_text(str({**DONE, **AGAIN}[verb]))
    if verb in WITH_REASON:
        expect(by_her).to_contain_text(REASON)


@pytest.mark.parametrize(
    "verb",
    [pytest.param(verb, marks=pytest.mark.does(f"run_{verb}")) for verb in DEEDS],
)
def test_a_run_is_steered_on_its_page(
    console: Console, workflows: WorkflowTester, verb: str
) -> None:
    deed = DEEDS[verb]
    run = deed.before(workflows)
    page = console.open_run(run)
    summary = page.locator("#summary")
    button = summary.get_by_role("button", name=verb.capitalize(), exact=True)
    button.click()
    confirm(page, workflows, run, verb)
    if verb == "fork":
        steps = page.get_by_label("From the step")
        last = steps.get_by_role("option", name="shop.tell").get_attribute("value")
        steps.select_option(last)
    page.get_by_role("button", name=f"{verb.capitalize()} this run").click()
    expect(page.locator(".messagelist .success")).to_have_text(deed.told)
    axe(page)

    workflows.run_until_idle()
    run.refresh_from_db()
    assert run.status == deed.after
    if verb in AGAIN:
        new = Run.objects.get(pk=page.url.split("/")[-3])
        assert new.status == {"replay": "running", "fork": "completed"}[verb]
        expect(page.locator("#family")).to_contain_text(run.pk)
        expect(page.locator("#people tr", has_text="ada")).to_contain_text(run.pk)
        expect_it_is_told_who_did_it(page, verb)
        console.open_run(run)
    else:
        console.open_run(run)
        expect_it_is_told_who_did_it(page, verb)
    # It is not possible a second time, but where a new run was made.
    expect(button).to_have_count(1 if verb in AGAIN else 0)


@pytest.mark.parametrize(
    "verb",
    [
        pytest.param(verb, marks=pytest.mark.does(f"run_changelist:{verb}_selected"))
        for verb in VERBS
    ],
)
def test_runs_are_steered_in_the_list(
    console: Console, workflows: WorkflowTester, verb: str
) -> None:
    deed = DEEDS[verb]
    run = deed.before(workflows)
    over = ship.start(10249, 1)
    over.terminate()
    label = f"{verb.capitalize()} selected runs"
    page = console.open("django_workflows_run_changelist")
    for each in (run, over):
        page.locator(f"input[value='{each.pk}']").check()
    act(page, label)
    for each in (run, over):
        expect(page.get_by_role("link", name=str(each))).to_be_visible()
    confirm(page, workflows, run, verb)
    page.get_by_role("button", name=label).click()
    done = page.locator(".messagelist .success", has_text=run.pk)
    expect(done).to_have_count(1)
    if verb != "replay":
        expect(page.locator(".messagelist .error")).to_contain_text(over.pk)
    axe(page)

    workflows.run_until_idle()
    run.refresh_from_db()
    assert run.status == deed.after
    done.get_by_role("link").last.click()  # a replay names the new run behind the old
    expect_it_is_told_who_did_it(page, verb)


def test_only_what_is_permitted_is_offered(
    console: Console, workflows: WorkflowTester
) -> None:
    run = sleeping(workflows)
    run.refresh_from_db()
    others = {*VERBS} - {"cancel"}
    for name, allowed in (("bob", {"cancel"}), ("cleo", others)):
        verbs = [verb for verb in VERBS if verb in allowed]
        codenames = [f"{verb}_run" for verb in verbs]
        console.log_in(user_with("view_run", *codenames, name=name))
        page = console.open("django_workflows_run_changelist")
        labels = [f"{verb.capitalize()} selected runs" for verb in verbs]
        expect(
            page.get_by_label("Action:").locator("option:not([value=''])")
        ).to_have_text(labels)
        buttons = {verb.capitalize() for verb in possible(run) if verb in allowed}
        if "replay" in allowed:
            buttons.add("Fork")
        page.get_by_role("link", name=str(run)).click()
        offered = page.locator("#summary").get_by_role("button")
        expect(offered).to_have_count(len(buttons))
        assert {*offered.all_inner_texts()} == buttons
