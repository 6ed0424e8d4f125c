"""Runs that several tests of the console look at."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from django_workflows import get_run, start
from django_workflows.models import Run
from django_workflows.testing import WorkflowTester
from tests.admin import panels


@pytest.fixture
def shopping(workflows: WorkflowTester) -> Run:
    """A run of `panels.shop` that has tried again, slept, and waits since its 17th
    second for a hook."""
    run = start(panels.shop)
    workflows.run_until_idle()
    for _ in range(20):
        workflows.advance("1s")
    return get_run(run.pk)


@pytest.fixture
def broken() -> Iterator[set[str]]:
    """What `panels.maybe` fails for."""
    yield panels.broken
    panels.broken.clear()
