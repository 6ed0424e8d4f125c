"""Starting workflows from the console."""

from __future__ import annotations

from datetime import UTC, date, datetime
from decimal import Decimal
from enum import Enum
from typing import Any
from urllib.parse import urlencode

import pydantic
import pytest
from django.contrib.admin.models import LogEntry
from django.contrib.auth.models import User
from django.test import Client
from django.urls import reverse
from django.utils.html import escape
from pytest_django import DjangoAssertNumQueries

from django_workflows import start, workflow
from django_workflows.core.serialization import dumps
from django_workflows.models import Event, Run
from django_workflows.testing import WorkflowTester
from tests.admin.browsing import what_a_browser_sends
from tests.admin.pages import client_of, read, run_url, user_with


class Size(Enum):
    SMALL = "s"
    LARGE = "l"


class Item(pydantic.BaseModel):
    name: str
    price: Decimal
    count: int = 1


@workflow(name="admin.order", queue="shop")
async def order(
    number: int,
    items: list[Item],
    size: Size = Size.SMALL,
    due: date | None = None,
    at: datetime | None = None,
    note: str = "thanks",
    is_gift: bool = False,
    password: str = "",
) -> dict[str, Any]:
    """Sends somebody what they have ordered.

    And an invoice.
    """
    return {"number": number, "items": items, "size": size, "is_gift": is_gift}


@workflow(name="admin.odd")
async def odd(
    first: int,
    second: Any = (1, 2),
    /,
    third: str = "c",
    *others: int,
    option_key: str = "",
    **more: Decimal,
) -> list[Any]:
    return [first, second, third, list(others), option_key, more]


@workflow(name="admin.anything")
async def anything(value: Any = None, /) -> None:
    """Takes what there is."""


@workflow(name="admin.versions", version="1")
async def first_version(old: int) -> None:
    """The first."""


@workflow(name="admin.versions", version="2")
async def second_version(new: int) -> None:
    """The second."""


ORDER = {"number": "42", "items": '[{"name": "pen", "price": "1.20"}]', "size": "l"}


def url(**query: str) -> str:
    page = reverse("admin:django_workflows_run_start")
    return f"{page}?{urlencode(query)}" if query else page


def begin(client: Client, data: dict[str, Any], **query: str) -> Run:
    """Send the form; returns the run that was started."""
    known = set(Run.objects.values_list("pk", flat=True))
    answer = client.post(url(**query), data)
    if answer.status_code != 302:
        raise AssertionError(answer.context["form"].input.errors)
    run = Run.objects.exclude(pk__in=known).get()
    assert answer["Location"] == run_url(run)
    return run


def refused(client: Client, data: dict[str, Any], **query: str) -> str:
    """Send the form, which starts nothing; returns the page."""
    count = Run.objects.count()
    answer = client.post(url(**query), data)
    assert answer.status_code == 200
    assert Run.objects.count() == count
    return answer.content.decode()


# -- choosing -------------------------------------------------------------------------


def test_one_chooses_a_workflow(admin_client: Client) -> None:
    page = admin_client.get(url()).content.decode()
    assert f'<a href="{escape(url(workflow="admin.order"))}">admin.order</a>' in page
    assert "Sends somebody what they have ordered." in page
    assert "And an invoice." not in page


def test_internal_workflows_are_not_offered(admin_client: Client) -> None:
    name = "django_workflows.definition"
    assert name not in admin_client.get(url()).content.decode()
    answer = admin_client.get(url(workflow=name), follow=True)
    assert "Definitions are started from their own pages." in answer.content.decode()


@pytest.mark.parametrize(
    ("query", "said"),
    [
        ({"workflow": "no.such"}, "knows no workflow named no.such"),
        ({"workflow": "admin.versions", "version": "7"}, "knows no version 7"),
        ({"again": "wrun_none"}, "no workflow run"),
        ({"again": "\0"}, "no workflow run"),
    ],
)
def test_what_is_not_there_cannot_be_started(
    admin_client: Client, query: dict[str, str], said: str
) -> None:
    answer = admin_client.get(url(**query), follow=True)
    assert answer.redirect_chain == [(url(), 302)]
    assert said in answer.content.decode()


