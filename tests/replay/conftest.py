"""Every run of a test is closed with it, as a worker closes what it drops."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.replay import driver


@pytest.fixture(autouse=True)
def _close_executions() -> Iterator[None]:
    yield
    driver.close_all()
