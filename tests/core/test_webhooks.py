"""Requests to webhooks and the answers to them, as values."""

from __future__ import annotations

from contextlib import suppress
from decimal import Decimal
from typing import Any
from urllib.parse import urlencode

import pytest
from django.test.client import BOUNDARY, MULTIPART_CONTENT, encode_multipart
from django.test.utils import override_settings
from hypothesis import given
from hypothesis import strategies as st

from django_workflows import WebhookRequest, WebhookResponse
from django_workflows.core.serialization import dumps, loads

TEXT = st.text(st.characters(exclude_categories=["Cs"]))
FIELDS = st.lists(st.tuples(TEXT, TEXT))


def posted(body: bytes, content_type: str) -> WebhookRequest:
    return WebhookRequest(headers={"Content-Type": content_type}, body=body)


def test_request_has_the_parts_of_its_url() -> None:
    request = WebhookRequest("GET", "https://example.com/a%2Fb/%C3%BC?x=1&y=%20&x=2&z=")
    assert request.path == "/a/b/ü"
    assert request.query == {"x": "2", "y": " ", "z": ""}
    assert request.query.getlist("x") == ["1", "2"]
    assert request.query.getlist("no") == []
    assert str(request.query) == "x=1&y=%20&x=2&z=" == request.query


def test_request_round_trips_exactly() -> None:
    headers = [("X-Trace", "a"), ("x-trace", "b"), ("Host", "h")]
    request = WebhookRequest("PATCH", "http://h/p?q=1", headers, b"\x00\xff", "d1")
    copy = loads(dumps(request))
    assert type(copy) is WebhookRequest
    assert copy == request
    assert copy.headers.pairs == tuple(headers)
    assert copy.headers.getlist("X-TRACE") == ["a", "b"]


def test_secrets_are_not_shown() -> None:
    request = WebhookRequest("POST", "http://h/secret", {"X": "secret"}, b"secret")
    response = WebhookResponse.text("secret", headers={"X": "secret"})
    form = posted(b"name=secret", "application/x-www-form-urlencoded").form()
    assert "secret" not in repr([request, response, form])


def test_text_and_json() -> None:
    latin = "text/plain; charset=latin-1"
    assert posted("grüß".encode("latin-1"), latin).text() == "grüß"
    assert posted('{"ü": [1]}'.encode(), "").json() == {"ü": [1]}
    with pytest.raises(ValueError, match="Expecting value"):
        posted(b"<html>", "").json()
    with pytest.raises(ValueError, match="too deeply"):
        posted(b"[" * 100_000, "").json()


@given(FIELDS)
def test_urlencoded_form(fields: list[tuple[str, str]]) -> None:
    body = urlencode(fields).encode()
    form = posted(body, "application/x-www-form-urlencoded; charset=utf-8").form()
    assert form == dict(fields)
    for name, _ in fields:
        assert form.getlist(name) == [v for n, v in fields if n == name]
    assert form.files == {}


def test_multipart_form() -> None:
    content = bytes(range(256)) * 500  # longer than one chunk of Django's parser
    body = (
        encode_multipart(BOUNDARY, {"name": "Zoë", "tag": ["a", "b"]}).removesuffix(
            f"--{BOUNDARY}--\r\n".encode()
        )
        + f"--{BOUNDARY}\r\n".encode()
        + 'Content-Disposition: form-data; name="cv"; filename="Lebenslauf ü.pdf"\r\n'
        "Content-Type: application/pdf\r\n\r\n".encode()
        + content
        + f"\r\n--{BOUNDARY}--\r\n".encode()
    )
    form = posted(body, MULTIPART_CONTENT).form()
    assert form == {"name": "Zoë", "tag": "b"}
    assert form.getlist("tag") == ["a", "b"]
    file = form.files["cv"]
    assert (file.filename, file.content_type) == ("Lebenslauf ü.pdf", "application/pdf")
    assert file.content == content
    assert list(form.files) == ["cv"]
    with pytest.raises(KeyError):
        form.files["name"]
    copy = loads(dumps(form))
    assert (copy, copy.files) == (form, form.files)
    assert copy.getlist("tag") == ["a", "b"]


def test_other_types_have_an_empty_form() -> None:
    assert posted(b"a=1", "application/json").form() == {}


@pytest.mark.parametrize(
    ("content_type", "body"),
    [
        ("multipart/form-data", b""),
        ("multipart/form-data; boundary=" + "x" * 300, b"--x"),
        ("application/x-www-form-urlencoded", b"a=1&b=2&c=3"),
    ],
)
@override_settings(DATA_UPLOAD_MAX_NUMBER_FIELDS=2)
def test_form_that_is_none(content_type: str, body: bytes) -> None:
    with pytest.raises(ValueError, match="no valid form"):
        posted(body, content_type).form()


@given(TEXT, st.binary())
def test_any_body_gives_a_form_or_a_value_error(boundary: str, body: bytes) -> None:
    with suppress(ValueError):
        posted(body, f"multipart/form-data; boundary={boundary}").form()


# -- answers --------------------------------------------------------------------------


def test_responses() -> None:
    assert WebhookResponse() == WebhookResponse(200, b"", {})
    text = WebhookResponse.text("grüß", 402, {"X-A": "b"})
    assert (text.status, text.body) == (402, "grüß".encode())
    assert text.headers == {"content-type": "text/plain; charset=utf-8", "x-a": "b"}
    found = WebhookResponse.json({"price": Decimal("1.50")})
    assert (found.status, found.body) == (200, b'{"price": "1.50"}')
    assert found.headers["content-type"] == "application/json"
    own = WebhookResponse.json(1, headers={"content-type": "application/problem+json"})
    assert own.headers.getlist("Content-Type") == ["application/problem+json"]


def test_response_round_trips() -> None:
    response = WebhookResponse(201, b"\x00\xff", [("Link", "a"), ("Link", "b")])
    copy = loads(dumps(response))
    assert type(copy) is WebhookResponse
    assert copy == response


@pytest.mark.parametrize(
    ("arguments", "error"),
    [
        ({"status": 100}, ValueError),
        ({"status": 600}, ValueError),
        ({"status": "200"}, TypeError),
        ({"body": "text"}, TypeError),
        ({"status": 204, "body": b"x"}, ValueError),
        ({"status": 304, "body": b"x"}, ValueError),
        ({"headers": {"X": "a\r\nSet-Cookie: b"}}, ValueError),
        ({"headers": {"X": "a\nb"}}, ValueError),
        ({"headers": {"X": "a\0"}}, ValueError),
        ({"headers": {"X": "€"}}, ValueError),
        ({"headers": {"X\r\nY": "a"}}, ValueError),
        ({"headers": {"X Y": "a"}}, ValueError),
        ({"headers": {"": "a"}}, ValueError),
        ({"headers": {"Set-Cookie": "no cookie"}}, ValueError),
        ({"headers": {"Set-Cookie": "a b=c"}}, ValueError),
        ({"headers": {"Set-Cookie": "a=\xfc"}}, ValueError),
        ({"headers": {"Content-Length": "3"}}, ValueError),
        ({"headers": {"transfer-encoding": "chunked"}}, ValueError),
    ],
)
def test_response_that_cannot_be_sent(
    arguments: dict[str, Any], error: type[Exception]
) -> None:
    with pytest.raises(error):
        WebhookResponse(**arguments)


def test_json_refuses_what_it_cannot_say() -> None:
    with pytest.raises(ValueError, match="JSON"):
        WebhookResponse.json(float("nan"))
    with pytest.raises(TypeError):
        WebhookResponse.json(object())