def test_the_list_of_runs_and_the_page_of_a_run_lead_there(
    admin_client: Client,
) -> None:
    run = start(anything)
    runs = reverse("admin:django_workflows_run_changelist")
    assert f'<a href="{url()}"' in admin_client.get(runs).text
    assert f'href="{url(again=run.pk)}"' in admin_client.get(run_url(run)).text


# -- the form -------------------------------------------------------------------------


def test_the_form_has_a_field_for_each_parameter(admin_client: Client) -> None:
    answer = admin_client.get(url(workflow="admin.order"))
    page = answer.content.decode()
    sent = what_a_browser_sends(page)
    assert "And an invoice." in page
    assert {name: sent[name] for name in ("number", "items", "size", "note")} == {
        "number": [""],
        "items": [""],
        "size": ["s"],
        "note": ["thanks"],
    }
    assert {"due", "at_0", "at_1", "password", "option_key"} <= sent.keys()
    assert 'name="is_gift"' in page
    form = answer.context["form"].input
    assert [name for name, field in form.fields.items() if field.required] == [
        "number",
        "items",
    ]


def test_a_run_is_started(admin_client: Client, workflows: WorkflowTester) -> None:
    run = begin(admin_client, {**ORDER, "due": "2026-12-24"}, workflow="admin.order")
    assert run.args == ()
    assert run.kwargs == {
        "number": 42,
        "items": [Item(name="pen", price=Decimal("1.20"))],
        "size": Size.LARGE,
        "due": date(2026, 12, 24),
    }
    assert (run.workflow, run.queue, run.key) == ("admin.order", "shop", None)
    workflows.run_until_idle()
    assert run.result()["number"] == 42


def test_an_untouched_form_leaves_the_defaults_to_the_workflow(
    admin_client: Client, workflows: WorkflowTester
) -> None:
    page = admin_client.get(url(workflow="admin.odd")).content.decode()
    run = begin(
        admin_client, {**what_a_browser_sends(page), "first": "1"}, workflow="admin.odd"
    )
    workflows.run_until_idle()
    assert run.result() == [1, (1, 2), "c", [], "", {}]


def test_parameters_of_every_kind_can_be_given(
    admin_client: Client, workflows: WorkflowTester
) -> None:
    data = {
        "first": "1",
        "second": "[1, 2]",
        "third": "c",
        "others": "[4, 5]",
        "option_key": "mine",
        "option__key": "the run's",
        "more": '{"price": "1.50"}',
    }
    run = begin(admin_client, data, workflow="admin.odd")
    assert run.key == "the run's"
    workflows.run_until_idle()
    assert run.result() == [
        1,
        (1, 2),  # the default, as it was in the form
        "c",
        [4, 5],
        "mine",
        {"price": Decimal("1.50")},
    ]


def test_it_is_noted_who_has_started_a_run(
    admin_client: Client, admin_user: User
) -> None:
    run = begin(admin_client, ORDER, workflow="admin.order")
    entry = LogEntry.objects.get()
    assert (entry.object_id, entry.user) == (run.pk, admin_user)
    assert entry.get_change_message() == "Started"


def test_options(admin_client: Client, workflows: WorkflowTester) -> None:
    options = {
        "option_key": "order-42",
        "option_queue": "eu",
        "option_priority": "-3",
        "option_delay": "1h30m",
        "option_timeout": "2d",
        "option_attributes": '{"customer": 7}',
    }
    run = begin(admin_client, {**ORDER, **options}, workflow="admin.order")
    run = Run.objects.get(pk=run.pk)
    assert (run.key, run.queue, run.priority) == ("order-42", "eu", -3)
    assert run.attributes == {"customer": 7}
    assert run.wake_at is not None
    assert run.deadline_at is not None
    assert (run.wake_at - run.created_at).total_seconds() == 90 * 60
    assert (run.deadline_at - run.wake_at).days == 2


@pytest.mark.parametrize("typed", ["2030-12-31 18:00", "2030-12-31T19:00+01:00"])
def test_a_run_can_begin_at_a_point_in_time(admin_client: Client, typed: str) -> None:
    run = begin(admin_client, {**ORDER, "option_delay": typed}, workflow="admin.order")
    assert Run.objects.get(pk=run.pk).wake_at == datetime(2030, 12, 31, 18, tzinfo=UTC)


