"""Bulk actions: each run by itself, its refusal reported."""

from __future__ import annotations

from typing import Any
from unittest.mock import patch

import pytest
from asgiref.sync import async_to_sync

from django_workflows import (
    InvalidRunStateError,
    WorkflowRunNotFoundError,
    acancel_runs,
    aretry_runs,
    aterminate_runs,
    cancel_runs,
    retry_runs,
    sleep,
    start,
    start_many,
    step,
    terminate_runs,
    workflow,
)
from django_workflows.models import Run
from django_workflows.store.control import bulk
from django_workflows.testing import WorkflowTester
from tests.engine.transactions import rolled_back

log: list[str] = []


@step
def note(text: str) -> None:
    log.append(text)


@workflow
async def sleeping(number: int) -> int:
    try:
        await sleep("1h")
    finally:
        await note("clean")
    return number


@workflow
async def quick() -> str:
    return "done"


@pytest.fixture
def runs(workflows: WorkflowTester) -> list[Run]:
    """Five runs asleep, one that has completed, one that has not begun."""
    log.clear()
    runs = start_many(sleeping, [(number,) for number in range(5)])
    runs.append(start(quick))
    workflows.run_until_idle()
    runs.append(sleeping.options(delay="1d").start(6))
    return runs


def statuses(runs: list[Run]) -> list[str]:
    return [Run.objects.get(pk=run.pk).status for run in runs]


@pytest.mark.parametrize("batch", [1, 2, 500])
def test_cancelling_many(
    workflows: WorkflowTester, runs: list[Run], batch: int
) -> None:
    with patch.object(bulk, "BATCH", batch):
        result = cancel_runs(Run.objects.all(), "all of them")
    completed = runs[5]
    assert result.done == sorted(r.pk for r in runs if r is not completed)
    assert list(result.refused) == [completed.pk]
    assert isinstance(result.refused[completed.pk], InvalidRunStateError)
    workflows.run_until_idle()
    assert statuses(runs) == ["cancelled"] * 5 + ["completed", "cancelled"]
    assert log == ["clean"] * 5
    requests = [e for e in runs[0].history() if e.type == "cancel_requested"]
    assert requests[0].data == {"reason": "all of them"}


@pytest.mark.parametrize("batch", [1, 3, 500])
def test_a_queryset_that_the_action_empties(
    workflows: WorkflowTester, runs: list[Run], batch: int
) -> None:
    with patch.object(bulk, "BATCH", batch):
        result = terminate_runs(Run.objects.open().for_workflow(sleeping), "enough")
    assert len(result.done) == 6
    assert result.refused == {}
    assert statuses(runs) == ["terminated"] * 5 + ["completed", "terminated"]
    assert log == []


def test_a_sliced_and_ordered_queryset(
    workflows: WorkflowTester, runs: list[Run]
) -> None:
    result = terminate_runs(Run.objects.order_by("-created_at", "-id")[:2])
    assert len(result.done) + len(result.refused) == 2
    assert statuses(runs).count("terminated") == len(result.done)


def test_a_run_that_is_gone_stops_none_of_the_others(
    workflows: WorkflowTester, runs: list[Run]
) -> None:
    gone = min(run.pk for run in runs)

    def delete(run: Run) -> None:
        if run.pk == gone:
            Run.objects.filter(pk=gone).delete()
        run.terminate()

    result = bulk.for_each(Run.objects.open(), delete)
    assert isinstance(result.refused[gone], WorkflowRunNotFoundError)
    assert len(result.done) == 5


def test_in_a_transaction_all_are_done_or_none(
    workflows: WorkflowTester, runs: list[Run]
) -> None:
    before = statuses(runs)

    with rolled_back():
        assert len(terminate_runs(Run.objects.all()).refused) == 1
    assert statuses(runs) == before


def test_retrying_many(workflows: WorkflowTester, runs: list[Run]) -> None:
    cancel_runs(Run.objects.filter(pk__in=[run.pk for run in runs[:3]]))
    workflows.run_until_idle()
    result = retry_runs(Run.objects.all())
    assert result.done == sorted(run.pk for run in runs[:3])
    assert len(result.refused) == 4
    workflows.advance("1h")
    assert [run.result() for run in runs[:5]] == [0, 1, 2, 3, 4]


def test_async_twins(workflows: WorkflowTester, runs: list[Run]) -> None:
    result: Any = async_to_sync(acancel_runs)(Run.objects.open()[:1])
    assert len(result.done) == 1
    result = async_to_sync(aretry_runs)(Run.objects.filter(pk=runs[5].pk))
    assert list(result.refused) == [runs[5].pk]
    result = async_to_sync(aterminate_runs)(Run.objects.filter(pk=runs[5].pk))
    assert list(result.refused) == [runs[5].pk]


def test_no_runs(workflows: WorkflowTester) -> None:
    assert cancel_runs(Run.objects.none()) == bulk.BulkResult([], {})
