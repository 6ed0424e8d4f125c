"""Sagas in whole runs: through crashes, and when the run is cancelled."""

from __future__ import annotations

import asyncio
from decimal import Decimal

import pytest

from django_workflows import (
    WorkflowRunCancelledError,
    WorkflowRunFailedError,
    continue_as_new,
    get_step_metadata,
    saga,
    sleep,
    start_child,
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


@workflow
async def leg(left: int) -> int:
    async with saga() as s:
        s.compensate(unbook, f"leg {left}")
        await book(f"leg {left}")
        if left:
            continue_as_new(left - 1)
    return left


def test_going_on_as_a_new_run_is_no_failure(workflows: WorkflowTester) -> None:
    run = workflows.start(leg, 1)
    workflows.run_until_idle()
    assert run.result() == 0
    assert entries() == ["+ leg 1", "+ leg 0"]


def test_retried_saga_is_as_if_it_had_not_failed(workflows: WorkflowTester) -> None:
    """What the compensations did is not undone: they take effect again at the end."""
    run = workflows.start(trip, "refuses")
    workflows.advance("1h")
    assert entries()[3:] == ["- insurance", "- car", "- hotel", "- flight"]
    run.retry()
    workflows.advance("1h")
    with pytest.raises(WorkflowRunFailedError):
        run.result()
    assert entries()[7:] == ["- insurance", "- car", "- hotel", "- flight"]
    workflows.assert_replays(run)


tried: list[str] = []


@step
def unbook_at_the_third_attempt(what: str) -> None:
    attempt = get_step_metadata().attempt
    tried.append(f"{what} {attempt}")
    if attempt < 3:
        raise ConnectionError(what)


@workflow
async def unbooking(what: str) -> None:
    await unbook(what)


async def unbook_in_time(what: str) -> None:
    await start_child(unbooking, what)
    await sleep("1h")
    await unbook(f"{what} again")


@workflow
async def with_long_compensations() -> None:
    async with saga() as s:
        s.compensate(unbook_at_the_third_attempt, "flight")
        await book("flight")
        s.compensate(unbook_in_time, "hotel")
        await book("hotel")
        async with asyncio.timeout(60):
            await sleep("1d")


@pytest.mark.parametrize("how", ["time-out", "cancel", "terminate", "deadline"])
def test_compensations_take_retries_children_and_time(
    workflows: WorkflowTester, how: str
) -> None:
    """Nothing is undone when the run is ended from outside: no code of it runs."""
    tried.clear()
    timeout = "30s" if how == "deadline" else None
    run = workflows.start(with_long_compensations.options(timeout=timeout))
    workflows.run_until_idle()
    if how in ("cancel", "terminate"):
        getattr(run, how)()
    workflows.advance("61s")
    workflows.crash()
    workflows.advance("2h")
    run.refresh_from_db()
    undone = how in ("time-out", "cancel")
    assert tried == ([f"flight {n}" for n in (1, 2, 3)] if undone else [])
    assert entries()[2:] == (["- hotel", "- hotel again"] if undone else [])
    ends = {"time-out": "failed", "cancel": "cancelled", "terminate": "terminated"}
    assert run.status == ends.get(how, "timed_out")
    assert isinstance(run.error, TimeoutError) == (how == "time-out")
    workflows.assert_replays(run)
