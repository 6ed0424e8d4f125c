"""The response as a value."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from django_workflows import FetchResponse, FetchStatusError
from django_workflows.core.serialization import dumps, loads


def test_response_round_trips() -> None:
    response = FetchResponse(
        404,
        [("Set-Cookie", "a=1"), ("set-cookie", "b=2")],
        b"\x00\xff gone",
        "https://example.com/x?y=z",
    )
    copy = loads(dumps(response))
    assert type(copy) is FetchResponse
    assert copy == response
    assert copy.headers.getlist("Set-Cookie") == ["a=1", "b=2"]


@pytest.mark.parametrize(
    ("content_type", "body", "text"),
    [
        ("text/plain", "grüß".encode(), "grüß"),
        ("text/plain; charset=iso-8859-1", "grüß".encode("latin-1"), "grüß"),
        ('text/plain; charset="UTF-16"', "grüß".encode("utf-16"), "grüß"),
        ("text/plain; charset=no-such", "grüß".encode(), "grüß"),
        ("text/plain; charset=base64", "grüß".encode(), "grüß"),
        ("", b"a\xffb", "a\ufffdb"),
    ],
)
def test_text_has_the_charset_of_the_headers(
    content_type: str, body: bytes, text: str
) -> None:
    headers = {"Content-Type": content_type}
    assert FetchResponse(headers=headers, body=body).text() == text


@given(st.text(), st.binary())
def test_any_response_has_a_text(content_type: str, body: bytes) -> None:
    headers = {"content-type": f"text/plain; charset={content_type}"}
    assert isinstance(FetchResponse(200, headers, body).text(), str)


def test_json() -> None:
    assert FetchResponse(body='{"ü": [1]}'.encode()).json() == {"ü": [1]}
    with pytest.raises(ValueError, match="Expecting value"):
        FetchResponse(body=b"<html>").json()


@pytest.mark.parametrize(
    ("status", "ok"), [(200, True), (204, True), (304, False), (404, False)]
)
def test_raise_for_status_raises_for_what_is_not_ok(status: int, ok: bool) -> None:
    response = FetchResponse(
        status, {}, b"why", "https://u:pw@a.example/s3cret?t=s3cret"
    )
    assert response.ok is ok
    if ok:
        assert response.raise_for_status() is response
        return
    with pytest.raises(FetchStatusError) as failure:
        response.raise_for_status()
    assert failure.value.status == status
    assert failure.value.excerpt == "why"
    # Paths and queries may hold secrets: errors get into logs.
    assert str(failure.value).startswith(f"https://a.example answered {status} ")


def test_unknown_status_has_no_phrase() -> None:
    with pytest.raises(FetchStatusError, match=r"^the server answered 799$"):
        FetchResponse(799).raise_for_status()
