"""Fixtures for every test."""

from __future__ import annotations

import gc
import os
import signal
from collections.abc import Generator, Iterator
from threading import current_thread, main_thread
from typing import Any
from unittest.mock import patch

import pytest
from django.db import connections
from django.test import TransactionTestCase
from hypothesis import HealthCheck, settings
from pytest_django import DjangoDbBlocker

from tests.clocks import HandClock, attempt_clock_by_hand
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

#: Seconds after which a test that took too long, and is still not over, is told again.
INTERRUPTED_AGAIN = 60

#: What lets a test touch the database, besides the mark `django_db`.
_DATABASE_FIXTURES = {"db", "transactional_db", "live_server"}


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--needs-database",
        action="store_true",
        help="run only tests that ask for a database: pytest-django lets the others "
        "touch none, so they come to the same whichever there is",
    )


@pytest.hookimpl(wrapper=True)
def pytest_collection() -> Generator[None, object, object]:
    """Thousands of tests are made, which stay to the end: whoever collects garbage need
    not look at them again and again."""
    gc.disable()
    try:
        return (yield)
    finally:
        gc.enable()
        gc.freeze()


def pytest_collection_modifyitems(
    config: pytest.Config, items: list[pytest.Item]
) -> None:
    """Leave out what `--needs-database` says; who digs deeper has the time for it."""
    for item in items:
        if PROFILE == "long":
            item.add_marker(pytest.mark.timeout(0))
    if config.getoption("--needs-database"):
        others = [item for item in items if not _asks_for_database(item)]
        items[:] = [item for item in items if _asks_for_database(item)]
        config.hook.pytest_deselected(items=others)


@pytest.hookimpl(wrapper=True)
def pytest_timeout_set_timer(
    item: pytest.Item, settings: Any
) -> Generator[None, object, object]:
    """A test whose code swallows what ends it is interrupted again and again."""
    answer = yield
    if settings.method == "signal" and current_thread() is main_thread():
        signal.setitimer(signal.ITIMER_REAL, settings.timeout, INTERRUPTED_AGAIN)
    return answer


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


@pytest.fixture
def attempt_clock() -> Iterator[HandClock]:
    """Attempts are late, or too long silent, by this clock, which stands still."""
    with attempt_clock_by_hand() as clock:
        yield clock


@pytest.fixture(scope="session")
def sessions_end(
    django_db_setup: None, django_db_blocker: DjangoDbBlocker
) -> Iterator[None]:
    """Wait for the server to notice what was killed: before that the test database
    cannot be dropped."""
    yield
    with django_db_blocker.unblock():
        wait_for_sessions()
