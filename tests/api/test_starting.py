"""Starts over HTTP: what is passed, and what is refused and how."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any
from uuid import UUID

import pytest
from django.test import override_settings
from rest_framework.test import APIClient

from django_workflows.models import Run
from tests.api.conftest import API
from tests.api.workflows import Address, Item, Size

URL = f"{API}runs/"
ID = "5b3c0c1e-7a3b-4c9e-9d52-0a6d1a2b3c4d"


def post(client: APIClient, **body: Any) -> Any:
    return client.post(URL, body, format="json")


def refused(client: APIClient, **body: Any) -> dict[str, list[str]]:
    answer = post(client, **body)
    assert answer.status_code == 400, answer.content
    assert not Run.objects.exists()
    problems: dict[str, list[str]] = answer.json()
    return problems


def test_a_start_answers_with_the_run(staff: APIClient) -> None:
    answer = post(
        staff,
        workflow="api.plain",
        args=[[1, {"a": None}], "x"],
        key="k",
        queue="slow",
        delay="10m",
        attributes={"customer": 7},
    )
    assert answer.status_code == 201
    run = Run.objects.get()
    body = answer.json()
    assert body["id"] == run.pk
    assert body["args"] == [[1, {"a": None}], "x"]
    assert (run.key, run.queue, run.attributes) == ("k", "slow", {"customer": 7})
    assert run.wake_at is not None
    assert run.wake_at - run.created_at == timedelta(minutes=10)
    assert staff.get(f"{URL}{run.pk}/").json() == body


def test_arguments_are_passed_as_the_types_of_the_annotations(
    staff: APIClient,
) -> None:
    answer = post(
        staff,
        workflow="api.order",
        args=["7", "1.50", ID],
        kwargs={
            "items": [{"name": "a", "price": "2.5"}],
            "address": {"street": "s", "since": "2024-01-02"},
            "size": "l",
            "due": "2024-01-02T03:04:05Z",
            "within": "PT5M",
            "tags": ["a", "a"],
            "x": "1.5",
        },
    )
    assert answer.status_code == 201, answer.content
    run = Run.objects.get()
    assert run.args == (7, Decimal("1.50"), UUID(ID))
    assert run.kwargs == {
        "items": [Item(name="a", price=Decimal("2.5"))],
        "address": Address("s", datetime(2024, 1, 2).date()),
        "size": Size.LARGE,
        "due": datetime(2024, 1, 2, 3, 4, 5, tzinfo=UTC),
        "within": timedelta(minutes=5),
        "tags": {"a"},
        "x": 1.5,
    }
    assert isinstance(run.kwargs["items"][0], Item)
    # What a detail shows can be sent again.
    again = answer.json()
    copy = post(staff, workflow="api.order", args=again["args"], kwargs=again["kwargs"])
    assert copy.status_code == 201, copy.content
    assert Run.objects.get(pk=copy.json()["id"]).kwargs == run.kwargs


def test_what_is_not_given_is_left_to_the_defaults(staff: APIClient) -> None:
    assert post(staff, workflow="api.order", args=[1]).status_code == 201
    run = Run.objects.get()
    assert (run.args, run.kwargs) == ((1,), {})


def test_a_second_start_with_a_key_answers_with_the_first_run(
    staff: APIClient,
) -> None:
    first = post(staff, workflow="api.plain", args=[1], key="k")
    second = post(staff, workflow="api.plain", args=[2], key="k")
    assert (first.status_code, second.status_code) == (201, 200)
    assert first.json() == second.json()


@pytest.mark.parametrize(
    ("delay", "seconds"),
    [(90, 90), (0.5, 0.5), ("1h30m", 5400), ("PT5M", 300), (None, 0), (0, 0)],
)
def test_a_delay_is_any_duration(staff: APIClient, delay: Any, seconds: float) -> None:
    assert post(staff, workflow="api.sleeping", delay=delay).status_code == 201
    run = Run.objects.get()
    assert run.wake_at is not None
    assert run.wake_at - run.created_at == timedelta(seconds=seconds)


def test_a_delay_is_also_a_point_in_time(staff: APIClient) -> None:
    moment = "2999-01-01T00:00:00+01:00"
    assert post(staff, workflow="api.sleeping", delay=moment).status_code == 201
    assert Run.objects.get().wake_at == datetime(2998, 12, 31, 23, tzinfo=UTC)


def test_who_asks_is_not_told_which_workflows_there_are(staff: APIClient) -> None:
    private = refused(staff, workflow="api.private", args=[1])
    unknown = refused(staff, workflow="no such workflow", kwargs={"x": 1})
    assert list(private) == ["workflow"]
    assert private == unknown


@pytest.mark.parametrize(
    ("body", "problems"),
    [
        ({}, {"number"}),
        ({"args": ["x"]}, {"number"}),
        ({"args": [1, "x", "y"]}, {"amount", "more"}),
        ({"args": [1], "kwargs": {"more": "x"}}, {"rest"}),
        ({"args": [1], "kwargs": {"items": [{"price": 1}]}}, {"items"}),
        ({"args": [1], "kwargs": {"items": [{"name": "a", "price": 1, "count": 0}]}},
         {"items"}),
        ({"args": [1], "kwargs": {"size": "m", "due": "now"}}, {"size", "due"}),
        ({"args": [1], "kwargs": {"address": {"street": "s"}}}, {"address"}),
        ({"args": [10**30 + 0.5], "kwargs": {"within": "long"}}, {"number", "within"}),
        ({"args": {"number": 1}}, {"args"}),
        ({"args": [1], "kwargs": [1]}, {"kwargs"}),
        ({"args": [1], "attributes": [1]}, {"attributes"}),
        ({"args": [1], "attributes": {"a\0": 1}}, {"attributes"}),
        ({"args": [1], "attributes": {"a": "x" * 20000}}, {"attributes"}),
        ({"args": [1], "attributes": {"a": 10**400}}, {"attributes"}),
        ({"args": [1], "delay": "soon"}, {"delay"}),
        ({"args": [1], "delay": -1}, {"delay"}),
        ({"args": [1], "delay": True}, {"delay"}),
        ({"args": [1], "delay": [1]}, {"delay"}),
        ({"args": [1], "delay": 10**15}, {"delay"}),
        ({"args": [1], "delay": "2024-01-01T00:00:00"}, {"delay"}),
        ({"args": [1], "delay": "2024-13-01T00:00:00Z"}, {"delay"}),
        ({"args": [1], "key": "k" * 256}, {"key"}),
        ({"args": [1], "key": ""}, {"key"}),
        ({"args": [1], "key": "a\0"}, {"key"}),
        ({"args": [1], "key": {}}, {"key"}),
        ({"args": [1], "queue": ""}, {"queue"}),
        ({"args": [1], "queue": "q" * 101}, {"queue"}),
        ({"workflow": ["api.order"]}, {"workflow"}),
        ({"workflow": "\0"}, {"workflow"}),
    ],
)  # fmt: skip
def test_what_is_wrong_is_told_by_its_name(
    staff: APIClient, body: dict[str, Any], problems: set[str]
) -> None:
    found = refused(staff, **{"workflow": "api.order", **body})
    assert set(found) == problems
    for texts in found.values():
        assert texts
        assert all(isinstance(text, str) for text in texts)


@pytest.mark.parametrize(
    ("body", "problems"),
    [
        ({"args": [1, "", 3]}, {"args"}),
        ({"args": [1], "kwargs": {"amount": 2}}, {"amount"}),
        ({"args": [1], "kwargs": {"other": 2, "more": 3}}, {"kwargs"}),
        ({"kwargs": {"other": 2}}, {"kwargs", "amount"}),
    ],
)
def test_arguments_have_to_fit_the_signature(
    staff: APIClient, body: dict[str, Any], problems: set[str]
) -> None:
    assert set(refused(staff, workflow="api.pay", **body)) == problems


def test_a_refusal_does_not_repeat_the_value(staff: APIClient) -> None:
    answer = post(
        staff, workflow="api.pay", kwargs={"amount": "hunter2", "password": ["hunter2"]}
    )
    assert set(answer.json()) == {"amount", "password"}
    assert b"hunter2" not in answer.content


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{",
        b"[]",
        b'"x"',
        b"null",
        b"\xff\xfe",
        b'{"workflow": "api.plain", "args": [NaN]}',
        b'{"workflow": "api.plain", "args": [' + b"[" * 100_000,
        b'{"workflow": "api.plain", "args": [' + b"1" * 5000 + b"]}",
        b'{"workflow": "api.plain", "args": ["\\uD800"]}',
        b'{"workflow": "api.plain", "\\udfff": 1}',
    ],
)
def test_a_body_that_is_none_is_refused(staff: APIClient, body: bytes) -> None:
    answer = staff.post(URL, body, content_type="application/json")
    assert answer.status_code == 400
    assert not Run.objects.exists()


@pytest.mark.parametrize(
    "value", ["\U0001f98a\u2028", "a\0b", 2**70, -0.0, [[[[]]]], {"$": "ref"}, {"": 1}]
)
def test_any_json_value_is_an_argument(staff: APIClient, value: Any) -> None:
    answer = post(staff, workflow="api.plain", args=[value])
    assert answer.status_code == 201
    assert Run.objects.get().args == (value,)
    assert answer.json()["args"] == [value]


def test_a_form_starts_what_needs_no_arguments(staff: APIClient) -> None:
    answer = staff.post(URL, {"workflow": "api.sleeping", "key": "k"})
    assert answer.status_code == 201
    assert Run.objects.get().key == "k"


class Unreadable:
    """A request's body that nobody may touch."""

    def read(self, *args: Any) -> bytes:
        raise AssertionError("the body was read")

    readline = read


