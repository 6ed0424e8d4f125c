"""Process groups are started, killed, restarted and stopped for real."""

from __future__ import annotations

import re
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from example_project.shop.demo import cluster as module
from example_project.shop.demo.cluster import Cluster, Clusters, group_of
from example_project.shop.demo.progress import ClusterState
from tests.cluster.harness import until

#: A parent with one child, as far as a demo can tell a cluster.
PARENT = """
import signal, subprocess, sys, time
child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
def stop(*args):
    child.kill()
    child.wait()
    sys.exit(0)
signal.signal(signal.SIGTERM, stop)
print(f"child {child.pid}", flush=True)
while True:
    time.sleep(600)
"""

DEAF = """
import signal, time
signal.signal(signal.SIGTERM, signal.SIG_IGN)
print("child 0", flush=True)
while True:
    time.sleep(600)
"""

Make = Callable[[str], Cluster]


@pytest.fixture
def make(tmp_path: Path) -> Iterator[Make]:
    made: list[Cluster] = []

    def make(code: str) -> Cluster:
        log = tmp_path / f"{len(made)}.log"
        made.append(Cluster(f"cluster {len(made)}", [sys.executable, "-c", code], log))
        return made[-1]

    yield make
    for cluster in made:
        cluster.kill()


def child_of(cluster: Cluster) -> int:
    until(lambda: cluster.log.read_text().endswith("\n"), "its first line")
    return int(re.findall(r"child (\d+)", cluster.log.read_text())[-1])


def test_clusters_kill_one_takes_all_its_processes(make: Make) -> None:
    cluster = make(PARENT)
    child = child_of(cluster)
    clusters = Clusters([cluster])
    assert clusters.kill_one() == "all of cluster 0"
    assert not cluster.is_running
    until(
        lambda: group_of(child) != cluster.group or is_zombie(child), "the child's end"
    )
    assert clusters.kill_one() is None


def test_clusters_restart_dead_starts_what_was_killed(make: Make) -> None:
    cluster = make(PARENT)
    clusters = Clusters([cluster])
    assert clusters.restart_dead() == []
    first = child_of(cluster)
    clusters.kill_one()
    assert clusters.restart_dead() == ["cluster 0"]
    until(lambda: child_of(cluster) != first, "another child")
    assert clusters.restarts == 1


def test_clusters_kill_child_spares_the_first_process(make: Make) -> None:
    cluster = make(PARENT)
    child = child_of(cluster)
    clusters = Clusters([cluster])
    assert clusters.kill_child([cluster.group, 2**22]) is None
    said = clusters.kill_child([cluster.group, child])
    assert said == f"worker {child} of cluster 0"
    assert clusters.states() == [ClusterState("cluster 0", True, kills=1)]


def test_clusters_stop_in_order(make: Make) -> None:
    clusters = [make(PARENT), make(PARENT)]
    for cluster in clusters:
        child_of(cluster)
    assert Clusters(clusters).stop() == []


def test_clusters_stop_kills_what_does_not_end(
    make: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "GRACE", 0.2)
    cluster = make(DEAF)
    child_of(cluster)
    assert Clusters([cluster]).stop() == ["cluster 0"]
    assert not cluster.is_running


def is_zombie(pid: int) -> bool:
    status = Path(f"/proc/{pid}/stat")
    return (
        not status.exists() or status.read_text().rpartition(")")[2].split()[0] == "Z"
    )
