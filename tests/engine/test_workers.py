"""Workers that lose what they work on, and callers who do things meanwhile."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from django.db import connection, connections, transaction

from django_workflows import create_hook, resume_hook, sleep, start, step, workflow
from django_workflows.errors import HookNotFoundError
from django_workflows.models import Event, Run, Step, Worker
from django_workflows.store import control, sweep
from django_workflows.store.workers import register
from django_workflows.testing import WorkflowTester
from tests.app.models import Ledger
from tests.cluster.harness import DEADLINE
from tests.engine.threads import in_threads

bodies: list[str] = []
meanwhile: list[Callable[[], Any]] = []


@pytest.fixture(autouse=True)
def _fresh() -> Iterator[None]:
    yield
    bodies.clear()
    meanwhile.clear()


def happen() -> None:
    """Let happen once what the test has prepared."""
    if meanwhile:
        meanwhile.pop()()


@step
def work() -> str:
    bodies.append("work")
    happen()
    return f"result {len(bodies)}"


@step(max_retries=0)
def work_and_fail() -> str:
    bodies.append("work")
    happen()
    if len(bodies) == 1:
        raise ValueError("from the zombie")
    return "good"


@step(atomic=True)
def book() -> int:
    bodies.append("book")
    Ledger.objects.create(account="a")
    return Ledger.objects.count()


@step
def after() -> str:
    bodies.append("after")
    return "after"


@workflow
async def working() -> list[str]:
    return [await work(), await after()]


@workflow
async def failing_as_zombie() -> str:
    return await work_and_fail()


@workflow
async def booking() -> list[int]:
    return [await book(), await book()]


@workflow
async def waiting() -> Any:
    return await create_hook(token="t")


@workflow
async def collecting(count: int) -> list[Any]:
    hook = create_hook(token="t")
    return [await hook for _ in range(count)]


def gapless(run: Run) -> bool:
    seqs = [event.seq for event in run.history()]
    return seqs == list(range(1, len(seqs) + 1))


@contextmanager
def another_worker() -> Iterator[WorkflowTester]:
    """Beside the kit's own, whose time goes on standing still when this one leaves."""
    other = WorkflowTester()
    other.__enter__()
    try:
        yield other
    finally:
        other._reactor.forget_all()
        other._patience.__exit__()


def take_over() -> None:
    """Another worker takes the current one for dead and does all its work."""
    for worker in Worker.objects.filter(stopped_at=None):
        sweep.declare_dead(connections["default"], worker.pk, worker.beat)
    with another_worker() as other:
        other.run_until_idle()


# -- a worker that was taken for dead -------------------------------------------------


def test_a_zombie_does_not_change_the_result(workflows: WorkflowTester) -> None:
    run = start(working)
    meanwhile.append(take_over)
    workflows.run_until_idle()
    assert run.result() == ["result 2", "after"]
    assert bodies == ["work", "work", "after"]
    assert gapless(run)
    assert [e.type for e in run.history()].count("run_completed") == 1


def test_a_zombie_does_not_fail_the_run(workflows: WorkflowTester) -> None:
    run = start(failing_as_zombie)
    meanwhile.append(take_over)
    workflows.run_until_idle()
    assert run.result() == "good"
    assert "step_failed" not in [event.type for event in run.history()]


@pytest.mark.parametrize("target", [working, failing_as_zombie])
def test_a_run_terminated_during_a_step_stays_terminated(
    workflows: WorkflowTester, target: Any
) -> None:
    run = start(target)
    meanwhile.append(lambda: control.terminate(Run.objects.get()))
    workflows.run_until_idle()
    run.refresh_from_db()
    assert run.status == "terminated"
    assert run.history()[-1].type == "run_terminated"
    assert bodies == ["work"]
    assert gapless(run)


def test_a_run_cancelled_during_a_step_is_cancelled(workflows: WorkflowTester) -> None:
    run = start(working)
    meanwhile.append(lambda: Run.objects.get().cancel())
    workflows.run_until_idle()
    run.refresh_from_db()
    assert run.status == "cancelled"
    assert gapless(run)
    assert not Event.objects.filter(seq=None).exists()


