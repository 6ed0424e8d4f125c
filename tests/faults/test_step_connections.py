"""Connections that steps use: what one step leaves behind, the next does not find."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from queue import Queue
from typing import Any

import pytest
from asgiref.sync import sync_to_async
from django.db import connection, transaction

from django_workflows import step
from django_workflows.core import serialization
from django_workflows.replay.steps import Step
from django_workflows.worker.attempt import Attempt, Ended
from django_workflows.worker.executor import Executor
from tests.app.models import Marker
from tests.cluster.harness import DEADLINE, until
from tests.databases import cut_off_others, cut_off_own

pytestmark = pytest.mark.django_db(transaction=True)


@step(name="connections.counts")
def counts() -> int:
    """Asks the database something."""
    return Marker.objects.count()


@step(name="connections.counts_on_loop")
async def counts_on_loop() -> int:
    """The same, asynchronously."""
    return await Marker.objects.acount()


@step(name="connections.forgets_autocommit")
def forgets_autocommit() -> None:
    """Begins a transaction by hand and forgets it."""
    transaction.set_autocommit(False)
    Marker.objects.create(name="forgotten")


@step(name="connections.forgets_atomic")
def forgets_atomic() -> None:
    """Enters a block that it never leaves."""
    transaction.atomic().__enter__()
    Marker.objects.create(name="forgotten")


@step(name="connections.forgets_savepoint")
def forgets_savepoint() -> None:
    """The same with a block in a block, the inner one broken."""
    transaction.atomic().__enter__()
    transaction.atomic().__enter__()
    transaction.set_rollback(True)


@step(name="connections.is_cut_off")
def is_cut_off() -> None:
    """Loses its connection, as when the server is restarted."""
    cut_off_own()


@step(name="connections.is_cut_off_on_loop")
async def is_cut_off_on_loop() -> None:
    """The same, asynchronously."""
    await sync_to_async(is_cut_off.func)()


Run = Callable[[Step[..., Any]], Ended]


@pytest.fixture
def run(transactional_db: None) -> Iterator[Run]:
    """Run steps one after the other on an executor's only thread."""
    ends: Queue[Ended] = Queue()

    def report(ended: Ended, done: Callable[[], None]) -> None:
        done()
        ends.put(ended)

    executor = Executor(1, 1, report)
    numbers = iter(range(1000))

    def run_one(called: Step[..., Any]) -> Ended:
        attempt = Attempt(
            step=called,
            settings=called.settings,
            run_id="wrun_test",
            step_id=f"step_{next(numbers)}",
            number=1,
            args=serialization.dumps_call((), {}),
            workflow={},
            worker_id="wrkr_test",
            queue="default",
            priority=0,
            run_queue="default",
            created_us=0,
            started_us=0,
        )
        executor.submit([attempt])
        return ends.get(timeout=DEADLINE)

    yield run_one
    executor.close()
    names = ("workflows-step", "workflows-async", "workflows-loop")
    until(
        lambda: not any(t.name.startswith(names) for t in threading.enumerate()),
        "the end of the threads",
    )
    if executor._loop is not None:
        executor._loop.close()


@pytest.mark.parametrize(
    "untidy", [forgets_autocommit, forgets_atomic, forgets_savepoint]
)
@pytest.mark.parametrize("next_one", [counts, counts_on_loop])
def test_transaction_that_a_step_leaves_open(
    run: Run, untidy: Step[..., Any], next_one: Step[..., Any]
) -> None:
    for _ in range(2):
        assert run(untidy).error is None
        for _ in range(2):
            ended = run(next_one)
            assert ended.error is None
            assert ended.result == b"0", "what nobody committed was committed"
    assert Marker.objects.count() == 0


@pytest.mark.parametrize("next_one", [counts, counts_on_loop])
@pytest.mark.parametrize("cut_off", [is_cut_off, is_cut_off_on_loop])
def test_connection_that_a_step_has_lost(
    run: Run, cut_off: Step[..., Any], next_one: Step[..., Any]
) -> None:
    if connection.vendor == "sqlite":
        pytest.skip("there is no connection to lose")
    assert run(cut_off).error is not None
    for _ in range(3):
        assert run(next_one).error is None


@pytest.mark.parametrize("called", [counts, counts_on_loop])
def test_connection_that_is_lost_between_two_steps(
    run: Run, called: Step[..., Any]
) -> None:
    """At most one step notices, and not for ever."""
    if connection.vendor == "sqlite":
        pytest.skip("there is no connection to lose")
    assert run(called).error is None
    cut_off_others()
    run(called)
    assert run(called).error is None
