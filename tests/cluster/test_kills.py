"""Every process of a cluster is killed; every ordinary task runs all the same."""

from __future__ import annotations

import os
import random
import signal
from contextlib import suppress
from functools import partial

import pytest
from django_q.models import Failure, OrmQ
from django_q.tasks import async_task

from tests.cluster import tasks
from tests.cluster.conftest import StartCluster
from tests.cluster.harness import ClusterProcess, until

pytestmark = pytest.mark.slow


def _enqueue(prefix: str, count: int = 5) -> list[str]:
    keys = [f"{prefix}{number}" for number in range(count)]
    for key in keys:
        async_task(tasks.mark, key)
    return keys


def _replaced(cluster: ClusterProcess, role: str, pid: int, count: int = 1) -> None:
    until(
        lambda: pid not in cluster.pids(role) and len(cluster.pids(role)) == count,
        f"a new {role}",
    )


def test_idle_worker_killed_again_and_again_is_replaced(
    cluster: ClusterProcess,
) -> None:
    """Stock django-q2 stops for good: the dead worker holds the queue's lock."""
    for number in range(4):
        victim = cluster.pids("worker")[number % 2]
        os.kill(victim, signal.SIGKILL)
        _replaced(cluster, "worker", victim, 2)
    cluster.expect(*_enqueue("after"))


def test_busy_worker_killed_gives_its_task_to_another(
    cluster: ClusterProcess,
) -> None:
    async_task(tasks.held, "long", "end")
    cluster.expect("long-begun")
    (line,) = cluster.marks_path.read_text().splitlines()
    os.kill(int(line.split()[2]), signal.SIGKILL)
    until(lambda: cluster.marks()["long-begun"] == 2, "another beginning")
    cluster.open_gate("end")
    cluster.expect("long")
    assert cluster.marks()["long-begun"] == 2
    until(lambda: not OrmQ.objects.exists(), "the task's end")


@pytest.mark.parametrize("role", ["monitor", "pusher", "sentinel"])
def test_killed_process_is_replaced_and_tasks_run(
    cluster: ClusterProcess, role: str
) -> None:
    before = _enqueue("before")
    (victim,) = cluster.pids(role)
    os.kill(victim, signal.SIGKILL)
    _replaced(cluster, role, victim)
    cluster.ready()
    cluster.expect(*before, *_enqueue("after"))
    until(lambda: not OrmQ.objects.exists(), "every acknowledgement")
    until(lambda: len(cluster.session()) == 6, "the end of the dead one's children")


@pytest.mark.parametrize("role", ["pusher", "sentinel"])
def test_prefetched_tasks_survive_the_death_of(
    cluster: ClusterProcess, role: str
) -> None:
    """Tasks that were taken from the database but not begun go back at once."""
    for number in range(2):
        async_task(tasks.held, f"held{number}", "end")
    cluster.expect("held0-begun", "held1-begun")
    keys = _enqueue("prefetched", 8)
    (victim,) = cluster.pids(role)
    os.kill(victim, signal.SIGKILL)
    cluster.open_gate("end")
    cluster.expect("held0", "held1", *keys)
    until(lambda: not OrmQ.objects.exists(), "every acknowledgement")


def test_main_process_killed_leaves_no_orphans(cluster: ClusterProcess) -> None:
    os.kill(cluster.pid, signal.SIGKILL)
    assert cluster.end() == -signal.SIGKILL
    until(lambda: not cluster.session(), "the end of all children")


def test_random_kills_lose_no_task(start_cluster: StartCluster) -> None:
    cluster = start_cluster("workflows", "worker", "--processes", "3")
    cluster.ready(workers=3)
    dice = random.Random(7)
    keys = []
    for number in range(12):
        keys += _enqueue(f"round{number}-", 10)
        role = dice.choice(["worker", "worker", "worker", "pusher", "monitor"])
        victims = until(partial(cluster.pids, role), f"a {role}")
        # The one chosen may be dying already.
        with suppress(ProcessLookupError):
            os.kill(dice.choice(victims), signal.SIGKILL)
    cluster.expect(*keys)
    os.kill(cluster.pid, signal.SIGTERM)
    assert cluster.end() == 0
    assert not cluster.session()


def test_task_that_kills_its_workers_is_given_up(cluster: ClusterProcess) -> None:
    async_task(tasks.deadly, "deadly")
    until(lambda: Failure.objects.exists(), "the task's failure")
    assert cluster.marks()["deadly"] == 3
    until(lambda: not OrmQ.objects.exists(), "an empty queue")
    cluster.expect(*_enqueue("after"))


def test_result_that_cannot_be_pickled_is_a_failure(cluster: ClusterProcess) -> None:
    async_task(tasks.unpicklable, "odd")
    until(lambda: Failure.objects.exists(), "the task's failure")
    assert "cannot be pickled" in Failure.objects.get().result
    until(lambda: not OrmQ.objects.exists(), "the acknowledgement")


def test_poison_rows_are_dropped(cluster: ClusterProcess) -> None:
    from django.utils import timezone
    from django_q.signing import SignedPackage

    now = timezone.now()
    for payload in (
        "garbage",
        "",
        "a:b:c",
        SignedPackage.dumps(["not", "a", "dict"]),
        SignedPackage.dumps({"id": "x"}),
        SignedPackage.dumps(
            {
                "id": "x",
                "name": "x",
                "func": "tests.cluster.tasks.mark",
                "args": (),
                "kwargs": {},
                "started": now,
                "timeout": None,
            }
        ),
    ):
        OrmQ.objects.create(key="default", payload=payload, lock=now)
    workers = cluster.pids("worker")
    cluster.expect(*_enqueue("after"))
    until(lambda: not OrmQ.objects.exists(), "an empty queue")
    assert cluster.pids("worker") == workers
    assert "Dropping task" in cluster.log()
