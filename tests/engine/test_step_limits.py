"""Limits of steps: how many at once, and how often, over all workers."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from typing import Any

import pytest
from django.db import connection

from django_workflows import start, step, workflow
from django_workflows.models import Run, Step
from django_workflows.store import due
from django_workflows.testing import WorkflowTester

began: list[Any] = []
most: list[int] = []


@pytest.fixture(autouse=True)
def _fresh() -> Iterator[None]:
    yield
    began.clear()
    most.clear()


@step(max_concurrency=2)
def narrow(number: int) -> int:
    began.append(number)
    most.append(Step.objects.filter(status="running", name=narrow.name).count())
    return number


@workflow
async def narrow_all(*numbers: int) -> list[int]:
    return await asyncio.gather(*[narrow(number) for number in numbers])


def test_no_more_run_at_once_than_the_limit(workflows: WorkflowTester) -> None:
    assert workflows.run(narrow_all, *range(7)) == [*range(7)]
    assert began == [*range(7)]
    assert max(most) == 2
