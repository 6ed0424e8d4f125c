"""Limits hold over several worker processes, and over their deaths."""

from __future__ import annotations

import os
import signal

import pytest

from django_workflows import start, start_many
from tests.cluster.harness import ClusterProcess, until
from tests.cluster.tasks import mark
from tests.faults import checks
from tests.faults.processes import workflows
from tests.faults.processes.conftest import StartCluster, pids_of

pytestmark = [pytest.mark.slow, pytest.mark.django_db(transaction=True)]


def _most_at_once(cluster: ClusterProcess, what: str) -> int:
    """The most that were between their two marks, which are in the order of time."""
    count = most = 0
    for line in cluster.marks_path.read_text().splitlines():
        key = line.split()[0]
        count += (key == f"{what}-begun") - (key == f"{what}-ended")
        most = max(most, count)
    return most


def test_five_of_five_hundred_on_three_processes(start_cluster: StartCluster) -> None:
    cluster = start_cluster(3)
    # The first do not end before there are five of them.
    runs = start_many(workflows.narrows, [(str(n), 5) for n in range(500)])
    seen = [run.result(timeout=120) for run in runs]
    assert max(seen) == 5
    assert _most_at_once(cluster, "narrow") == 5
    assert cluster.marks()["narrow-begun"] == cluster.marks()["narrow-ended"] == 500
    assert len(set(pids_of(cluster, "narrow-begun"))) > 1
    for run in runs[::50]:
        checks.check_log(run)


def test_killed_workers_free_what_they_held(start_cluster: StartCluster) -> None:
    """Five are at work, and cannot end before there were eleven beginnings."""
    cluster = start_cluster(3)
    runs = [start(workflows.narrows, str(n), 11) for n in range(7)]
    until(lambda: cluster.marks()["narrow-begun"] == 5, "five at work")
    for pid in set(pids_of(cluster, "narrow-begun")):
        os.kill(pid, signal.SIGKILL)
    until(lambda: cluster.marks()["narrow-begun"] >= 10, "five others")
    # The eleventh beginning: they may end now.
    mark("narrow-begun")
    assert [run.result(timeout=90) for run in runs]
    for run in runs:
        checks.check_log(run)


def test_few_runs_are_open_at_once(start_cluster: StartCluster) -> None:
    cluster = start_cluster(3)
    runs = start_many(workflows.one_of_few, [(str(n),) for n in range(100)])
    for run in runs:
        assert run.result(timeout=90) == "few-ended"
    assert 1 <= _most_at_once(cluster, "few") <= 3
