"""Numbers of the dashboard, and how they are written."""

from __future__ import annotations

import pytest

from django_workflows.admin.dashboard.steps import percentile
from django_workflows.admin.dashboard.writing import at_most, percent


@pytest.mark.parametrize(
    ("values", "share", "expected"),
    [([7], 50, 7), ([3, 1, 2], 50, 2), (range(1, 101), 95, 95), ([1, 2], 99, 2)],
)
def test_percentiles(values: list[float], share: float, expected: float) -> None:
    assert percentile(values, share) == expected


@pytest.mark.parametrize(
    ("share", "text"),
    [(0, "0 %"), (0.01, "< 0.1 %"), (3.14, "3.1 %"), (25, "25 %"), (100.0, "100 %")],
)
def test_shares_in_percent(share: float, text: str) -> None:
    assert percent(share) == text


def test_counts_that_stop_say_so() -> None:
    assert at_most(999, 1_000) == "999"
    assert at_most(1_000, 1_000) == "1,000+"
