"""The testing kit itself: what a project's tests rely on."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from typing import Any

import pytest
from django.db import connections

from django_workflows import (
    FatalError,
    NonDeterminismError,
    WorkflowRunFailedError,
    create_hook,
    now,
    sleep,
    start,
    step,
    workflow,
)
from django_workflows.models import Run, Step
from django_workflows.store.database import connection, database_time, to_datetime
from django_workflows.testing import WorkflowTester


@step
def charge(order: int) -> dict[str, Any]:
    raise AssertionError("tests do not charge")


@step
async def ship(order: int) -> str:
    raise AssertionError("tests do not ship")


@step
def plain(value: int) -> int:
    return value


class Shop:
    """With a step as a method."""

    @step
    @classmethod
    def open(cls, name: str) -> str:
        raise AssertionError("tests do not open shops")


@workflow
async def ordering(order: int) -> Any:
    return [await charge(order), await ship(order)]


@step
def connect() -> int:
    return id(connections["default"])


@workflow
async def connecting() -> int:
    return await connect()


@workflow
async def waiting() -> Any:
    return await create_hook(token="t")


@workflow
async def sleeping() -> Any:
    begun = now()
    await sleep("3d")
    return now() - begun


@workflow
async def opening() -> Any:
    return await Shop.open("corner")


def test_a_mock_takes_the_place_of_a_step(workflows: WorkflowTester) -> None:
    charged = workflows.mock_step(charge, return_value={"id": "ch_1"})
    shipped = workflows.mock_step(ship, return_value="parcel")
    assert workflows.run(ordering, 42) == [{"id": "ch_1"}, "parcel"]
    charged.assert_called_once_with(42)
    shipped.assert_called_once_with(42)


def test_a_mock_may_raise_and_is_retried(workflows: WorkflowTester) -> None:
    mock = workflows.mock_step(charge, side_effect=[ValueError("once"), {"id": 2}])
    workflows.mock_step(ship, side_effect=lambda order: f"parcel {order}")
    assert workflows.run(ordering, 1) == [{"id": 2}, "parcel 1"]
    assert mock.call_count == 2
    assert Step.objects.get(name=charge.name).attempt == 2


def test_a_mock_may_fail_the_run(workflows: WorkflowTester) -> None:
    workflows.mock_step(charge, side_effect=FatalError("no"))
    with pytest.raises(WorkflowRunFailedError) as failure:
        workflows.run(ordering, 1)
    assert isinstance(failure.value.cause, FatalError)


def test_a_mock_of_a_classmethod_is_given_the_class(workflows: WorkflowTester) -> None:
    mock = workflows.mock_step(Shop.open, return_value="open")
    assert workflows.run(opening) == "open"
    mock.assert_called_once_with(Shop, "corner")


def test_a_mock_survives_a_crash(workflows: WorkflowTester) -> None:
    workflows.mock_step(charge, return_value={})
    workflows.mock_step(ship, return_value="parcel")
    run = start(ordering, 1)
    workflows.crash()
    workflows.run_until_idle()
    assert run.result() == [{}, "parcel"]


def test_mocks_end_with_the_test(workflows: WorkflowTester) -> None:
    with pytest.raises(WorkflowRunFailedError) as failure:
        workflows.run(ordering, 1)
    assert isinstance(failure.value.cause, AssertionError)


def test_run_skips_time(workflows: WorkflowTester) -> None:
    begun = workflows.now
    assert workflows.run(sleeping) == timedelta(days=3)
    assert workflows.now == begun + timedelta(days=3)


def test_run_until_idle_never_skips_time(workflows: WorkflowTester) -> None:
    begun = workflows.now
    run = workflows.start(sleeping)
    workflows.run_until_idle()
    assert workflows.now == begun
    run.refresh_from_db()
    assert not run.is_closed


def test_the_time_of_the_database_is_that_of_the_kit(
    workflows: WorkflowTester,
) -> None:
    workflows.advance("100d")
    assert to_datetime(database_time(connection())) == workflows.now


def test_run_says_what_a_run_waits_for(workflows: WorkflowTester) -> None:
    with pytest.raises(RuntimeError, match="hook 't'"):
        workflows.run(waiting)


@workflow
async def endless() -> None:
    while True:
        await asyncio.sleep(0)


def test_code_that_does_not_come_to_an_end_is_interrupted(
    workflows: WorkflowTester, settings: Any
) -> None:
    settings.WORKFLOWS = {"BURST_TIMEOUT": "100ms"}
    run = start(endless)
    other = start(waiting)
    workflows.run_until_idle()
    run.refresh_from_db()
    assert not run.is_closed
    assert "BURST_TIMEOUT" in run.blocked_reason
    other.refresh_from_db()
    assert other.is_waiting


def test_runs_by_a_plain_start_are_picked_up(workflows: WorkflowTester) -> None:
    workflows.mock_step(charge, return_value={})
    workflows.mock_step(ship, return_value="parcel")
    runs = [
        start(ordering, 1),
        ordering.options(queue="eu").start(2),
        ordering.start(3),
    ]
    workflows.run_until_idle()
    assert [run.result() for run in runs] == [[{}, "parcel"]] * 3


def test_assert_replays_accepts_open_and_closed_runs(
    workflows: WorkflowTester,
) -> None:
    workflows.mock_step(charge, return_value={})
    workflows.mock_step(ship, return_value="parcel")
    closed, open_, fresh = start(ordering, 1), start(sleeping), start(waiting)
    workflows.assert_replays(fresh)
    workflows.run_until_idle()
    for run in (closed, open_, fresh):
        workflows.assert_replays(run)


def test_assert_replays_notices_other_code(
    workflows: WorkflowTester, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def other() -> Any:
        return await plain(1)

    run = start(sleeping)
    workflows.run_until_idle()
    monkeypatch.setattr(sleeping, "func", other)
    with pytest.raises(NonDeterminismError):
        workflows.assert_replays(run)


def test_crash_without_anything_in_flight(workflows: WorkflowTester) -> None:
    workflows.crash()
    workflows.crash()
    assert workflows.run(sleeping) == timedelta(days=3)


@pytest.mark.django_db(transaction=True)
def test_the_kit_works_without_a_surrounding_transaction(
    workflows: WorkflowTester,
) -> None:
    run = workflows.start(sleeping)
    workflows.run_until_idle()
    workflows.crash()
    workflows.advance("3d")
    assert run.result() == timedelta(days=3)


@pytest.mark.django_db(transaction=True)
def test_steps_have_the_tests_connection_while_an_event_loop_runs(
    workflows: WorkflowTester, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As with Playwright, whose loop runs on the thread of the test."""
    monkeypatch.setenv("DJANGO_ALLOW_ASYNC_UNSAFE", "1")

    async def browse() -> None:
        run = start(connecting)
        workflows.run_until_idle()
        assert run.result() == id(connections["default"])
        connections.close_all()

    asyncio.run(browse())


def test_tests_do_not_see_each_others_runs(workflows: WorkflowTester) -> None:
    assert not Run.objects.exists()


def test_the_tester_is_a_context_manager(db: None) -> None:
    with WorkflowTester() as workflows:
        assert workflows.run(sleeping) == timedelta(days=3)
    before = database_time(connection())
    assert abs(before - database_time(connection())) < 60_000_000