WRONG = {
    "number": "many",
    "items": '[{"name": "pen", "price": "cheap"}]',
    "size": "l",
    "due": "31.31.2026",
    "at_0": "tomorrow",
    "at_1": "noon",
    "note": " what I wrote\r\non two lines ",
    "is_gift": "on",
    "option_key": "k",
    "option_queue": "\0",
    "option_priority": str(2**31),
    "option_delay": "a while",
    "option_timeout": "-1",
    "option_attributes": "[1]",
}


def test_errors_stand_at_their_fields_and_nothing_entered_is_lost(
    admin_client: Client,
) -> None:
    answer = admin_client.post(url(workflow="admin.order"), WRONG)
    assert answer.status_code == 200
    assert not Run.objects.exists()
    form = answer.context["form"]
    assert form.input.errors.keys() == {"number", "items", "due", "at"}
    assert "0.price: Input should be a valid decimal" in form.input.errors["items"][0]
    assert form.options.errors.keys() == {
        "queue",
        "priority",
        "delay",
        "timeout",
        "attributes",
    }
    sent = what_a_browser_sends(answer.content.decode())
    del WRONG["option_queue"], sent["option_queue"]  # no HTML can have it
    for name, typed in WRONG.items():
        assert sent[name] == [typed]


def test_what_is_missing_is_said(admin_client: Client) -> None:
    answer = admin_client.post(url(workflow="admin.order"), {"note": "x"})
    assert answer.context["form"].input.errors == {
        "number": ["This field is required."],
        "items": ["This field is required."],
    }
    assert not Run.objects.exists()


def test_an_input_too_large_is_refused(admin_client: Client, settings: Any) -> None:
    settings.WORKFLOWS = {"MAX_PAYLOAD_BYTES": 1000}
    page = refused(admin_client, {**ORDER, "note": "x" * 1001}, workflow="admin.order")
    assert "is 1,000; store it elsewhere" in page
    assert "x" * 1001 in page


# -- keys -----------------------------------------------------------------------------


def test_a_key_that_another_run_has_starts_nothing_and_links_to_that_run(
    admin_client: Client,
) -> None:
    held = begin(admin_client, {**ORDER, "option_key": "k"}, workflow="admin.order")
    page = refused(admin_client, {**ORDER, "option_key": "k"}, workflow="admin.order")
    assert f'<a href="{run_url(held)}">run {held.pk}</a> has this key' in page
    assert what_a_browser_sends(page)["items"] == [ORDER["items"]]
    assert LogEntry.objects.count() == 1


def test_a_key_can_be_taken_from_a_run_that_has_ended(
    admin_client: Client, workflows: WorkflowTester
) -> None:
    again = {**ORDER, "option_key": "k", "option_on_conflict": "restart_closed"}
    held = begin(admin_client, again, workflow="admin.order")
    page = refused(admin_client, again, workflow="admin.order")
    assert held.pk in page
    workflows.run_until_idle()
    assert begin(admin_client, again, workflow="admin.order").key == "k"


def test_a_run_that_has_the_key_can_be_terminated(admin_client: Client) -> None:
    again = {**ORDER, "option_key": "k", "option_on_conflict": "terminate_existing"}
    held = begin(admin_client, again, workflow="admin.order")
    begin(admin_client, again, workflow="admin.order")
    held.refresh_from_db()
    assert held.status == Run.Status.TERMINATED
    entry = LogEntry.objects.filter(object_id=held.pk).first()
    assert entry is not None
    message = "Terminated: replaced by a new run with the same key"
    assert entry.get_change_message() == message


def test_only_who_may_terminate_runs_can_take_a_key_from_an_open_one(db: None) -> None:
    client = client_of(user_with("start_run", "view_run"))
    again = {**ORDER, "option_key": "k", "option_on_conflict": "terminate_existing"}
    answer = client.post(url(workflow="admin.order"), again)
    assert answer.context["form"].options.errors.keys() == {"on_conflict"}
    assert "terminate_existing" not in client.get(url(workflow="admin.order")).text


# -- versions -------------------------------------------------------------------------


def test_the_newest_version_is_started_unless_another_is_chosen(
    admin_client: Client,
) -> None:
    page = admin_client.get(url(workflow="admin.versions")).content.decode()
    older = url(workflow="admin.versions", version="1")
    assert f'href="{escape(older)}"' in page
    newest = begin(admin_client, {"new": "1"}, workflow="admin.versions")
    assert (newest.version, newest.kwargs) == ("2", {"new": 1})
    run = begin(admin_client, {"old": "1"}, workflow="admin.versions", version="1")
    assert (run.version, run.kwargs) == ("1", {"old": 1})


