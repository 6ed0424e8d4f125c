"""A cluster that is asked to stop drains within the grace time and exits 0."""

from __future__ import annotations

import os
import signal
import time

import pytest
from django_q.models import OrmQ
from django_q.tasks import async_task

from django_workflows.worker.q2.sentinel import CLOSING_GRACE
from tests.cluster import tasks
from tests.cluster.conftest import StartCluster
from tests.cluster.harness import ClusterProcess, until

pytestmark = pytest.mark.slow


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
@pytest.mark.parametrize("target", ["process", "group"])
def test_running_tasks_finish_after(
    cluster: ClusterProcess, target: str, number: signal.Signals
) -> None:
    for key in ("one", "two"):
        async_task(tasks.held, key, "end")
    cluster.expect("one-begun", "two-begun")
    if target == "group":
        os.killpg(cluster.pid, number)
    else:
        os.kill(cluster.pid, number)
    until(lambda: "stopping" in cluster.log(), "the drain")
    cluster.open_gate("end")
    assert cluster.end() == 0
    assert cluster.marks()["one"] == cluster.marks()["two"] == 1
    assert not cluster.session()
    assert not OrmQ.objects.exists()


def test_sigterm_hands_back_what_has_not_begun(cluster: ClusterProcess) -> None:
    for number in range(8):
        async_task(tasks.held, f"task{number}", "end")
    cluster.expect("task0-begun", "task1-begun")
    os.kill(cluster.pid, signal.SIGTERM)
    until(lambda: "stopping" in cluster.log(), "the drain")
    cluster.open_gate("end")
    assert cluster.end() == 0
    begun = {key for key in cluster.marks() if key.endswith("-begun")}
    assert OrmQ.objects.count() == 8 - len(begun)
    assert not cluster.session()


def test_sigterm_kills_a_task_longer_than_the_grace_time(
    start_cluster: StartCluster,
) -> None:
    cluster = start_cluster(GRACE="1s")
    async_task(tasks.held, "endless", "none")
    cluster.expect("endless-begun")
    os.kill(cluster.pid, signal.SIGTERM)
    assert cluster.end() == 0
    assert not cluster.session()
    assert OrmQ.objects.count() == 1


def test_results_have_what_is_left_of_the_grace_time(cluster: ClusterProcess) -> None:
    async_task(tasks.held, "key", "end")
    cluster.expect("key-begun")
    (monitor,) = cluster.pids("monitor")
    os.kill(cluster.pid, signal.SIGTERM)
    until(lambda: "stopping" in cluster.log(), "the drain")
    os.kill(monitor, signal.SIGSTOP)
    cluster.open_gate("end")
    until(lambda: not cluster.pids("worker"), "the end of the workers")
    time.sleep(CLOSING_GRACE + 1)
    os.kill(monitor, signal.SIGCONT)
    assert cluster.end() == 0
    assert not OrmQ.objects.exists()


def test_second_sigterm_kills_at_once(cluster: ClusterProcess) -> None:
    async_task(tasks.held, "endless", "none")
    cluster.expect("endless-begun")
    os.kill(cluster.pid, signal.SIGTERM)
    until(lambda: "stopping" in cluster.log(), "the drain")
    time.sleep(0.6)  # An immediate repetition counts as one signal.
    os.kill(cluster.pid, signal.SIGTERM)
    assert cluster.end() == 1
    until(lambda: not cluster.session(), "the end of all children")


def test_sigterm_to_a_worker_replaces_it(cluster: ClusterProcess) -> None:
    victim = cluster.pids("worker")[0]
    os.kill(victim, signal.SIGTERM)

    def replaced() -> bool:
        async_task(tasks.mark, "key")
        return victim not in cluster.pids("worker")

    until(replaced, "the worker's end")
    cluster.ready()


def test_sigterm_while_starting_exits_0(start_cluster: StartCluster) -> None:
    cluster = start_cluster()
    until(lambda: len(cluster.session()) > 1, "the sentinel")
    os.killpg(cluster.pid, signal.SIGTERM)
    assert cluster.end() == 0
    assert not cluster.session()
