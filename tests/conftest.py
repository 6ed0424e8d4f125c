"""Fixtures for every test."""

from __future__ import annotations

import os
from collections.abc import Iterator
from unittest.mock import patch

import pytest
from django.db import connections
from django.test import TransactionTestCase
from hypothesis import HealthCheck, settings
from pytest_django import DjangoDbBlocker

from tests.databases import empty, wait_for_sessions

pytest_plugins = ["django_workflows.testing.plugin"]

# One profile for machines of any speed: no deadline per example, and a fixed seed so
# that a failure in CI is the same failure at home. HYPOTHESIS_PROFILE=long digs deeper.
settings.register_profile(
    "default",
    deadline=None,
    derandomize=True,
    print_blob=True,
    max_examples=100,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture],
)
settings.register_profile("long", settings.get_profile("default"), max_examples=2000)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "default"))


@pytest.fixture(scope="session", autouse=True)
def _quick_flush() -> Iterator[None]:
    """What Django does after a test whose commits were real takes very long."""

    def empty_all(case: TransactionTestCase) -> None:
        for alias in case._databases_names(include_mirrors=False):  # type: ignore[attr-defined]
            empty(connections[alias])

    with patch.object(TransactionTestCase, "_fixture_teardown", empty_all):
        yield


@pytest.fixture(scope="session")
def sessions_end(
    django_db_setup: None, django_db_blocker: DjangoDbBlocker
) -> Iterator[None]:
    """Wait for the server to notice what was killed: before that the test database
    cannot be dropped."""
    yield
    with django_db_blocker.unblock():
        wait_for_sessions()
