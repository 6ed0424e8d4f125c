"""The broker takes ordinary tasks and hands out reactors, never too many."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest
from django.db import OperationalError, connection, transaction
from django.utils import timezone
from django_q.brokers import get_broker
from django_q.models import OrmQ
from django_q.signing import SignedPackage
from django_q.tasks import async_task

from django_workflows.store import due as due_module
from django_workflows.store import sweep as sweep_module
from django_workflows.store import wakers
from django_workflows.store.due import Due
from django_workflows.store.wakers import Waker, make_waker
from django_workflows.worker.q2 import broker as broker_module
from django_workflows.worker.q2.board import Board
from django_workflows.worker.q2.broker import WorkflowBroker
from django_workflows.worker.q2.packages import TICKET, WORK
from tests.clocks import HandClock, clock_by_hand
from tests.cluster.harness import DEADLINE

pytestmark = pytest.mark.django_db(transaction=True)

TASK = "tests.cluster.tasks.mark"


class Desk:
    """What the broker sees of the workflows' tables, and what it does."""

    def __init__(self) -> None:
        self.due = Due(now=False, wait=None)
        self.looks: list[tuple[str, ...]] = []
        self.sweeps = 0
        self.error: Exception | None = None

    def look(self, queues: tuple[str, ...]) -> Due:
        self.looks.append(tuple(queues))
        if self.error is not None:
            raise self.error
        return self.due

    def sweep(self, watch: Any) -> int:
        self.sweeps += 1
        return 0


@pytest.fixture
def desk(monkeypatch: pytest.MonkeyPatch) -> Desk:
    desk = Desk()
    monkeypatch.setattr(due_module, "look", desk.look)
    monkeypatch.setattr(sweep_module, "sweep", desk.sweep)
    return desk


class Signal(Waker):
    """Lets the broker's time pass as it waits for news, unless there are some."""

    def __init__(self, clock: HandClock) -> None:
        self._clock = clock
        self.has_news = False
        self.waited = 0.0

    def wait(self, timeout: float) -> bool:
        if not self.has_news:
            self._clock.advance(timeout)
        self.waited += timeout
        return self.has_news

    def wake(self) -> None:
        raise NotImplementedError

    def close(self) -> None:
        return None


@pytest.fixture
def clock() -> Iterator[HandClock]:
    """The broker's."""
    with clock_by_hand(broker_module) as clock:
        yield clock


@pytest.fixture
def signal(clock: HandClock, monkeypatch: pytest.MonkeyPatch) -> Signal:
    signal = Signal(clock)
    monkeypatch.setattr(broker_module, "make_waker", lambda *args: signal)
    return signal


@pytest.fixture
def broker(desk: Desk, signal: Signal) -> Iterator[WorkflowBroker]:
    broker = get_broker()
    assert isinstance(broker, WorkflowBroker)
    broker.ping()
    broker.workers = 2
    yield broker
    broker.close()


def _board(broker: WorkflowBroker) -> Board:
    assert broker.board is not None
    return broker.board


def _tasks(messages: list[tuple[int | None, str]]) -> list[dict[str, Any]]:
    return [SignedPackage.loads(payload) for _, payload in messages]


def _work(broker: WorkflowBroker) -> list[int]:
    """Ask once; return the tickets of the reactors handed out."""
    return [task[TICKET] for task in _tasks(broker.dequeue()) if TICKET in task]


def test_task_is_taken_once_and_deleted_when_acknowledged(
    broker: WorkflowBroker,
) -> None:
    async_task(TASK, "x")
    ((ack_id, payload),) = broker.dequeue()
    assert SignedPackage.loads(payload)["args"] == ("x",)
    assert broker.dequeue() == []
    row = OrmQ.objects.get()
    assert row.pk == ack_id
    assert row.lock > timezone.now()
    assert _board(broker).unfinished() == {ack_id}
    broker.acknowledge(row.pk)
    assert not OrmQ.objects.exists()
    assert _board(broker).unfinished() == set()