@override_settings(WORKFLOWS={"MAX_PAYLOAD_BYTES": 1000})
@pytest.mark.parametrize("kind", ["application/json", "multipart/form-data"])
def test_a_body_that_is_too_long_is_refused_unread(staff: APIClient, kind: str) -> None:
    environ: dict[str, Any] = {"CONTENT_LENGTH": "1001", "wsgi.input": Unreadable()}
    answer = staff.generic("POST", URL, "", content_type=kind, **environ)
    assert answer.status_code == 413


@override_settings(WORKFLOWS={"MAX_PAYLOAD_BYTES": 120})
def test_arguments_that_grow_too_large_are_refused(staff: APIClient) -> None:
    # Within the limit as they are sent, and beyond it as they are stored.
    answer = post(staff, workflow="api.order", args=[1, 2, ID, ID])
    assert answer.status_code == 413
    assert not Run.objects.exists()


def test_arguments_that_cannot_be_stored_are_refused(staff: APIClient) -> None:
    body = {"amount": 1, "password": "hunter2"}
    found = refused(staff, workflow="api.secret", kwargs=body)
    assert list(found) == ["kwargs"]
    assert "SecretStr at kwargs['password']" in found["kwargs"][0]
    assert "hunter2" not in found["kwargs"][0]


def test_a_deadline_beyond_the_calendar_is_refused(staff: APIClient) -> None:
    late = "9999-12-31T12:00:00Z"
    assert list(refused(staff, workflow="api.secret", args=[1], delay=late)) == [
        "delay"
    ]
