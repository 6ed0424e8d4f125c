"""How long a server asks us to wait."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from django_workflows.core.headers import Headers
from django_workflows.http.retry_after import LONGEST_WAIT, retry_after

NOW = datetime(2026, 3, 1, 12, 0, 0, tzinfo=UTC)


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        ("120", 120),
        (" 7 ", 7),
        ("Sun, 01 Mar 2026 12:01:30 GMT", 90),
        ("Sunday, 01-Mar-26 12:01:30 GMT", 90),
        ("Sun Mar  1 12:01:30 2026", 90),
        ("86401", LONGEST_WAIT),
        ("9" * 5000, LONGEST_WAIT),
        ("Sun, 01 Mar 2099 12:00:00 GMT", LONGEST_WAIT),
        # The policy decides.
        ("0", None),
        ("-5", None),
        ("Sun, 01 Mar 2026 11:59:00 GMT", None),
        ("soon", None),
        ("", None),
        ("12.5", None),
        ("٣", None),
        ("Sun, 99 Mar 2026 12:00:00 GMT", None),
    ],
)
def test_retry_after(value: str, seconds: float | None) -> None:
    assert retry_after(Headers({"retry-after": value}), NOW) == seconds


def test_without_the_header_the_policy_decides() -> None:
    assert retry_after(Headers(), NOW) is None


def test_date_counts_from_the_clock_of_the_server() -> None:
    headers = {
        "Date": "Sun, 01 Mar 2026 09:00:00 GMT",
        "Retry-After": "Sun, 01 Mar 2026 09:00:10 GMT",
    }
    assert retry_after(Headers(headers), NOW) == 10


@given(st.text())
def test_nothing_that_a_server_says_raises(text: str) -> None:
    seconds = retry_after(Headers({"Retry-After": text, "Date": text}), NOW)
    assert seconds is None or 0 < seconds <= LONGEST_WAIT