def test_a_run_deleted_during_a_step_is_forgotten(workflows: WorkflowTester) -> None:
    start(working)
    other = start(working)
    meanwhile.append(lambda: Run.objects.exclude(pk=other.pk).delete())
    workflows.run_until_idle()
    assert other.result()[1] == "after"
    assert Run.objects.get() == other
    assert not Event.objects.exclude(run=other).exists()


def test_a_payload_sent_during_a_step_is_delivered(workflows: WorkflowTester) -> None:
    waiter = start(waiting)
    workflows.run_until_idle()
    run = start(working)
    meanwhile.append(lambda: resume_hook("t", "from a step"))
    workflows.run_until_idle()
    assert waiter.result() == "from a step"
    assert run.result() == ["result 1", "after"]


def test_a_start_in_a_step_is_picked_up(workflows: WorkflowTester) -> None:
    started: list[Run] = []
    run = start(working)
    meanwhile.append(lambda: started.append(start(working)))
    workflows.run_until_idle()
    assert run.is_closed or run.result()
    assert started[0].result()[1] == "after"


def test_strays_in_the_inboxes_of_closed_runs_are_swept(
    workflows: WorkflowTester,
) -> None:
    from django_workflows.store.inbox import insert_inbox

    run = start(working)
    workflows.run_until_idle()
    insert_inbox(connections["default"], run.pk, "cancel_requested")
    workflows.run_until_idle()
    sweep.sweep(sweep.DeadWatch())
    assert not Event.objects.filter(seq=None).exists()
    assert run.result() == ["result 1", "after"]


# -- at the same time -----------------------------------------------------------------


@contextmanager
def open_transaction(action: Callable[[], Any]) -> Iterator[None]:
    """Do something on another connection and keep its transaction open meanwhile."""
    if connection.vendor == "sqlite":
        pytest.skip("SQLite has one writer at a time")
    done, go_on = threading.Event(), threading.Event()
    failures: list[BaseException] = []

    def hold() -> None:
        try:
            with transaction.atomic():
                action()
                done.set()
                assert go_on.wait(DEADLINE)
        except BaseException as error:
            failures.append(error)
        finally:
            done.set()
            connections.close_all()

    thread = threading.Thread(target=hold)
    thread.start()
    assert done.wait(DEADLINE)
    try:
        yield
    finally:
        go_on.set()
        thread.join()
    assert not failures, failures


@pytest.mark.django_db(transaction=True)
def test_an_open_transaction_with_a_payload_holds_up_only_the_end(
    workflows: WorkflowTester,
) -> None:
    run, other = start(waiting), start(working)
    workflows.run_until_idle()
    with open_transaction(lambda: resume_hook("t", "in time")):
        run.cancel()
        another = start(working)
        workflows.run_until_idle()
        assert not Run.objects.get(pk=run.pk).is_closed
        assert other.result(timeout=0)
        assert another.result(timeout=0)
    workflows.advance("1s")
    run.refresh_from_db()
    assert run.is_closed
    types = [event.type for event in run.history()]
    assert "hook_received" in types
    assert types[-1] in ("run_cancelled", "run_completed")
    assert gapless(run)


@pytest.mark.django_db(transaction=True)
def test_an_open_transaction_with_a_start_holds_nothing_up(
    workflows: WorkflowTester,
) -> None:
    run = start(working)
    with open_transaction(lambda: start(working)):
        workflows.run_until_idle()
        assert run.result(timeout=0)
    workflows.run_until_idle()
    assert Run.objects.closed().count() == 2


@pytest.mark.django_db(transaction=True)
def test_a_cancel_that_commits_after_the_end_changes_nothing(
    workflows: WorkflowTester,
) -> None:
    run = start(waiting)
    workflows.run_until_idle()
    with open_transaction(lambda: Run.objects.get(pk=run.pk).cancel()):
        resume_hook("t", 1)
        workflows.run_until_idle()
        assert run.result(timeout=0) == 1
    workflows.advance("1m")
    assert run.result(timeout=0) == 1
    assert run.history()[-1].type == "run_completed"


