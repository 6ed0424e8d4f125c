"""Fixtures for every test."""

from __future__ import annotations

import os
from collections.abc import Iterator
from unittest.mock import patch

import pytest
from django.db import connection, connections
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
PROFILE = os.environ.get("HYPOTHESIS_PROFILE", "default")
settings.load_profile(PROFILE)

#: What takes long and is much the same on each database is tried on one of them, the
#: one on which it finds more: what pages and browsers show on the quickest, what
#: processes do to each other on the one with a server.
_ON_ONE_DATABASE = {
    "sqlite": (
        *(
            f"tests/admin/test_{name}.py"
            for name in (
                *("access", "bulk", "definitions", "hooks", "markup", "numbers"),
                *("projects", "questions", "schedules", "secrets", "start"),
                *("steering", "steering_pages", "steps_panel", "streams_panel"),
            )
        ),
        "tests/browser/",
        "tests/docs/",
        "tests/faults/processes/test_timeouts.py",
    ),
    "postgresql": (
        "tests/api/test_openapi_conformance.py",
        "tests/faults/processes/test_processes.py",
        "tests/push/test_daphne.py",
        "tests/rehearsal/",
        "tests/webhooks/test_processes.py",
    ),
}
#: What lets a test touch the database, besides the mark `django_db`.
_DATABASE_FIXTURES = {"db", "transactional_db", "live_server"}


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--needs-database",
        action="store_true",
        help="run only tests that ask for a database: pytest-django lets the others "
        "touch none, so they come to the same whichever there is",
    )


def pytest_collection_modifyitems(
    config: pytest.Config, items: list[pytest.Item]
) -> None:
    """Leave out what `--needs-database` says; who digs deeper has the time for it."""
    for item in items:
        if PROFILE == "long":
            item.add_marker(pytest.mark.timeout(0))
        for vendor, places in _ON_ONE_DATABASE.items():
            if item.nodeid.startswith(places) and connection.vendor != vendor:
                item.add_marker(pytest.mark.skip(f"is tried on {vendor} only"))
    if config.getoption("--needs-database"):
        others = [item for item in items if not _asks_for_database(item)]
        items[:] = [item for item in items if _asks_for_database(item)]
        config.hook.pytest_deselected(items=others)


def pytest_sessionfinish(session: pytest.Session, exitstatus: int) -> None:
    """Where none of the chosen tests asks for a database, nothing has failed."""
    is_empty = exitstatus == pytest.ExitCode.NO_TESTS_COLLECTED
    if is_empty and session.config.getoption("--needs-database"):
        session.exitstatus = pytest.ExitCode.OK


def _asks_for_database(item: pytest.Item) -> bool:
    if item.get_closest_marker("django_db") is not None:
        return True
    return not _DATABASE_FIXTURES.isdisjoint(getattr(item, "fixturenames", ()))


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
