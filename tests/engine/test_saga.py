"""Sagas in whole runs: through crashes, and when the run is cancelled."""

from __future__ import annotations

from decimal import Decimal

import pytest

from django_workflows import (
    WorkflowRunCancelledError,
    WorkflowRunFailedError,
    saga,
    sleep,
    step,
    workflow,
)
from django_workflows.models import Run
from django_workflows.testing import WorkflowTester
from tests.app.models import Ledger

pytestmark = pytest.mark.django_db


@step(atomic=True)
def book(what: str) -> None:
    Ledger.objects.create(account=what, amount=Decimal(1))


@step(atomic=True)
def unbook(what: str) -> None:
    Ledger.objects.create(account=what, amount=Decimal(-1))


@step(max_retries=0)
def refuse(message: str) -> None:
    raise ValueError(message)


@workflow
async def trip(last: str) -> None:
    async with saga() as s:
        for part in ("flight", "hotel", "car"):
            s.compensate(unbook, part)
            await book(part)
            await sleep("1m")
        s.compensate(refuse if last == "refuses twice" else unbook, "insurance")
        await refuse("no insurance") if last else await sleep("1d")


def entries() -> list[str]:
    rows = Ledger.objects.order_by("pk").values_list("account", "amount")
    return [f"{'+' if amount > 0 else '-'} {account}" for account, amount in rows]


def test_failed_saga_is_undone_once_through_crashes(workflows: WorkflowTester) -> None:
    run = workflows.start(trip, "refuses")
    for _ in range(6):
        workflows.advance("30s")
        workflows.crash()
        workflows.run_until_idle()
    with pytest.raises(WorkflowRunFailedError, match="no insurance"):
        run.result()
    booked = ["+ flight", "+ hotel", "+ car"]
    assert entries() == [*booked, "- insurance", "- car", "- hotel", "- flight"]
    workflows.assert_replays(run)


def test_failed_compensations_end_the_run_with_a_group(
    workflows: WorkflowTester,
) -> None:
    run = workflows.start(trip, "refuses twice")
    workflows.advance("1h")
    with pytest.raises(WorkflowRunFailedError) as failed:
        run.result()
    group = failed.value.cause
    assert isinstance(group, ExceptionGroup)
    assert [str(error) for error in group.exceptions] == ["no insurance", "insurance"]
    assert entries()[3:] == ["- car", "- hotel", "- flight"]
    names = [e.data.get("name", "") for e in run.history() if e.type == "step_created"]
    assert sum(name.endswith("refuse") for name in names) == 2


def test_cancelled_saga_is_undone(workflows: WorkflowTester) -> None:
    run = workflows.start(trip, "")
    workflows.advance("90s")
    run.cancel()
    workflows.run_until_idle()
    with pytest.raises(WorkflowRunCancelledError):
        run.result()
    assert entries() == ["+ flight", "+ hotel", "- hotel", "- flight"]
    assert Run.objects.get().status == "cancelled"
    workflows.assert_replays(run)