# -- again ----------------------------------------------------------------------------


def test_a_run_can_be_started_again_with_changed_input(
    admin_client: Client, workflows: WorkflowTester
) -> None:
    items = [Item(name="pen", price=Decimal("1.20"))]
    attributes = {"customer": 7, "schedule": "daily", "scheduled_at": "today"}
    run = start(
        order.options(queue="eu", priority=2, key="k", attributes=attributes),
        42,
        items,
        size=Size.LARGE,
        at=datetime(2026, 3, 1, 10, 30, tzinfo=UTC),
        note="two\nlines",
        is_gift=True,
    )
    answer = admin_client.get(url(again=run.pk))
    form = answer.context["form"]
    assert not form.earlier.kept
    data = what_a_browser_sends(answer.content.decode())
    new = begin(admin_client, {**data, "number": "43"}, again=run.pk)
    assert new.kwargs == {
        "number": 43,
        "items": items,
        "size": Size.LARGE,
        "at": datetime(2026, 3, 1, 10, 30, tzinfo=UTC),
        "note": "two\nlines",
        "is_gift": True,
    }
    assert (new.queue, new.priority, new.key) == ("eu", 2, None)
    assert new.attributes == {"customer": 7}
    entry = LogEntry.objects.get()
    assert entry.get_change_message() == f"Started with the changed input of: {run.pk}"
    said = f"admin Started with the changed input of: {run.pk}"
    assert said in read(admin_client, run_url(new))


def test_it_starts_with_the_version_that_the_run_had(admin_client: Client) -> None:
    run = start(first_version, 5)
    page = admin_client.get(url(again=run.pk)).content.decode()
    assert what_a_browser_sends(page)["old"] == ["5"]


CHANGED_BY_JSON = [
    (1, 2),
    {1: "a"},
    {"a", "b"},
    b"bytes",
    Decimal("1.50"),
    date(2026, 1, 1),
    [date(2026, 1, 1)],
    float("nan"),
    Size.LARGE,
    Item(name="pen", price=Decimal("1.20")),
    "lone \ud800",
    10**5000,
]
KEPT_BY_JSON = [
    "text",
    "",
    " \r\n\0",
    "</textarea><b>&amp;",
    None,
    True,
    0,
    1.0,
    -0.0,
    2**70,
    [1, [2, None]],
    {"a": {"b": [1.5]}, "$": 1},
]


@pytest.mark.parametrize("value", CHANGED_BY_JSON, ids=lambda v: type(v).__name__)
def test_what_json_would_change_is_kept_as_it_is(
    admin_client: Client, value: Any
) -> None:
    run = start(anything, value)
    answer = admin_client.get(url(again=run.pk))
    page = answer.content.decode()
    assert "JSON has no words for all of it" in page
    sent = what_a_browser_sends(page)
    assert sent["value"] == [""]
    assert sent["option_keep"] == ["value"]
    (kept,) = begin(admin_client, sent, again=run.pk).args
    assert dumps(kept) == dumps(value)
    # And it can be replaced.
    del sent["option_keep"]
    (new,) = begin(admin_client, {**sent, "value": "[1]"}, again=run.pk).args
    assert new == [1]


def test_what_refers_to_itself_or_to_a_row_is_kept(
    admin_client: Client, admin_user: User
) -> None:
    loop: list[Any] = [1]
    loop.append(loop)
    shared = ["a"]
    for value in (loop, [shared, shared], admin_user, ValueError("x")):
        run = start(anything, value)
        sent = what_a_browser_sends(admin_client.get(url(again=run.pk)).text)
        assert sent["option_keep"] == ["value"]
        new = begin(admin_client, sent, again=run.pk)
        assert input_of(new) == input_of(run)


def input_of(run: Run) -> bytes:
    payload = Event.objects.get(run=run, type="run_created").payload
    assert payload is not None
    return bytes(payload)


