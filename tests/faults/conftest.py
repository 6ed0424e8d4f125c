"""Fixtures of the fault tests."""

from __future__ import annotations

import logging
from collections.abc import Iterator

import pytest


@pytest.fixture(autouse=True)
def _no_news_of_the_dead() -> Iterator[None]:
    """Hundreds of workers die here: their log lines would hide all others."""
    logger = logging.getLogger("django_workflows.store")
    level = logger.level
    logger.setLevel(logging.ERROR)
    yield
    logger.setLevel(level)
