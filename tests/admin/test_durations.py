"""Lengths of time in words."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from django.utils import translation

from django_workflows.admin.durations import in_words, time_apart


@pytest.mark.parametrize(
    ("length", "words"),
    [
        (0, "0 ms"),
        (-5, "0 ms"),
        (0.0004, "0 ms"),
        (0.25, "250 ms"),
        (0.9994, "999 ms"),
        (0.9996, "1.0 s"),
        (1.24, "1.2 s"),
        (9.94, "9.9 s"),
        (9.96, "10 s"),
        (59.4, "59 s"),
        (59.6, "1 min"),
        (185, "3 min 5 s"),
        (3599.6, "1 h"),
        (7800, "2 h 10 min"),
        (86370, "1 d"),
        (timedelta(days=2, hours=4, minutes=10), "2 d 4 h"),
        (timedelta(days=400), "400 d"),
    ],
)
def test_words(length: timedelta | float, words: str) -> None:
    assert in_words(length) == words


def test_numbers_are_those_of_the_language() -> None:
    with translation.override("de"):
        assert in_words(1.24) == "1,2 s"


def test_times_are_told_from_now() -> None:
    now = datetime(2026, 11, 20, tzinfo=UTC)
    assert time_apart(now, now) == "0 ms ago"
    assert time_apart(now - timedelta(days=2, hours=4), now) == "2 d 4 h ago"
    assert time_apart(now + timedelta(minutes=3), now) == "in 3 min"
    with translation.override("de"):
        assert time_apart(now - timedelta(days=2), now) == "vor 2 T"
