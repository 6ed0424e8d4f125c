"""Values as JSON, and what of them nobody is shown."""

from __future__ import annotations

import inspect
import json
from dataclasses import dataclass
from typing import Any, NamedTuple

import pydantic
import pytest
from django.test import override_settings

from django_workflows.core.failures import capture
from django_workflows.core.headers import Headers
from django_workflows.core.payloads import seal
from django_workflows.core.rendering import (
    call_to_json,
    error_to_json,
    payload_to_json,
    to_json,
)
from django_workflows.core.serialization import dumps, dumps_call
from django_workflows.core.webhooks import WebhookRequest
from django_workflows.http.response import FetchResponse

SECRET = "hunter2"


@dataclass
class Login:
    user: str
    Password: str


class Account(pydantic.BaseModel):
    model_config = pydantic.ConfigDict(extra="allow")
    password: str


class Pair(NamedTuple):
    password: str
    number: int


class RefusedError(Exception):
    def __init__(self, password: str) -> None:
        super().__init__("refused")
        self.password = password


@dataclass(frozen=True)
class Key:
    password: str


@pytest.fixture(autouse=True)
def hidden_names() -> Any:
    with override_settings(WORKFLOWS={"REDACT": ["password", "X-Api-Key"]}):
        yield


@pytest.mark.parametrize(
    "value",
    [
        {"password": SECRET},
        [{"deep": ({"PASSWORD": {"inner": SECRET}},)}],
        {1: 2, "passWord": SECRET},
        Login("ann", SECRET),
        Account(password=SECRET),
        Account(password="x", PassWord=SECRET),
        Pair(SECRET, 1),
        RefusedError(SECRET),
        ValueError({"password": SECRET}),
        ValueError(f'login {{"password": "{SECRET} \\" more {SECRET}"}}'),
        {Key(SECRET): 1},
        Headers({"x-api-key": SECRET}),
        FetchResponse(url=f"https://a.example/?a=1&password={SECRET}&b=2"),
        FetchResponse(body=json.dumps({"user": {"Password": SECRET}}).encode()),
        FetchResponse(headers={"X-API-KEY": SECRET}),
    ],
    ids=lambda value: type(value).__name__,
)
def test_what_is_under_a_hidden_name_is_not_shown(value: Any) -> None:
    for shown in (to_json(value), payload_to_json(seal(dumps(value)))):
        assert SECRET not in json.dumps(shown)
        assert "aHVudGVyMg" not in json.dumps(shown)  # the same, as base64
    if not isinstance(value, BaseException):
        # Told apart by more than the name of the class.
        assert to_json(value) != to_json(value, redact=False)


def test_the_rest_is_shown_as_it_is() -> None:
    value = {"password_hint": "dog", "login": Login("ann", SECRET), "n": [1]}
    assert to_json(value) == {
        "password_hint": "dog",
        "login": {"user": "ann", "Password": "[redacted]"},
        "n": [1],
    }
    error = ValueError("the password is too short")
    assert to_json(error)["message"] == "the password is too short"


def test_a_hidden_value_can_be_referred_to_from_elsewhere() -> None:
    shared = [1]
    value = {"password": shared, "other": shared}
    assert to_json(value) == {"password": "[redacted]", "other": [1]}


def test_the_token_in_the_url_of_a_webhook_is_never_shown() -> None:
    url = "https://a.example/.well-known/workflow/v1/webhook/t0ken?page=2"
    request = WebhookRequest("POST", url, {"A": "b"}, b"", "")
    assert to_json(request, redact=False) == {
        "method": "POST",
        "url": "https://a.example/.well-known/workflow/v1/webhook/[redacted]?page=2",
        "headers": {"A": "b"},
        "body": {"data": "", "encoding": "base64"},
        "delivery_id": "",
    }


def test_positional_arguments_are_hidden_by_the_names_of_their_parameters() -> None:
    def login(user: str, password: str, *rest: str) -> None: ...

    sealed = seal(dumps_call(("ann", SECRET, "x"), {"Password": SECRET}))
    assert call_to_json(sealed, inspect.signature(login)) == {
        "args": ["ann", "[redacted]", "x"],
        "kwargs": {"Password": "[redacted]"},
    }


def test_an_error_is_its_type_and_message() -> None:
    try:
        raise RefusedError(SECRET)
    except RefusedError as error:
        sealed = seal(capture(error))
        live = to_json(error)
    name = f"{__name__}.RefusedError"
    assert live == error_to_json(sealed) == {"type": name, "message": "refused"}


def test_what_cannot_be_read_says_why() -> None:
    with override_settings(
        WORKFLOWS={"PAYLOAD_CODEC": "tests.core.test_payloads.Backwards"}
    ):
        sealed = seal(dumps({"a": 1}))
        assert payload_to_json(sealed) == {"a": 1}
    assert "unreadable" in payload_to_json(sealed)
    assert "unreadable" in error_to_json(sealed)["message"]
    assert "unreadable" in call_to_json(sealed)["args"][0]


def test_what_could_never_be_stored_is_named() -> None:
    assert to_json(lambda: None) == "[function]"


def test_nothing_is_nothing() -> None:
    assert payload_to_json(None) is None
    assert error_to_json(None) is None
