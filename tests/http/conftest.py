"""A server on loopback, and the permission to ask it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from django.conf import settings
from django.test import override_settings

from tests.http.server import Server, serving


def with_workflows(**changed: Any) -> override_settings:
    """Other values in the setting WORKFLOWS."""
    given = getattr(settings, "WORKFLOWS", {})
    return override_settings(WORKFLOWS={**given, **changed})


@pytest.fixture
def allow_private() -> Iterator[None]:
    with with_workflows(FETCH_ALLOW_PRIVATE=True):
        yield


@pytest.fixture
def server(allow_private: None) -> Iterator[Server]:
    with serving() as server:
        yield server
