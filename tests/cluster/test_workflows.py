"""Workflows run by real clusters: woken, timed, killed and drained."""

from __future__ import annotations

import os
import signal
import time

import pytest

from django_workflows import start
from tests.cluster import workflows
from tests.cluster.conftest import StartCluster
from tests.cluster.harness import ClusterProcess, until

pytestmark = pytest.mark.slow


def _reactors(cluster: ClusterProcess) -> int:
    return cluster.log().count("processing workflows")


def test_idle_cluster_takes_up_a_run_at_once(cluster: ClusterProcess) -> None:
    start(workflows.hop, "first")
    cluster.expect("first")
    began = time.monotonic()
    run = start(workflows.hop, "second")
    cluster.expect("second")
    # A cluster that only looked every now and then would need 0.5 s.
    assert time.monotonic() - began < 0.3
    assert run.result(timeout=10) == "second"


def test_runs_one_after_the_other_share_a_reactor(cluster: ClusterProcess) -> None:
    for number in range(10):
        start(workflows.hop, f"key{number}")
        cluster.expect(f"key{number}")
    assert _reactors(cluster) <= 4


def test_sleeping_run_wakes_an_idle_cluster_in_time(cluster: ClusterProcess) -> None:
    began = time.monotonic()
    start(workflows.nap, "slept", 2.5)
    cluster.expect("slept")
    assert 2.5 <= time.monotonic() - began < 3.5
    # One reactor for the start, one for the timer, and some for a slow machine.
    assert 2 <= _reactors(cluster) <= 4


def test_run_of_a_killed_worker_goes_on_in_another(cluster: ClusterProcess) -> None:
    run = start(workflows.haul, "load", 2.0)
    cluster.expect("load-1-begun")
    (line,) = cluster.marks_path.read_text().splitlines()
    os.kill(int(line.split()[2]), signal.SIGKILL)
    assert run.result(timeout=30) == "load-2"
    marks = cluster.marks()
    assert marks["load-1-begun"] == 2
    assert marks["load-1"] == marks["load-2"] == 1


@pytest.mark.parametrize("target", ["process", "group"])
def test_sigterm_lets_a_step_finish(start_cluster: StartCluster, target: str) -> None:
    cluster = start_cluster()
    cluster.ready()
    run = start(workflows.haul, "load", 1.5)
    cluster.expect("load-1-begun")
    if target == "group":
        os.killpg(cluster.pid, signal.SIGTERM)
    else:
        os.kill(cluster.pid, signal.SIGTERM)
    assert cluster.end(8) == 0
    assert not cluster.session()
    assert cluster.marks()["load-1"] == 1
    start_cluster().ready()
    assert run.result(timeout=20) == "load-2"
    assert cluster.marks()["load-1-begun"] == 1


def test_runs_survive_a_killed_cluster(start_cluster: StartCluster) -> None:
    cluster = start_cluster()
    cluster.ready()
    runs = [start(workflows.haul, f"load{number}", 1.0) for number in range(4)]
    cluster.expect(*(f"load{number}-1-begun" for number in range(4)))
    os.kill(cluster.pid, signal.SIGKILL)
    until(lambda: not cluster.session(), "the end of all processes")
    start_cluster().ready()
    for number, run in enumerate(runs):
        assert run.result(timeout=30) == f"load{number}-2"
