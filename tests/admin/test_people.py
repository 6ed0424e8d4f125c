"""Who did what to a run, told from two logs as one."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from django.contrib.admin.models import LogEntry
from django.utils import translation

from django_workflows import sleep, start, workflow
from django_workflows.admin.addresses import run_url
from django_workflows.admin.run_page.people import Deed, told_as_one
from django_workflows.testing import WorkflowTester
from tests.admin.pages import client_of, read, user_with

NOW = datetime(2026, 1, 1, tzinfo=UTC)


def deed(seconds: float, done: str, more: str = "", who: str = "") -> Deed:
    return Deed(NOW + timedelta(seconds=seconds), done, more, who)


def told(noted: list[Deed], logged: list[Deed]) -> list[tuple[str, str, str]]:
    return [(each.done, each.more, each.who) for each in told_as_one(noted, logged)]


def test_what_both_logs_say_is_told_once_with_the_name() -> None:
    noted = [deed(0.2, "Paused", who="anna")]
    assert told(noted, [deed(0, "Paused")]) == [("Paused", "", "anna")]


def test_of_several_the_nearest_is_the_same_whatever_the_clocks_say() -> None:
    logged = [deed(0, "Woken"), deed(100, "Woken"), deed(200, "Woken")]
    for difference in (-3, 0, 3):
        noted = [deed(100 + difference, "Woken", who="anna")]
        assert told(noted, logged) == [
            ("Woken", "", ""),
            ("Woken", "", "anna"),
            ("Woken", "", ""),
        ]


def test_another_reason_is_another_deed() -> None:
    noted = [deed(1, "Cancelled", "late", "anna")]
    assert told(noted, [deed(0, "Cancelled", "fraud")]) == [
        ("Cancelled", "late", "anna"),
        ("Cancelled", "fraud", ""),
    ]


def test_what_one_log_alone_says_is_told_too() -> None:
    noted, logged = [deed(1, "Started", who="anna")], [deed(2, "Woken")]
    assert told(noted, logged) == [("Woken", "", ""), ("Started", "", "anna")]
    assert told([], []) == []


@workflow
async def napping() -> None:
    await sleep("1d")


@pytest.mark.django_db
def test_people_of_several_languages_read_the_same(workflows: WorkflowTester) -> None:
    run = start(napping)
    workflows.run_until_idle()
    client = client_of(user_with("view_run", "cancel_run", name="jörg"))
    with translation.override("de"):
        client.post(run_url(run, "cancel"), {"post": "yes", "reason": "zu spät"})
        workflows.run_until_idle()
    assert LogEntry.objects.get().change_message == "Cancelled: zu spät"
    assert "Cancelled by jörg: zu spät" in read(client, run_url(run))


@pytest.mark.django_db
def test_those_who_are_told_by_nobody_have_no_panel(workflows: WorkflowTester) -> None:
    run = start(napping)
    workflows.advance("2d")
    assert "Who did what" not in read(client_of(user_with("view_run")), run_url(run))
