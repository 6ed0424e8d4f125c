"""HTTP headers as a value."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from django_workflows.core.headers import Headers
from django_workflows.core.serialization import dumps, loads

NAMES = st.sampled_from(["Accept", "accept", "Set-Cookie", "SET-COOKIE", "X-Ünïcode"])


def test_names_are_found_in_any_case() -> None:
    headers = Headers({"Content-Type": "text/plain"})
    assert headers["content-type"] == headers["CONTENT-TYPE"] == "text/plain"
    assert "content-Type" in headers
    assert headers.get("Accept") is None
    with pytest.raises(KeyError):
        headers["Accept"]


def test_repeated_headers_are_kept() -> None:
    headers = Headers([("Set-Cookie", "a=1"), ("Via", "x"), ("set-cookie", "b=2")])
    assert headers.getlist("SET-COOKIE") == ["a=1", "b=2"]
    assert headers["set-cookie"] == "a=1, b=2"
    assert dict(headers) == {"set-cookie": "a=1, b=2", "via": "x"}
    assert headers.getlist("Accept") == []


def test_equality_ignores_case_of_names_alone() -> None:
    assert Headers({"A": "x"}) == Headers([("a", "x")]) == {"a": "x"}
    assert Headers({"A": "x"}) != Headers({"A": "X"})
    assert Headers([("A", "x"), ("A", "y")]) != Headers({"A": "x, y"})
    assert Headers() != 3


def test_without_drops_in_any_case() -> None:
    headers = Headers({"Authorization": "secret", "Accept": "*/*"})
    assert headers.without("AUTHORIZATION", "Cookie") == {"accept": "*/*"}


def test_values_are_not_shown() -> None:
    assert "secret" not in repr(Headers({"Authorization": "secret"}))


@given(st.lists(st.tuples(NAMES, st.text())))
def test_headers_round_trip(pairs: list[tuple[str, str]]) -> None:
    headers = Headers(pairs)
    copy = loads(dumps(headers))
    assert type(copy) is Headers
    assert copy.pairs == headers.pairs
    assert copy == headers
