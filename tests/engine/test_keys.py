"""Idempotency keys and what happens when one is held already."""

from __future__ import annotations

import pytest
from django.db import connection, transaction

from django_workflows import DuplicateRunError, create_hook, start, workflow
from django_workflows.models import Event, Run
from django_workflows.testing import WorkflowTester
from tests.app.models import Marker
from tests.engine.threads import in_threads
from tests.engine.transactions import rolled_back


@workflow
async def echo(value: int) -> int:
    return value


@workflow
async def other_echo(value: int) -> int:
    return value


@workflow
async def failing() -> None:
    raise ValueError("no")


@workflow
async def waiting(token: str) -> object:
    return await create_hook(token=token)


def test_the_same_key_gives_the_same_run(workflows: WorkflowTester) -> None:
    keyed = echo.options(key="order-42")
    first, second = keyed.start(1), keyed.start(2)
    assert first == second
    assert second.args == (1,)
    assert (second.key, second.status) == ("order-42", "pending")
    assert Run.objects.count() == 1


def test_a_key_is_kept_after_the_run_has_completed(workflows: WorkflowTester) -> None:
    keyed = echo.options(key="k")
    first = keyed.start(1)
    workflows.run_until_idle()
    again = keyed.start(2)
    assert again == first
    assert again.result() == 1


def test_a_key_is_per_workflow(workflows: WorkflowTester) -> None:
    one = echo.options(key="k").start(1)
    two = other_echo.options(key="k").start(2)
    assert one != two


def test_keys_are_compared_exactly(workflows: WorkflowTester) -> None:
    keys = ["k", "K", "k ", "ḱ", "ß", "ss", "SS"]
    runs = {echo.options(key=key).start(1).pk for key in keys}
    assert len(runs) == len(keys)
    assert set(Run.objects.values_list("key", flat=True)) == set(keys)


def test_runs_without_a_key_do_not_collide(workflows: WorkflowTester) -> None:
    assert start(echo, 1) != start(echo, 1)


@pytest.mark.parametrize("closed", [False, True])
def test_reject_raises_and_names_the_holder(
    workflows: WorkflowTester, closed: bool
) -> None:
    keyed = echo.options(key="k", on_conflict="reject")
    first = keyed.start(1)
    if closed:
        workflows.run_until_idle()
    with transaction.atomic():
        with pytest.raises(DuplicateRunError) as refusal:
            keyed.start(2)
        assert Run.objects.count() == 1  # the caller's block goes on
    assert refusal.value.run_id == first.pk


def test_restart_closed_returns_an_open_run(workflows: WorkflowTester) -> None:
    keyed = echo.options(key="k", on_conflict="restart_closed")
    assert keyed.start(1) == keyed.start(2)


def test_restart_closed_starts_after_any_end(workflows: WorkflowTester) -> None:
    keyed = echo.options(key="k", on_conflict="restart_closed")
    first = keyed.start(1)
    workflows.run_until_idle()
    second = keyed.start(2)
    workflows.run_until_idle()
    assert first != second
    assert (first.result(), second.result()) == (1, 2)
    assert keyed.start(3) not in (first, second)
    assert echo.options(key="k").start(4).args == (3,)
    first.refresh_from_db()
    assert first.key == "k"  # history; no longer what is unique
    assert first.key_held is None


def test_restart_closed_after_a_failure(workflows: WorkflowTester) -> None:
    keyed = failing.options(key="k", on_conflict="restart_closed")
    first = keyed.start()
    workflows.run_until_idle()
    assert keyed.start() != first


def test_terminate_existing_ends_the_open_run(workflows: WorkflowTester) -> None:
    keyed = waiting.options(key="k", on_conflict="terminate_existing")
    first = keyed.start("t")
    workflows.run_until_idle()
    second = keyed.start("t")
    workflows.run_until_idle()
    first.refresh_from_db()
    second.refresh_from_db()
    assert (first.status, second.status) == ("terminated", "running")
    assert first.history()[-1].type == "run_terminated"
    # The terminated run has let go of its token, too.
    assert second.hooks.get().token == "t"


def test_terminate_existing_starts_after_a_closed_run(
    workflows: WorkflowTester,
) -> None:
    keyed = echo.options(key="k", on_conflict="terminate_existing")
    first = keyed.start(1)
    workflows.run_until_idle()
    second = keyed.start(2)
    first.refresh_from_db()
    assert first.status == "completed"
    assert second.pk != first.pk


def test_terminate_existing_is_undone_by_a_rollback(workflows: WorkflowTester) -> None:
    keyed = echo.options(key="k", on_conflict="terminate_existing")
    first = keyed.start(1)
    with rolled_back():
        keyed.start(2)
    workflows.run_until_idle()
    assert first.result() == 1
    assert Run.objects.get() == first


def test_a_key_whose_start_was_rolled_back_is_free(workflows: WorkflowTester) -> None:
    keyed = echo.options(key="k", on_conflict="reject")
    with rolled_back():
        keyed.start(1)
    assert keyed.start(2).args == (2,)


def test_a_conflict_does_not_break_the_callers_transaction(
    workflows: WorkflowTester,
) -> None:
    keyed = echo.options(key="k")
    keyed.start(1)
    with transaction.atomic():
        Marker.objects.create(name="mine")
        keyed.start(2)
        Marker.objects.create(name="mine too")
    assert Marker.objects.count() == 2


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("policy", ["return_existing", "restart_closed"])
def test_many_threads_with_one_key_start_one_run(
    workflows: WorkflowTester, policy: str
) -> None:
    keyed = echo.options(key="k", on_conflict=policy)
    threads = 20 if connection.vendor != "sqlite" else 5
    runs = in_threads([lambda: keyed.start(1)] * threads)
    assert len({run.pk for run in runs}) == 1
    assert Run.objects.count() == 1
    assert Event.objects.count() == 1


@pytest.mark.django_db(transaction=True)
def test_of_many_threads_with_one_key_all_but_one_are_rejected(
    workflows: WorkflowTester,
) -> None:
    keyed = echo.options(key="k", on_conflict="reject")

    def begin() -> str:
        try:
            return str(keyed.start(1).pk)
        except DuplicateRunError as refusal:
            return f"refused for {refusal.run_id}"

    threads = 20 if connection.vendor != "sqlite" else 5
    found = in_threads([begin] * threads)
    winner = Run.objects.get().pk
    assert sorted(found) == sorted([winner] + [f"refused for {winner}"] * (threads - 1))


@pytest.mark.django_db(transaction=True)
def test_many_threads_restarting_a_closed_run_start_one(
    workflows: WorkflowTester,
) -> None:
    keyed = echo.options(key="k", on_conflict="restart_closed")
    first = keyed.start(1)
    workflows.run_until_idle()
    threads = 20 if connection.vendor != "sqlite" else 5
    runs = in_threads([lambda: keyed.start(2)] * threads)
    assert len({run.pk for run in runs}) == 1
    assert Run.objects.exclude(pk=first.pk).get() == runs[0]
