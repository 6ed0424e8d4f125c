"""What is in the HTML of the console, and for whom."""

from __future__ import annotations

from itertools import count
from typing import Any

import pytest
from django.contrib.auth.models import Permission, User
from django.test import Client

from django_workflows.admin.addresses import run_url
from django_workflows.models import Run
from django_workflows.testing import WorkflowTester
from tests.admin.crawling import crawl
from tests.admin.pages import client_of
from tests.security.markers import Spy
from tests.security.passing import PAYLOADS, TOKENS, pass_everything
from tests.security.test_redaction import PLACES, run_with_passwords

pytestmark = pytest.mark.django_db


def somebody(*, sees_payloads: bool) -> Client:
    """The browser of a user who may do everything, but perhaps see no payloads."""
    user = User.objects.create_user(f"payloads {sees_payloads}", is_staff=True)
    everything = Permission.objects.filter(content_type__app_label="django_workflows")
    hidden = [] if sees_payloads else ["view_payload"]
    user.user_permissions.set(everything.exclude(codename__in=hidden))
    return client_of(user)


def found_by(client: Client) -> dict[str, set[str]]:
    """The marked values in the pages of the console, by their addresses."""
    found = {}
    for url, html in crawl(client):
        spy = Spy(*PAYLOADS, *TOKENS)
        if spy.look_at(html):
            found[url] = spy.found
    return found


def test_payloads_are_in_no_page_for_those_who_may_not_see_them(
    workflows: WorkflowTester,
) -> None:
    """Neither are the tokens of hooks, with which anybody can send to a run."""
    stranger = somebody(sees_payloads=False)
    looks = count(1)

    def look() -> None:
        if next(looks) == 3:  # hooks are open, steps run and wait to be tried again
            assert found_by(stranger) == {}

    pass_everything(workflows, look)
    assert found_by(stranger) == {}
    # There is something to be hidden.
    reader, spy = somebody(sees_payloads=True), Spy(*PAYLOADS)
    for run in Run.objects.all():
        spy.look_at(reader.get(run_url(run)).content)
    assert {"run_input", "run_option", "run_output", "run_error"} <= spy.found


def test_what_is_redacted_is_in_no_page(
    workflows: WorkflowTester, settings: Any
) -> None:
    """Whatever its reader may see."""
    run_with_passwords(workflows)
    reader = somebody(sees_payloads=True)

    def found() -> set[str]:
        spy = Spy(*PLACES)
        for _url, html in crawl(reader):
            spy.look_at(html)
        return spy.found

    assert {"argument", "nested_argument", "attribute", "output"} <= found()
    settings.WORKFLOWS = {"REDACT": ["password"]}
    assert found() == set()
