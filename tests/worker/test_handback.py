"""What dead processes held goes back to the queue, and only that."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.db import OperationalError
from django.utils import timezone
from django_q.models import Failure, OrmQ
from django_q.signing import SignedPackage

from django_workflows.worker.q2 import handback
from django_workflows.worker.q2.board import Board
from django_workflows.worker.q2.broker import WorkflowBroker
from django_workflows.worker.q2.handback import MAX_CRASHES, HandBack

pytestmark = pytest.mark.django_db(transaction=True)


class Cluster:
    """A hand-back and what it sees."""

    def __init__(self) -> None:
        self.board = Board()
        self.broker = WorkflowBroker()
        self.begun: set[int] = set()
        self.hand_back = HandBack(self.board, self.broker, lambda: self.begun)
        self.until = timezone.now() + timedelta(hours=1)

    def take(self, count: int) -> list[int]:
        """Add locked rows, as if the pusher had taken them."""
        task = {"id": "x", "name": "x", "func": "x", "args": (), "kwargs": {}}
        payload = SignedPackage.dumps(task | {"started": timezone.now()})
        rows = [
            OrmQ.objects.create(key="default", payload=payload, lock=self.until)
            for _ in range(count)
        ]
        tasks = [row.pk for row in rows]
        self.board.take_off(tasks)
        return tasks

    def free(self) -> set[int]:
        """Settle, and return the tasks that can be taken again."""
        self.hand_back.settle(queue_is_empty=True)
        free = OrmQ.objects.filter(lock__lte=timezone.now())
        return set(free.values_list("pk", flat=True))


@pytest.fixture
def cluster() -> Cluster:
    return Cluster()


def test_dead_worker_gives_its_task_back(cluster: Cluster) -> None:
    mine, _, done = cluster.take(3)
    cluster.board.touch_down(done)
    cluster.hand_back.worker_died(done)
    cluster.hand_back.worker_died(mine)
    assert cluster.free() == {mine}
    assert mine not in cluster.board.unfinished()


def test_dead_pusher_gives_back_what_is_not_begun(cluster: Cluster) -> None:
    begun, held, done = cluster.take(3)
    cluster.begun = {begun}
    cluster.board.touch_down(done)
    cluster.hand_back.pusher_died()
    assert cluster.free() == {held}


def test_dead_pushers_last_statement_is_undone(cluster: Cluster) -> None:
    """It locked rows, and the pusher died before it could note which."""
    cluster.board.locking = cluster.until
    cluster.hand_back.pusher_died()
    (late,) = cluster.take(1)
    cluster.board.land(late)  # nobody knows of it
    assert cluster.free() == {late}
    assert cluster.board.locking is None


@pytest.mark.parametrize("role", ["worker", "monitor"])
def test_what_was_lost_on_its_way_comes_back(
    cluster: Cluster, role: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Killed between a queue and the notice board, the process left no trace."""
    monkeypatch.setattr(handback, "SETTLED_AFTER", 0.0)
    lost, running, unsaved, saved = cluster.take(4)
    cluster.begun = {running}
    for task in (unsaved, saved):
        cluster.board.touch_down(task)
    if role == "worker":
        cluster.hand_back.worker_died(0)
    else:
        cluster.hand_back.monitor_died()
    assert cluster.free() == set()  # The pusher may still have them in hand.
    cluster.board.pusher_beat = float("inf")
    assert cluster.free() == set()
    cluster.board.land(saved)
    assert cluster.free() == {lost, unsaved}


def test_everything_comes_back_from_a_dead_cluster(cluster: Cluster) -> None:
    tasks = cluster.take(3)
    cluster.board.touch_down(tasks[0])
    cluster.hand_back.everything()
    assert cluster.free() == set(tasks)


def test_task_that_kills_workers_is_stored_as_failed(cluster: Cluster) -> None:
    (deadly,) = cluster.take(1)
    for _ in range(MAX_CRASHES):
        cluster.board.take_off([deadly])
        cluster.hand_back.worker_died(deadly)
        cluster.free()
    assert not OrmQ.objects.exists()
    assert "Given up" in Failure.objects.get().result


def test_database_that_is_away_is_asked_again(
    cluster: Cluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    (task,) = cluster.take(1)
    cluster.hand_back.worker_died(task)
    release = WorkflowBroker.release
    errors = [OperationalError("the database is away")]

    def flaky(self: WorkflowBroker, tasks: set[int]) -> None:
        if errors:
            raise errors.pop()
        release(self, tasks)

    monkeypatch.setattr(WorkflowBroker, "release", flaky)
    assert cluster.free() == set()
    assert cluster.free() == {task}
