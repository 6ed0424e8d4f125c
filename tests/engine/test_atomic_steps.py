"""``@step(atomic=True)``: effects and completion commit together."""

from __future__ import annotations

from typing import Any

import pytest
from django.db import connection, transaction
from django.db.models import F
from django.db.utils import OperationalError

from django_workflows import (
    WorkflowRunFailedError,
    get_step_metadata,
    resume_hook,
    start,
    step,
    workflow,
)
from django_workflows.models import Run, Step
from django_workflows.testing import WorkflowTester
from tests.app.models import Ledger, Marker
from tests.engine.faults import Crash, crash_in_body
from tests.engine.threads import in_thread

needs_postgresql = pytest.mark.skipif(
    connection.vendor != "postgresql", reason="no transaction gives way like that"
)
#: The attempts of bodies that were begun.
seen: list[int] = []


@pytest.fixture(autouse=True)
def _fresh() -> None:
    seen.clear()


@step(atomic=True)
def book(account: str, amount: int = 1) -> int:
    Ledger.objects.create(account=account, amount=amount)
    crash_in_body("book")
    return Ledger.objects.filter(account=account).count()


@step(atomic=True, max_retries=2)
def book_and_fail(account: str, failures: int) -> int:
    Ledger.objects.create(account=account)
    if get_step_metadata().attempt <= failures:
        raise ValueError("after the write")
    return Ledger.objects.filter(account=account).count()


@step(atomic=True)
def book_nonsense() -> Any:
    Ledger.objects.create(account="a")
    return object()


@step(atomic=True, max_retries=0)
def book_then_commit() -> None:
    Ledger.objects.create(account="a")
    transaction.commit()


@step(atomic=True)
def start_another() -> str:
    return start(simple_child).pk


@step(atomic=True, max_retries=1)
def start_another_and_fail() -> str:
    run = start(simple_child)
    if get_step_metadata().attempt == 1:
        raise ValueError("rolled back with the start")
    return run.pk


@step(atomic=True)
def leave_marks_in_a_savepoint() -> int:
    Marker.objects.create(name="kept")
    with transaction.atomic():
        Marker.objects.create(name="undone")
        transaction.set_rollback(True)
    return Marker.objects.count()


@step(atomic=True, max_retries=0)
def meet_another(times: int) -> int:
    """Writes to a row that somebody else has written to since it was read."""
    seen.append(get_step_metadata().attempt)
    with connection.cursor() as cursor:
        cursor.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ")
    row = Ledger.objects.get(account="a")
    if len(seen) <= times:
        in_thread(add_one)
    add_one()
    start(simple_child)
    return int(row.amount)


def add_one() -> None:
    Ledger.objects.filter(account="a").update(amount=F("amount") + 1)


@step
def count(account: str) -> int:
    return Ledger.objects.filter(account=account).count()


@workflow
async def meeting_another(times: int) -> int:
    return await meet_another(times)


@workflow
async def simple_child() -> str:
    return "child"


@workflow
async def booking(times: int = 1) -> list[int]:
    return [await book("a") for _ in range(times)]


@workflow
async def booking_and_counting() -> Any:
    return [await book("a"), await count("a")]


@workflow
async def failing_first(failures: int) -> int:
    return await book_and_fail("a", failures)


@workflow
async def booking_nonsense() -> Any:
    return await book_nonsense()


@workflow
async def committing_inside() -> None:
    await book_then_commit()


@workflow
async def starting_another(fail: bool) -> str:
    return await (start_another_and_fail() if fail else start_another())


@workflow
async def with_savepoint() -> int:
    return await leave_marks_in_a_savepoint()


def test_effects_and_completion_are_stored(workflows: WorkflowTester) -> None:
    assert workflows.run(booking, 3) == [1, 2, 3]
    assert Ledger.objects.count() == 3
    assert set(Step.objects.values_list("status", flat=True)) == {"completed"}


def test_effects_are_visible_to_later_steps(workflows: WorkflowTester) -> None:
    assert workflows.run(booking_and_counting) == [1, 1]


