"""Workflows run by real clusters: woken, timed, killed and drained."""

from __future__ import annotations

import os
import signal
import time

import pytest
from django_q.tasks import async_task

from django_workflows import start, start_many
from django_workflows.models import Run, Step
from tests.cluster import tasks, workflows
from tests.cluster.conftest import StartCluster
from tests.cluster.harness import ClusterProcess, until

pytestmark = pytest.mark.slow

#: Seconds; long enough for a cluster to become idle before, on a busy machine.
NAP = 8.0


def _reactors(cluster: ClusterProcess) -> int:
    return cluster.log().count("processing workflows")


def test_idle_cluster_takes_up_a_run(cluster: ClusterProcess) -> None:
    start(workflows.hop, "first")
    cluster.expect("first")
    run = start(workflows.hop, "second")
    cluster.expect("second")
    assert run.result(timeout=90) == "second"


def test_runs_one_after_the_other_share_a_reactor(start_cluster: StartCluster) -> None:
    cluster = start_cluster(LINGER="20s")
    cluster.ready()
    for number in range(10):
        start(workflows.hop, f"key{number}")
        cluster.expect(f"key{number}")
    assert _reactors(cluster) <= 4


def test_sleeping_run_wakes_an_idle_cluster_in_time(cluster: ClusterProcess) -> None:
    began = time.monotonic()
    run = start(workflows.nap, "slept", NAP)

    def has_begun_and_is_let_go() -> bool:
        run.refresh_from_db()
        return run.status == Run.Status.RUNNING and run.owner == ""

    until(has_begun_and_is_let_go, "an idle cluster")
    assert cluster.marks()["slept"] == 0
    cluster.expect("slept")
    assert time.monotonic() - began >= NAP
    # One reactor for the start, one for the timer, and some for a slow machine.
    assert 2 <= _reactors(cluster) <= 4


def test_run_of_a_killed_worker_goes_on_in_another(cluster: ClusterProcess) -> None:
    run = start(workflows.haul, "load", "end")
    cluster.expect("load-1-begun")
    (line,) = cluster.marks_path.read_text().splitlines()
    os.kill(int(line.split()[2]), signal.SIGKILL)
    until(lambda: cluster.marks()["load-1-begun"] == 2, "another attempt")
    cluster.open_gate("end")
    assert run.result(timeout=90) == "load-2"
    marks = cluster.marks()
    assert marks["load-1-begun"] == 2
    assert marks["load-1"] == marks["load-2"] == 1
    # Nor does the log of the processes tell what steps were given, whatever happens.
    assert "load-" not in cluster.log()


@pytest.mark.parametrize("target", ["process", "group"])
def test_sigterm_lets_a_step_finish(start_cluster: StartCluster, target: str) -> None:
    cluster = start_cluster()
    cluster.ready()
    run = start(workflows.haul, "load", "end")
    cluster.expect("load-1-begun")
    if target == "group":
        os.killpg(cluster.pid, signal.SIGTERM)
    else:
        os.kill(cluster.pid, signal.SIGTERM)
    until(lambda: "stopping" in cluster.log(), "the drain")
    cluster.open_gate("end")
    assert cluster.end() == 0
    assert not cluster.session()
    assert cluster.marks()["load-1"] == 1
    start_cluster().ready()
    assert run.result(timeout=90) == "load-2"
    assert cluster.marks()["load-1-begun"] == 1


def test_runs_survive_a_killed_cluster(start_cluster: StartCluster) -> None:
    cluster = start_cluster()
    cluster.ready()
    runs = [start(workflows.haul, f"load{number}", "end") for number in range(4)]
    cluster.expect(*(f"load{number}-1-begun" for number in range(4)))
    os.kill(cluster.pid, signal.SIGKILL)
    until(lambda: not cluster.session(), "the end of all processes")
    cluster.open_gate("end")
    start_cluster().ready()
    for number, run in enumerate(runs):
        assert run.result(timeout=90) == f"load{number}-2"


def test_runs_and_steps_go_to_the_workers_of_their_queue(
    start_cluster: StartCluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A cluster with two queues, and a plain one that is named by the environment."""
    options = ("--queue", "one", "--queue", "three", "--processes", "1")
    first = start_cluster("workflows", "worker", *options)
    monkeypatch.setenv("Q_CLUSTER_NAME", "two")
    second = start_cluster("qcluster")
    run = start(workflows.travel, "a")
    third = start(workflows.travel.options(queue="three"), "b")
    nobody = start(workflows.hop, "c")
    for each in (run, third):
        here, there = each.result(timeout=90)
        assert here in first.session()
        assert there in second.session()
    nobody.refresh_from_db()
    assert nobody.status == "pending"


def test_waiting_for_a_limit_keeps_nobody_busy(cluster: ClusterProcess) -> None:
    """While one of a hundred is at work, no worker is sent to look after the others."""
    start_many(workflows.narrow, [(f"key{n}", "none") for n in range(100)])
    until(lambda: any("begun" in key for key in cluster.marks()), "the first")
    until(
        lambda: Step.objects.filter(status="pending").count() == 99,
        "the others in line",
    )
    until(lambda: not Run.objects.exclude(owner="").exists(), "rest")
    before = _reactors(cluster)
    # Each ordinary task goes through the broker, which looks for due steps as well.
    for number in range(20):
        async_task(tasks.mark, f"task{number}")
        cluster.expect(f"task{number}")
    assert _reactors(cluster) <= before + 1
    assert sum("begun" in key for key in cluster.marks()) == 1
