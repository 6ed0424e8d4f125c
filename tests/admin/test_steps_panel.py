"""The steps in the page of a run."""

from __future__ import annotations

import re

import pytest
from django.test import Client, override_settings

from django_workflows import start, step, workflow
from django_workflows.models import Run
from django_workflows.store.timeline import timeline
from django_workflows.testing import WorkflowTester
from tests.admin.pages import client_of, queries_of, run_url, text_of, user_with
from tests.admin.panels import doubling, links, panel, part

pytestmark = pytest.mark.django_db


def details(html: str) -> dict[str, str]:
    """What is said of each step, by its name: the HTML of its details."""
    found = re.split(r'<li id="step-(?=step_)', html)[1:]
    return {text_of("<" + each).split()[0]: each for each in found}


def test_a_step_tells_all_about_its_attempts(
    admin_client: Client, shopping: Run
) -> None:
    html = details(panel(admin_client, shopping, "steps"))["panels.flaky"]
    text = text_of(html)
    assert "completed 3 attempts, took 15 s, queue default" in text
    assert '{"account": "ada", "password": "sesame"}' in text
    assert "paid by ada" in text
    assert len(re.findall(r"Attempt \d", text)) == 3
    assert text.count("ConnectionError : no answer for ada") == 2
    assert text.count("failed, tried again") == 2
    assert "next one not before 2" in text
    assert html.count("<summary>Traceback</summary>") == 2
    assert "raise ConnectionError(f" in text
    assert re.search("worker wrkr_", text)


def test_what_is_named_secret_is_hidden(admin_client: Client, shopping: Run) -> None:
    with override_settings(WORKFLOWS={"REDACT": ["password"]}):
        html = panel(admin_client, shopping, "steps")
    assert "sesame" not in html
    assert "[redacted]" in html
    assert "sesame" in panel(admin_client, shopping, "steps")


def test_who_may_not_see_payloads_sees_none(shopping: Run) -> None:
    client = client_of(user_with("view_run"))
    html = panel(client, shopping, "steps")
    text = text_of(html)
    assert "You may not see payloads." in text
    assert "ValueError" in text
    assert "3 attempts, took 15 s" in text
    for secret in ("ada", "sesame", "no credit", "Traceback", "panels.py"):
        assert secret not in html


def test_steps_are_chosen_by_how_they_stand(
    admin_client: Client, shopping: Run
) -> None:
    html = panel(admin_client, shopping, "steps")
    choices = links(html)
    assert "All 4 Failed 1 Tried again 2 Completed 3" in text_of(html)
    assert "Cancelled 0" not in choices
    failed = panel(admin_client, shopping, "steps", show="failed")
    assert list(details(failed)) == ["panels.refused"]
    again = panel(admin_client, shopping, "steps", show="retried")
    assert list(details(again)) == ["panels.flaky", "panels.refused"]
    nonsense = panel(admin_client, shopping, "steps", show="nonsense")
    assert list(details(nonsense)) == list(details(html))


def test_a_step_that_is_named_is_unfolded_wherever_it_is(
    admin_client: Client, workflows: WorkflowTester
) -> None:
    run = start(doubling, 60)
    workflows.run_until_idle()
    html = panel(admin_client, run, "steps")
    assert len(re.findall(r'<li id="step-', html)) == 25
    assert "1 to 25 of 60" in text_of(html)
    last = run.steps.order_by("id").values_list("pk", flat=True)
    shown = set(re.findall(r'<li id="step-(\w+)"', html))
    named = next(pk for pk in last if pk not in shown)
    html = panel(admin_client, run, "steps", step=named)
    assert re.findall(r'<details id="step-details-(\w+)" open>', html) == [named]
    beside = panel(admin_client, run, "steps", steps="25")
    assert "26 to 50 of 60" in text_of(beside)
    assert "1 to 25 of 60" in text_of(panel(admin_client, run, "steps", steps="60"))


def test_going_on_leaves_the_step_that_was_named(
    admin_client: Client, workflows: WorkflowTester
) -> None:
    run = start(doubling, 60)
    workflows.run_until_idle()
    first = timeline(run)[0].id
    url = links(panel(admin_client, run, "steps", step=first))["Next"]
    html = part(admin_client.get(url.partition("#")[0]).content.decode(), "steps")
    assert " open>" not in html


def test_many_steps_take_as_many_queries_as_few(
    admin_client: Client, workflows: WorkflowTester
) -> None:
    few, many = start(doubling, 2), start(doubling, 60)
    workflows.run_until_idle()
    assert queries_of(admin_client, run_url(few)) == queries_of(
        admin_client, run_url(many)
    )


def test_what_is_too_long_is_on_the_pages_of_its_events(
    admin_client: Client, workflows: WorkflowTester
) -> None:
    @step
    def echo(text: str) -> str:
        return text

    @workflow
    async def shouting() -> int:
        return len(await echo("loud " * 10_000))

    run = start(shouting)
    workflows.run_until_idle()
    html = panel(admin_client, run, "steps")
    assert "too long to be shown here" in html
    assert len(html) < 10_000
    url = links(html)["its events"].partition("#")[0]
    events = part(admin_client.get(url).content.decode(), "events")
    assert events.count("Too long to be shown here") == 2
    page = links(events)["3"]
    assert "loud loud" in admin_client.get(page).content.decode()


def test_a_run_without_steps_has_no_such_panel(
    admin_client: Client, workflows: WorkflowTester
) -> None:
    @workflow
    async def idle() -> None:
        """It returns."""

    run = start(idle)
    workflows.run_until_idle()
    assert panel(admin_client, run, "steps") == ""