def test_tasks_come_in_order_and_in_batches(broker: WorkflowBroker) -> None:
    for number in range(12):
        async_task(TASK, number)
    order = [task["args"][0] for task in _tasks(broker.dequeue())]
    assert order == list(range(10))
    assert len(broker.dequeue()) == 2


def test_slow_hand_over_takes_tasks_one_by_one(
    broker: WorkflowBroker, clock: HandClock
) -> None:
    for number in range(12):
        async_task(TASK, number)
    broker.dequeue()
    clock.advance(broker_module.LONG_PUSH + 0.1)
    assert len(broker.dequeue()) == 1


def test_locked_tasks_of_other_queues_and_of_the_future_are_left(
    broker: WorkflowBroker,
) -> None:
    async_task(TASK, "x", cluster="other")
    later = timezone.now() + timedelta(hours=1)
    OrmQ.objects.create(key="default", payload="x", lock=later)
    assert broker.dequeue() == []
    assert OrmQ.objects.count() == 2


def test_all_queues_of_the_cluster_are_served(
    broker: WorkflowBroker, desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WORKFLOWS_QUEUES", "default,other")
    async_task(TASK, "x", cluster="other")
    async_task(TASK, "y")
    assert len(broker.dequeue()) == 2
    assert desk.looks == [("default", "other")]


def test_task_of_a_rolled_back_transaction_does_not_exist(
    broker: WorkflowBroker,
) -> None:
    with transaction.atomic():
        async_task(TASK, "x")
        transaction.set_rollback(True)
    assert broker.dequeue() == []


def test_poison_is_dropped_and_the_rest_is_run(
    broker: WorkflowBroker, caplog: pytest.LogCaptureFixture
) -> None:
    now = timezone.now()
    OrmQ.objects.create(key="default", payload="garbage", lock=now)
    OrmQ.objects.create(key="default", payload=SignedPackage.dumps(1), lock=now)
    async_task(TASK, "x")
    (task,) = _tasks(broker.dequeue())
    assert task["args"] == ("x",)
    assert OrmQ.objects.count() == 1


def test_released_task_is_available_at_once(broker: WorkflowBroker) -> None:
    async_task(TASK, "x")
    ((ack_id, _),) = broker.dequeue()
    assert ack_id is not None
    broker.release([ack_id])
    assert [found for found, _ in broker.dequeue()] == [ack_id]


def test_due_work_starts_one_reactor(broker: WorkflowBroker, desk: Desk) -> None:
    desk.due = Due(now=True, wait=0.0)
    ((ack_id, payload),) = broker.dequeue()
    task = SignedPackage.loads(payload)
    assert ack_id is None
    assert task["func"] == WORK
    assert task["save"] is False
    assert task["timeout"] == -1
    assert _work(broker) == []
    assert _board(broker).due_since > 0


def test_second_reactor_waits_until_the_first_does_not_keep_up(
    broker: WorkflowBroker, desk: Desk, clock: HandClock
) -> None:
    desk.due = Due(now=True, wait=0.0)
    (ticket,) = _work(broker)
    _board(broker).begin_work(ticket)
    assert _work(broker) == []
    desk.due = Due(now=False, wait=None)
    assert _work(broker) == []  # The first has taken it all.
    desk.due = Due(now=True, wait=0.0)
    began = clock.now
    assert _work(broker) == []
    (second,) = _work(broker)
    waited = clock.now - began
    assert waited == pytest.approx(broker_module.SECOND_REACTOR_AFTER)
    assert second != ticket


def test_no_more_reactors_than_workers(broker: WorkflowBroker, desk: Desk) -> None:
    broker.workers = 1
    desk.due = Due(now=True, wait=0.0)
    (ticket,) = _work(broker)
    _board(broker).begin_work(ticket)
    looks = len(desk.looks)
    assert _work(broker) == _work(broker) == []
    assert len(desk.looks) == looks  # There is no use in looking.
    _board(broker).end_work(ticket)
    assert len(_work(broker)) == 1


def test_lost_package_is_replaced(
    broker: WorkflowBroker, desk: Desk, clock: HandClock
) -> None:
    desk.due = Due(now=True, wait=0.0)
    assert len(_work(broker)) == 1
    assert _work(broker) == []
    clock.advance(broker_module.QUEUED_PATIENCE)
    assert len(_work(broker)) == 1


@pytest.mark.parametrize(
    ("due_in", "waited"), [(0.008, 0.008), (3600.0, broker_module.LONGEST_WAIT)]
)
def test_broker_waits_for_the_next_due_time(
    broker: WorkflowBroker, desk: Desk, signal: Signal, due_in: float, waited: float
) -> None:
    desk.due = Due(now=False, wait=due_in)
    broker.dequeue()
    assert signal.waited == pytest.approx(waited)


def test_broker_looks_twice_after_a_wake_up(
    broker: WorkflowBroker, desk: Desk, signal: Signal
) -> None:
    """What was committed just now may be due at the next tick of the clock."""
    desk.due = Due(now=False, wait=3600.0)
    signal.has_news = True
    broker.dequeue()
    signal.has_news, signal.waited = False, 0.0
    broker.dequeue()
    assert signal.waited == pytest.approx(broker_module.CLOCK_TICK)


def test_dead_workers_are_looked_for_now_and_then(
    broker: WorkflowBroker, desk: Desk, clock: HandClock
) -> None:
    desk.due = Due(now=False, wait=0.008)
    broker.dequeue()
    broker.dequeue()
    assert desk.sweeps == 1
    clock.advance(1)
    broker.dequeue()
    assert desk.sweeps == 2


def test_exception_is_logged_and_backed_off(
    broker: WorkflowBroker,
    desk: Desk,
    clock: HandClock,
    caplog: pytest.LogCaptureFixture,
) -> None:
    desk.error = OperationalError("the database is away")
    began = clock.now
    assert broker.dequeue() == []
    assert clock.now - began == pytest.approx(0.1)
    desk.error = None
    async_task(TASK, "x")
    assert len(broker.dequeue()) == 1


def test_rows_locked_by_a_statement_that_failed_are_released(
    broker: WorkflowBroker, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The database did it, but its answer was lost."""
    lock_rows = WorkflowBroker._lock_rows
    errors = [OperationalError("connection lost")]

    def flaky(self: WorkflowBroker, limit: int, until: Any) -> Any:
        rows = lock_rows(self, limit, until)
        if errors:
            raise errors.pop()
        return rows

    monkeypatch.setattr(WorkflowBroker, "_lock_rows", flaky)
    async_task(TASK, "x")
    assert broker.dequeue() == []
    assert len(broker.dequeue()) == 1


def test_acknowledging_is_tried_again(
    broker: WorkflowBroker, monkeypatch: pytest.MonkeyPatch
) -> None:
    async_task(TASK, "x")
    ((ack_id, _),) = broker.dequeue()
    assert ack_id is not None
    delete = WorkflowBroker.delete
    errors = [OperationalError("the database is away")] * 2

    def flaky(self: WorkflowBroker, task_id: int) -> None:
        if errors:
            raise errors.pop()
        delete(self, task_id)

    monkeypatch.setattr(WorkflowBroker, "delete", flaky)
    broker.acknowledge(ack_id)
    assert not OrmQ.objects.exists()


@pytest.mark.skipif(connection.vendor != "postgresql", reason="needs PostgreSQL")
def test_enqueueing_wakes_clusters_at_commit(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(wakers, "PROBE_TIMEOUT", DEADLINE)
    waker = make_waker(["django_workflows_due"], "default")
    with transaction.atomic():
        async_task(TASK, "x")
        assert not waker.wait(0.05)
    assert waker.wait(DEADLINE)
    waker.close()
