from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from django_workflows.core.durations import resolve, to_seconds, to_text

NOW = datetime(2024, 1, 1, tzinfo=UTC)


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        (0, 0),
        (3, 3),
        (0.25, 0.25),
        (Decimal("1.5"), 1.5),
        (timedelta(minutes=2), 120),
        ("500ms", 0.5),
        ("700ms", 0.7),
        ("30s", 30),
        ("5m", 300),
        ("1h30m", 5400),
        ("1h 30m", 5400),
        (" 1 hour 30 minutes ", 5400),
        ("3d", 3 * 86400),
        ("2w", 14 * 86400),
        ("1 day", 86400),
        ("2 Days", 2 * 86400),
        ("1.5h", 5400),
        ("0s", 0),
        ("PT5M", 300),
        ("P1DT2H", 86400 + 7200),
        ("P2W", 14 * 86400),
        ("PT0.5S", 0.5),
        ("PT1,5H", 5400),
        ("P3D", 3 * 86400),
    ],
)
def test_a_duration_is_so_many_seconds(value: Any, seconds: float) -> None:
    assert to_seconds(value) == seconds


@pytest.mark.parametrize(
    "nonsense",
    [
        "", " ", "x", "5", "5 parsecs", "-5s", "1M", "1h1h", "1m60s s", "s", "1..5s",
        "P", "PT", "P1M", "P1Y", "PT5", "T5M", "pt5m", "P1D2H", "1e3s", "\u0665s",
        "inf s", "nan", "30s;", "1h,30m", "9" * 400 + "d",
        -1, -0.5, float("nan"), float("inf"), 1e300, 10**400, timedelta(seconds=-1),
        True, None, [], b"5s", datetime(2024, 1, 1), Decimal("NaN"),
    ],
)  # fmt: skip
def test_nonsense_is_refused_by_its_name(nonsense: Any) -> None:
    named = re.escape(repr(nonsense))
    with pytest.raises(ValueError, match=named):
        to_seconds(nonsense)
    with pytest.raises(ValueError, match=named):
        resolve(nonsense, NOW)


@given(st.text(max_size=12))
def test_any_text_is_a_duration_or_a_value_error(text: str) -> None:
    try:
        seconds = to_seconds(text)
    except ValueError:
        return
    assert 0 <= seconds <= timedelta.max.total_seconds()


def test_a_duration_counts_from_now() -> None:
    assert resolve("1h", NOW) == NOW + timedelta(hours=1)
    assert resolve(1.5, NOW) == NOW + timedelta(seconds=1.5)


def test_a_point_in_time_stands_for_itself() -> None:
    then = datetime(2020, 1, 1, tzinfo=UTC)
    assert resolve(then, NOW) is then


def test_naive_and_impossible_times_are_refused() -> None:
    with pytest.raises(ValueError, match="time zone"):
        resolve(datetime(2020, 1, 1), NOW)
    with pytest.raises(ValueError, match="'9000000d'"):
        resolve("9000000d", NOW)


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0, "0s"),
        (0.25, "250ms"),
        (0.0005, "0.5ms"),
        (1.5, "1.5s"),
        (90, "1m30s"),
        (3600, "1h"),
        (100_000, "1d3h46m40s"),
        (365 * 86_400, "365d"),
    ],
)
def test_seconds_as_text(seconds: float, text: str) -> None:
    assert to_text(seconds) == text


@given(st.floats(0, timedelta.max.total_seconds()))
def test_text_means_exactly_the_same(seconds: float) -> None:
    assert to_seconds(to_text(seconds)) == seconds
