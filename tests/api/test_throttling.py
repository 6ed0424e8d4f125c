"""Rates of requests, by what is asked for; none unless the project gives them."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from django.core.cache import cache
from django.test import override_settings
from rest_framework.test import APIClient

from django_workflows.models import Run
from tests.api.conftest import API


@pytest.fixture(autouse=True)
def _fresh_counts() -> Iterator[None]:
    cache.clear()
    yield
    cache.clear()


def rates(**by_scope: str) -> Any:
    return override_settings(
        REST_FRAMEWORK={
            "DEFAULT_THROTTLE_RATES": {
                f"workflows-{scope}": rate for scope, rate in by_scope.items()
            }
        }
    )


def read(client: APIClient, run: Run) -> int:
    return client.get(f"{API}runs/{run.pk}/").status_code


def write(client: APIClient, run: Run) -> int:
    return client.post(f"{API}runs/{run.pk}/wake/").status_code


def begin(client: APIClient, run: Run) -> int:
    return client.post(f"{API}runs/", {"workflow": "api.sleeping"}).status_code


@pytest.mark.parametrize(
    ("scope", "limited", "others"),
    [
        ("read", read, (write, begin)),
        ("write", write, (read, begin)),
        ("start", begin, (read, write)),
    ],
)
def test_a_rate_limits_what_its_scope_names(
    staff: APIClient, anns_run: Run, scope: str, limited: Any, others: Any
) -> None:
    with rates(**{scope: "2/hour"}):
        assert limited(staff, anns_run) < 300
        assert limited(staff, anns_run) < 300
        assert limited(staff, anns_run) == 429
        assert all(other(staff, anns_run) < 300 for other in others)


def test_without_rates_nothing_is_limited(staff: APIClient, anns_run: Run) -> None:
    assert {read(staff, anns_run) for _ in range(50)} == {200}