def test_an_error_rolls_the_effects_back(workflows: WorkflowTester) -> None:
    assert workflows.run(failing_first, 2) == 1
    assert Ledger.objects.count() == 1


def test_a_step_that_fails_for_good_leaves_nothing(workflows: WorkflowTester) -> None:
    with pytest.raises(WorkflowRunFailedError):
        workflows.run(failing_first, 10)
    assert not Ledger.objects.exists()
    assert Step.objects.get().status == "failed"


@needs_postgresql
@pytest.mark.django_db(transaction=True)
def test_a_transaction_that_gave_way_is_begun_again_in_the_same_attempt(
    workflows: WorkflowTester,
) -> None:
    Ledger.objects.create(account="a", amount=10)
    assert workflows.run(meeting_another, 3) == 13
    assert seen == [1, 1, 1, 1]
    assert Ledger.objects.get().amount == 14
    assert Run.objects.for_workflow(simple_child).count() == 1


@needs_postgresql
@pytest.mark.django_db(transaction=True)
def test_a_transaction_that_always_gives_way_fails_its_attempt(
    workflows: WorkflowTester,
) -> None:
    Ledger.objects.create(account="a", amount=10)
    with pytest.raises(WorkflowRunFailedError) as failure:
        workflows.run(meeting_another, 1000)
    assert isinstance(failure.value.cause, OperationalError)
    assert seen == [1] * 5


def test_a_result_that_cannot_be_stored_rolls_back(workflows: WorkflowTester) -> None:
    with pytest.raises(WorkflowRunFailedError, match="result"):
        workflows.run(booking_nonsense)
    assert not Ledger.objects.exists()


@pytest.mark.django_db(transaction=True)
def test_a_commit_inside_is_refused(workflows: WorkflowTester) -> None:
    with pytest.raises(WorkflowRunFailedError) as failure:
        workflows.run(committing_inside)
    assert isinstance(failure.value.cause, transaction.TransactionManagementError)
    assert not Ledger.objects.exists()


def test_a_savepoint_inside_may_roll_back(workflows: WorkflowTester) -> None:
    assert workflows.run(with_savepoint) == 1


def test_a_start_inside_is_part_of_it(workflows: WorkflowTester) -> None:
    child = workflows.run(starting_another, False)
    workflows.run_until_idle()
    assert Run.objects.get(pk=child).result() == "child"


def test_a_start_inside_is_rolled_back_with_it(workflows: WorkflowTester) -> None:
    child = workflows.run(starting_another, True)
    assert Run.objects.for_workflow(simple_child).get().pk == child


def test_a_crash_in_the_body_runs_it_again_once(workflows: WorkflowTester) -> None:
    run = start(booking, 2)
    with Crash.in_body("book"):
        workflows.run_until_idle()
    assert not Ledger.objects.exists()
    workflows.crash()
    workflows.run_until_idle()
    assert run.result() == [1, 2]
    assert Ledger.objects.count() == 2


def test_a_crash_after_the_commit_does_not_run_it_again(
    workflows: WorkflowTester,
) -> None:
    run = start(booking, 2)
    with Crash.at("step.after_body"):
        workflows.run_until_idle()
    assert Ledger.objects.count() == 1
    workflows.crash()
    workflows.run_until_idle()
    assert run.result() == [1, 2]
    assert Ledger.objects.count() == 2


def test_an_attempt_ended_by_somebody_else_is_rolled_back(
    workflows: WorkflowTester,
) -> None:
    run = start(booking_cancelled_meanwhile)
    workflows.run_until_idle()
    run.refresh_from_db()
    assert run.status == "running"
    assert not Ledger.objects.exists()
    resume_hook("go-on", None)
    workflows.run_until_idle()
    assert run.result() == "done"


@step(atomic=True)
def book_while_cancelled() -> None:
    Ledger.objects.create(account="a")
    # What another process does meanwhile: here on the same connection.
    Step.objects.filter(pk=get_step_metadata().step_id).update(status="cancelled")


@workflow
async def booking_cancelled_meanwhile() -> str:
    from django_workflows import create_hook, race

    await race(book_while_cancelled(), create_hook("go-on"))
    return "done"
