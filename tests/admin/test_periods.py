"""The periods of the dashboard, and the parts they are cut into."""

from __future__ import annotations

import itertools
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from django.utils import timezone

from django_workflows.admin.dashboard.periods import PERIODS, Period, period_of


@pytest.mark.parametrize("period", PERIODS, ids=lambda period: period.key)
def test_a_period_ends_with_the_part_that_is_now(period: Period) -> None:
    now = datetime(2026, 5, 1, 13, 37, 42, 5, tzinfo=UTC)
    edges = period.edges(now)
    assert len(edges) == period.parts + 1 == len(period.columns(edges)) + 1
    assert edges[-2] <= now < edges[-1]
    assert edges == sorted(set(edges))


def test_days_begin_at_midnight_on_the_wall_whenever_clocks_are_set() -> None:
    berlin = ZoneInfo("Europe/Berlin")
    with timezone.override(berlin):
        edges = period_of("30d").edges(datetime(2026, 11, 5, 11, tzinfo=UTC))
        assert {edge.astimezone(berlin).hour for edge in edges} == {0}
        lengths = {
            late.astimezone(UTC) - early.astimezone(UTC)
            for early, late in itertools.pairwise(edges)
        }
        assert lengths == {timedelta(hours=24), timedelta(hours=25)}
        hours = period_of("1d").edges(datetime(2026, 10, 25, 11, 30, tzinfo=UTC))
        assert {late - early for early, late in itertools.pairwise(hours)} == {
            timedelta(hours=1)
        }
        labels = [column.label for column in period_of("1d").columns(hours)]
        assert labels.count("02:00") == 2


def test_half_hours_of_time_zones_are_respected() -> None:
    with timezone.override(ZoneInfo("Asia/Kolkata")):
        edges = period_of("1d").edges(datetime(2026, 5, 1, 13, 37, tzinfo=UTC))
    assert edges[-2] == datetime(2026, 5, 1, 13, 30, tzinfo=UTC)
