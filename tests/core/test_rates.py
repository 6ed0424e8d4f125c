"""Rates: what people write, and when the next start may be."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from django_workflows.core.rates import Rate, parse_rate


@pytest.mark.parametrize(
    ("text", "count", "seconds"),
    [
        ("100/s", 100, 1),
        ("5/10s", 5, 10),
        ("100/m", 100, 60),
        ("1000/h", 1000, 3600),
        ("10/d", 10, 86400),
        ("3/500ms", 3, 0.5),
        ("2 / 1h30m", 2, 5400),
        ("7/PT5M", 7, 300),
        ("1/minute", 1, 60),
    ],
)
def test_rate_is_read(text: str, count: int, seconds: float) -> None:
    assert parse_rate(text) == Rate(count, seconds)


@pytest.mark.parametrize(
    "text",
    [
        *("", "100", "/s", "0/s", "5/0s", "-1/s", "1.5/s", "5/10", "5/fortnight"),
        *("ten/s", "5/s/s", "5//s", "5/-1s", "1" * 50 + "/s", "9999999/s", "5/ "),
        *(100, 1.5, None, True, b"5/s"),
    ],
)
def test_nonsense_is_refused_by_name(text: Any) -> None:
    with pytest.raises(ValueError, match="not a rate") as refused:
        parse_rate(text)
    assert repr(text) in str(refused.value)


def starts(rate: Rate, looks: list[int], wanted: int) -> list[int]:
    """When so many wanted starts at each of the looks take place."""
    begun: list[int] = []
    last_us = None
    for now_us in looks:
        allowed, last_us = rate.take(last_us, now_us, wanted)
        begun += [now_us] * allowed
    return begun


def most_in_a_window(rate: Rate, begun: list[int]) -> int:
    window_us = round(rate.seconds * 1e6)
    return max(
        sum(first <= us < first + window_us for us in begun[n:])
        for n, first in enumerate(begun)
    )


@given(
    st.sampled_from(["100/s", "5/10s", "3/s", "1/s", "1000/s", "20/m"]),
    st.lists(st.integers(0, 400_000), min_size=1, max_size=300),
    st.integers(1, 50),
)
def test_no_window_holds_more_than_the_rate(
    text: str, pauses: list[int], wanted: int
) -> None:
    rate, now_us, looks = parse_rate(text), 1_000_000, []
    for pause in pauses:
        now_us += pause
        looks.append(now_us)
    assert most_in_a_window(rate, starts(rate, looks, wanted)) <= rate.count


def test_starts_are_evenly_spaced() -> None:
    rate = parse_rate("5/10s")
    begun = starts(rate, list(range(0, 60_000_000, 10_000)), 12)
    gaps = {later - one for one, later in pairwise(begun)}
    assert gaps == {2_020_000}


def test_lateness_within_the_tolerance_is_made_up_for() -> None:
    """Somebody who looks every 7 ms is late for most of the starts."""
    begun = starts(parse_rate("100/s"), list(range(0, 10_000_000, 7_000)), 50)
    assert 98 <= len(begun) / 10 <= 100


def test_a_pause_allows_no_burst() -> None:
    rate = parse_rate("5/10s")
    _, last_us = rate.take(None, 0, 1)
    assert rate.take(last_us, 3_600_000_000, 100)[0] == 1


def test_a_changed_rate_counts_from_the_last_start() -> None:
    slow, fast = parse_rate("1/h"), parse_rate("10/s")
    _, last_us = slow.take(None, 0, 1)
    assert slow.take(last_us, 1_000_000, 1) == (0, last_us)
    assert fast.take(last_us, 50_000, 1) == (0, last_us)
    assert fast.take(last_us, 1_000_000, 1)[0] == 1