def test_an_input_that_cannot_be_read_is_said(
    admin_client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = start(anything, Size.LARGE)
    monkeypatch.delattr("tests.admin.test_start.Size")
    answer = admin_client.get(url(again=run.pk))
    assert answer.status_code == 200
    assert "Its input cannot be read" in answer.text
    assert what_a_browser_sends(answer.text)["value"] == [""]


@pytest.mark.parametrize("value", KEPT_BY_JSON, ids=repr)
def test_what_json_can_say_is_in_the_form(admin_client: Client, value: Any) -> None:
    run = start(anything, value)
    page = admin_client.get(url(again=run.pk)).content.decode()
    sent = what_a_browser_sends(page)
    assert "option_keep" not in sent
    new = begin(admin_client, sent, again=run.pk)
    (given,) = new.args or (None,)
    assert repr(given) == repr(value)


def test_what_is_kept_is_not_entered_too(admin_client: Client) -> None:
    run = start(anything, (1, 2))
    data = {"value": "[3]", "option_keep": "value"}
    page = refused(admin_client, data, again=run.pk)
    assert "Keep the earlier value, or enter another one: not both." in page
    assert what_a_browser_sends(page)["value"] == ["[3]"]


def test_only_what_the_form_offers_is_kept(admin_client: Client) -> None:
    run = start(anything, "text")
    data = {"value": "1", "option_keep": ["value", "no parameter"]}
    assert begin(admin_client, data, again=run.pk).args == (1,)


def test_what_is_redacted_is_not_shown_and_can_be_kept(
    admin_client: Client, settings: Any
) -> None:
    settings.WORKFLOWS = {"REDACT": ["password", "price"]}
    items = [Item(name="pen", price=Decimal("987.65"))]
    run = start(order, 1, items, password="hush")
    page = admin_client.get(url(again=run.pk)).content.decode()
    assert "hush" not in page
    assert "987" not in page
    sent = what_a_browser_sends(page)
    assert sorted(sent["option_keep"]) == ["items", "password"]
    new = begin(admin_client, {**sent, "number": "2"}, again=run.pk)
    assert new.kwargs == {"number": 2, "items": items, "password": "hush"}


def test_an_input_that_fits_no_more_is_said(admin_client: Client) -> None:
    run = start(first_version, old=5)
    page = admin_client.get(url(again=run.pk, version="2")).content.decode()
    assert "does not fit the parameters" in page
    assert what_a_browser_sends(page)["new"] == [""]


# -- who ------------------------------------------------------------------------------


@pytest.mark.parametrize("permissions", [(), ("view_run", "view_payload", "add_run")])
def test_who_may_not_start_runs_gets_403(
    db: None, permissions: tuple[str, ...]
) -> None:
    client = client_of(user_with(*permissions))
    for query in ({}, {"workflow": "admin.order"}):
        assert client.get(url(**query)).status_code == 403
        assert client.post(url(**query), ORDER).status_code == 403
    assert not Run.objects.exists()


def test_somebody_from_outside_is_sent_to_the_login(client: Client, db: None) -> None:
    assert "/login/" in client.post(url(workflow="admin.order"), ORDER)["Location"]
    assert not Run.objects.exists()


def test_who_may_only_start_runs_stays_on_the_page(db: None) -> None:
    client = client_of(user_with("start_run"))
    answer = client.post(url(workflow="admin.order"), ORDER, follow=True)
    assert answer.status_code == 200
    assert Run.objects.get().pk in answer.content.decode()


@pytest.mark.parametrize("missing", ["start_run", "view_run", "view_payload"])
def test_the_input_of_a_run_is_for_those_who_may_see_it(db: None, missing: str) -> None:
    run = start(anything, "hush")
    client = client_of(
        user_with(*({"start_run", "view_run", "view_payload"} - {missing}))
    )
    answer = client.get(url(again=run.pk))
    assert answer.status_code == 403
    assert client.post(url(again=run.pk), {"value": "1"}).status_code == 403
    assert Run.objects.count() == 1


def test_a_request_from_another_site_is_refused(admin_user: User) -> None:
    client = Client(enforce_csrf_checks=True)
    client.force_login(admin_user)
    assert client.post(url(workflow="admin.order"), ORDER).status_code == 403
    assert not Run.objects.exists()


def test_pages_need_few_queries(
    admin_client: Client, django_assert_max_num_queries: DjangoAssertNumQueries
) -> None:
    run = start(order, 1, [])
    for query in ({}, {"workflow": "admin.order"}, {"again": run.pk}):
        with django_assert_max_num_queries(6):
            admin_client.get(url(**query))
