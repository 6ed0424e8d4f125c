"""Operations of one kind among many: in the timeline and among the steps of a run."""

from __future__ import annotations

import asyncio
import re

import pytest
from django.test import Client

from django_workflows import sleep, start, step, workflow
from django_workflows.models import Run
from django_workflows.testing import WorkflowTester
from tests.admin.pages import client_of, text_of, user_with
from tests.admin.panels import links, panel

pytestmark = pytest.mark.django_db


@step(name="choices.check", max_retries=0)
def check(number: int) -> int:
    if number % 10 == 7:
        raise ValueError(f"{number} is unlucky")
    return number


@workflow(name="choices.check_all")
async def check_all(count: int) -> None:
    checks = [check(number) for number in range(count)]
    await asyncio.gather(*checks, sleep("1d"), return_exceptions=True)


@pytest.fixture
def checked(workflows: WorkflowTester) -> Run:
    """Thirty steps, three of which have failed, and a timer."""
    run = start(check_all, 30)
    workflows.run_until_idle()
    return run


def statuses(html: str) -> list[str]:
    return re.findall(r'<span class="dw-status [^"]*">(.*?)</span>', html)


def test_of_many_operations_some_are_shown(admin_client: Client, checked: Run) -> None:
    html = panel(admin_client, checked, "timeline")
    found = links(html)
    assert {"All 31", "Open 1", "Failed 3", "Completed 27"} <= set(found)
    assert not any(text.startswith(("Tried again", "Cancelled")) for text in found)
    query = found["Failed 3"].partition("?")[2].partition("#")[0]
    assert query == "only=failed"
    failed = panel(admin_client, checked, "timeline", only="failed")
    assert statuses(failed) == ["failed"] * 3
    assert re.findall(r'aria-current="true">(\w+)', failed) == ["Failed"]
    waiting = panel(admin_client, checked, "timeline", only="open")
    assert statuses(waiting) == ["waiting"]
    assert len(statuses(panel(admin_client, checked, "timeline", only="x"))) == 31


def test_a_choice_begins_with_the_first_of_its_rows(
    admin_client: Client, workflows: WorkflowTester
) -> None:
    run = start(check_all, 130)
    workflows.run_until_idle()
    later = panel(admin_client, run, "timeline", row=100)
    assert "101 to 131 of 131" in text_of(later)
    url = links(later)["Failed 13"]
    assert "row=" not in url


def test_few_operations_need_no_choice(
    admin_client: Client, workflows: WorkflowTester
) -> None:
    run = start(check_all, 5)
    workflows.run_until_idle()
    assert "Completed 5" not in links(panel(admin_client, run, "timeline"))
    chosen = links(panel(admin_client, run, "timeline", only="failed"))
    assert "All 6" in chosen


def test_what_a_step_has_raised_is_seen_before_it_is_unfolded(
    admin_client: Client, checked: Run
) -> None:
    def summaries(client: Client) -> list[str]:
        html = panel(client, checked, "steps", show="failed")
        return [
            text_of(each)
            for each in re.findall(
                r"<summary>\s*<span class=.dw-steps.*?</summary>", html, re.DOTALL
            )
        ]

    texts = summaries(admin_client)
    assert len(texts) == 3
    assert texts[1].startswith("choices.check failed took ")
    assert texts[1].endswith("ValueError: 17 is unlucky")
    for text in summaries(client_of(user_with("view_run"))):
        assert text.endswith("ValueError")
