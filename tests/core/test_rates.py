"""Rates: what people write, and when the next start may be."""

from __future__ import annotations

from bisect import bisect_left
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from django_workflows.core.rates import Pace, Rate, parse_rate


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
    pace = Pace()
    for now_us in looks:
        for _ in range(wanted):
            after = rate.take(pace, now_us)
            assert (after is None) == (rate.next_us(pace, now_us) > now_us)
            if after is None:
                break
            pace = Pace.load(after.dump())
            assert pace == after
            begun.append(now_us)
    return begun


def most_in_a_window(rate: Rate, begun: list[int]) -> int:
    return max(
        bisect_left(begun, us + rate.window_us) - n for n, us in enumerate(begun)
    )


@given(
    st.sampled_from(["100/s", "5/10s", "3/s", "1/s", "1000/s", "20/m", "1000/h"]),
    st.lists(
        st.one_of(st.integers(0, 20_000), st.integers(0, 400_000), st.just(3_000_000)),
        min_size=1,
        max_size=300,
    ),
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
    assert gaps == {2_000_000}


@pytest.mark.parametrize("gap_ms", [1, 3, 7, 15, 20])
def test_lateness_within_the_tolerance_is_made_up_for(gap_ms: int) -> None:
    """Somebody who looks every few milliseconds is late for most of the starts."""
    looks = list(range(0, 11_000_000, gap_ms * 1000))
    begun = starts(parse_rate("100/s"), looks, 50)
    after_the_first = [us for us in begun if us >= 1_000_000]
    assert 98 <= len(after_the_first) / 10 <= 100


@pytest.mark.parametrize("text", ["5/10s", "100/m", "1000/h"])
def test_a_pause_allows_no_burst(text: str) -> None:
    rate = parse_rate(text)
    assert starts(rate, [0, 3_600_000_000], 100) == [0, 3_600_000_000]


def test_a_changed_rate_counts_from_the_last_start() -> None:
    slow, fast = parse_rate("1/h"), parse_rate("10/s")
    pace = slow.take(Pace(), 0)
    assert pace is not None
    assert slow.take(pace, 1_000_000) is None
    assert fast.take(pace, 50_000) is None
    assert fast.take(pace, 1_000_000) is not None


def test_little_is_remembered() -> None:
    rate, pace, now_us = parse_rate("100000/s"), Pace(), 0
    for now_us in range(0, 3_000_000, 500):
        for _ in range(10):
            pace = rate.take(pace, now_us) or pace
    assert len(pace.starts) <= 251
