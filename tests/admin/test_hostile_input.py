"""What people send to the console who mean it no good, or who mistype."""

from __future__ import annotations

import json
from typing import Any
from urllib.parse import quote, urlencode

import pytest
from django.contrib.admin.utils import quote as quoted
from django.test import Client
from django.urls import reverse

from django_workflows import create_schedule, start, workflow
from django_workflows.models import Definition, Run, Schedule
from django_workflows.testing import WorkflowTester
from tests.admin.browsing import what_a_browser_sends
from tests.admin.pages import client_of, run_url, text_of, user_with
from tests.admin.panels import shop

pytestmark = pytest.mark.django_db


def _page(model: str, page: str = "changelist", *args: Any) -> str:
    return reverse(f"admin:django_workflows_{model}_{page}", args=args)


_refused: set[str] = set()


def _key(account: str) -> str:
    if account in _refused:
        raise ValueError(f"nothing for {account}")
    return account


@workflow(name="hostile.picky", concurrency_key=_key, max_concurrency=1)
async def picky(account: str) -> None:
    """Does not take every account."""


@workflow(name="hostile.pickier", concurrency_key=_key, max_concurrency=1)
async def pickier(account: str) -> None:
    """Neither does this."""


@pytest.mark.parametrize(
    ("model", "lookup"),
    [
        ("hook", "token__startswith"),
        ("hook", "run__seed__startswith"),
        ("run", "seed__startswith"),
        ("run", "blocked_reason__contains"),
        ("run", "hook__token__startswith"),
        ("event", "payload__contains"),
        ("event", "detail__contains"),
        ("schedule", "sealed_input__contains"),
        ("schedule", "last_error__contains"),
        ("definition", "content__contains"),
        ("worker", "host__startswith"),
    ],
)
def test_no_field_is_looked_up_by_the_address(
    admin_client: Client, model: str, lookup: str
) -> None:
    """Else a token could be guessed letter by letter, by what the list shows."""
    answer: Any = admin_client.get(_page(model), {lookup: "a"})
    assert answer.status_code == 400 or answer["Location"].endswith("?e=1")


@pytest.mark.parametrize(
    ("model", "name"),
    [
        ("hook", "kind"),
        ("run", "blocked"),
        ("run", "status"),
        ("worker", "state"),
    ],
)
def test_a_choice_that_no_filter_offers_is_refused(
    admin_client: Client, model: str, name: str
) -> None:
    """Else the list would show all rows, as if they were those."""
    answer: Any = admin_client.get(_page(model), {name: "odd"})
    assert answer["Location"].endswith("?e=1")


@pytest.mark.parametrize("key", ["\0", "a\0b", "\n", "a\nb", "x" * 5000, "9" * 5000])
@pytest.mark.parametrize(
    "model", ["run", "hook", "event", "worker", "schedule", "definition"]
)
def test_odd_keys_are_keys_of_nothing(
    admin_client: Client, model: str, key: str
) -> None:
    for page in ("change", "history"):
        url = _page(model, page, "odd").replace("odd", quote(quoted(key)))
        answer: Any = admin_client.get(url)
        assert answer.status_code in (302, 404)


@pytest.mark.parametrize("sees", [False, True])
def test_arguments_are_in_no_message_of_a_refusal(
    workflows: WorkflowTester, sees: bool
) -> None:
    """What the project's code raises while something starts may repeat them."""
    schedule = create_schedule("odd", picky, args=["DE-secret"], interval="1d")
    seen = ["view_payload"] if sees else []
    client = client_of(user_with("change_schedule", "start_run", *seen))
    _refused.add("DE-secret")
    try:
        url = _page("schedule", "trigger", schedule.pk)
        html = client.post(url, follow=True).content.decode()
        assert ("for DE-secret" in html) is sees
        assert ("ValueError: you may not see" in html) is not sees
        url = _page("schedule", "change", schedule.pk)
        sent = what_a_browser_sends(client.get(url).content.decode())
        html = client.post(url, {**sent, "workflow": pickier.name}).content.decode()
        assert ("for DE-secret" in html) is sees
    finally:
        _refused.clear()
    assert not Run.objects.exists()


def test_very_many_attributes_are_refused(admin_client: Client) -> None:
    """No database takes conditions without end."""
    many = urlencode([(f"attributes.a{number}", "1") for number in range(900)])
    answer: Any = admin_client.get(f"{_page('run')}?{many}")
    assert answer["Location"].endswith("?e=1")


@pytest.mark.parametrize("text", ["\ud800", {"\ud800": 1}])
def test_a_definition_that_could_not_be_read_again_is_refused(
    admin_client: Client, text: Any
) -> None:
    """Stored, it would break the page of every other definition."""
    step = {"id": "one", "action": "noop", "params": {"said": text}}
    definition = {"id": "odd", "name": "Odd", "steps": [step]}
    sent = {"text": json.dumps(definition), "based_on": "0"}
    answer: Any = admin_client.post(_page("definition", "add"), sent)
    said = text_of(answer.content.decode())
    assert r"'\ud800' has half of a surrogate pair" in said
    assert not Definition.objects.exists()


def test_null_characters_are_no_part_of_reasons_and_notes(
    admin_client: Client, workflows: WorkflowTester
) -> None:
    run = start(shop)
    answer: Any = admin_client.post(
        run_url(run, "cancel"), {"post": "yes", "reason": "too\0 late"}, follow=True
    )
    assert "too late" in text_of(answer.content.decode())
    schedule = create_schedule("nightly", shop, interval="1d")
    url = _page("schedule", "pause", schedule.pk)
    admin_client.post(url, {"note": "over\0 Easter"})
    assert Schedule.objects.get().note == "over Easter"
    for page in ("code", "start"):
        url = _page("definition", page)
        assert admin_client.get(url, {"id": "a\0b"}).status_code == 404


def test_the_way_back_of_a_hook_may_be_odd(admin_client: Client) -> None:
    url = _page("hook", "resume", "gone")
    answer: Any = admin_client.post(f"{url}?{urlencode({'run': '//e.org' + chr(10)})}")
    assert answer.status_code == 302
    assert answer["Location"].startswith(_page("run"))