@pytest.mark.django_db(transaction=True)
def test_many_threads_send_payloads(workflows: WorkflowTester) -> None:
    count = 20 if connection.vendor != "sqlite" else 5
    run = start(collecting, count)
    workflows.run_until_idle()

    def send(number: int) -> Callable[[], Any]:
        return lambda: resume_hook("t", number)

    in_threads([send(number) for number in range(count)])
    workflows.run_until_idle()
    assert sorted(run.result()) == list(range(count))
    assert gapless(run)


@pytest.mark.django_db(transaction=True)
def test_payloads_are_sent_while_the_run_works(workflows: WorkflowTester) -> None:
    count = 10
    run = start(collecting, count)
    workflows.run_until_idle()

    def send() -> None:
        for number in range(count):
            resume_hook("t", number)
        connections.close_all()

    sender = threading.Thread(target=send)
    sender.start()
    while sender.is_alive():
        workflows.run_until_idle()
    sender.join()
    workflows.run_until_idle()
    assert run.result() == list(range(count))
    assert gapless(run)


@pytest.mark.django_db(transaction=True)
def test_accepted_payloads_are_in_the_log_whenever_the_run_ends(
    workflows: WorkflowTester,
) -> None:
    run = start(collecting, 5)
    workflows.run_until_idle()
    accepted: list[int] = []

    def send() -> None:
        try:
            for number in range(50):
                resume_hook("t", number)
                accepted.append(number)
        except HookNotFoundError:
            pass
        finally:
            connections.close_all()

    sender = threading.Thread(target=send)
    sender.start()
    while sender.is_alive():
        workflows.advance("1s")
    sender.join()
    workflows.advance("1s")
    assert run.result() == [0, 1, 2, 3, 4]
    received = [e.data["payload"] for e in run.history() if e.type == "hook_received"]
    assert received == accepted
    assert run.history()[-1].type == "run_completed"
    assert gapless(run)


@pytest.mark.django_db(transaction=True)
def test_two_workers_share_the_runs_and_no_step_runs_twice(
    workflows: WorkflowTester,
) -> None:
    if connection.vendor == "sqlite":
        pytest.skip("the kit's two workers would wait for each other's transactions")
    runs = [start(booking) for _ in range(10)]

    def run_all() -> None:
        with another_worker() as worker:
            worker.run_until_idle()

    in_threads([run_all, run_all])
    workflows.run_until_idle()
    assert all(run.result(timeout=0) for run in runs)
    assert len(bodies) == Ledger.objects.count() == 20
    assert set(Step.objects.values_list("attempt", flat=True)) == {1}
    assert all(gapless(run) for run in runs)


@workflow
async def sleeping() -> None:
    await sleep("1h")


def test_a_dead_workers_sleepers_wake_up_elsewhere(workflows: WorkflowTester) -> None:
    runs = [start(sleeping) for _ in range(5)]
    workflows.run_until_idle()
    workflows.crash()
    workflows.advance("1h")
    for run in runs:
        run.refresh_from_db()
        assert run.status == "completed"
        assert run.finished_at == workflows.now


def test_a_run_that_kills_workers_is_left_alone_until_a_deploy(db: None) -> None:
    """The worker that takes the place of the killed one must not try it again."""
    run = start(working)
    for crash in range(4):
        worker_id = f"wrkr_{crash}"
        register(connection, worker_id, ["default"], "today's code")
        Run.objects.filter(pk=run.pk).update(owner=worker_id, is_alone=crash > 0)
        assert sweep.declare_dead(connection, worker_id, beat=0)
    run.refresh_from_db()
    assert "killed 3 workers" in run.blocked_reason
    parked_until = run.wake_at
    register(connection, "wrkr_next", ["default"], "today's code")
    run.refresh_from_db()
    assert run.wake_at == parked_until
    register(connection, "wrkr_mended", ["default"], "tomorrow's code")
    run.refresh_from_db()
    assert run.wake_at is not None
    assert parked_until is not None
    assert run.wake_at < parked_until
