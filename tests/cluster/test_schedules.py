"""A schedule served by three workers, of which those at work are killed."""

from __future__ import annotations

import os
import signal
from contextlib import suppress
from datetime import timedelta
from functools import partial

import pytest

from django_workflows import create_schedule
from django_workflows.models import Run, Schedule
from tests.cluster import workflows
from tests.cluster.conftest import StartCluster
from tests.cluster.harness import ClusterProcess, until

pytestmark = pytest.mark.slow

EVERY = timedelta(seconds=0.2)
TICKS = 40


def _has_run(cluster: ClusterProcess, times: int) -> bool:
    return cluster.marks()["tick"] >= times


def test_each_time_has_one_run_whoever_is_killed(start_cluster: StartCluster) -> None:
    cluster = start_cluster("workflows", "worker", "--processes", "3")
    cluster.ready(workers=3)
    schedule = create_schedule(
        "ticks",
        workflows.hop,
        args=["tick"],
        interval=EVERY,
        overlap="allow_all",
        remaining_runs=TICKS,
    )
    begin = schedule.next_run_at
    assert begin is not None
    for seen in (8, 16, 24):
        until(partial(_has_run, cluster, seen), "more runs")
        leader = int(cluster.marks_path.read_text().splitlines()[-1].split()[2])
        with suppress(ProcessLookupError):
            os.kill(leader, signal.SIGKILL)
    until(
        lambda: Schedule.objects.get().next_run_at is None and not Run.objects.open(),
        "the end of all runs",
    )
    times = Run.objects.values_list("attributes__scheduled_at", flat=True)
    expected = [(begin + n * EVERY).isoformat() for n in range(TICKS)]
    assert sorted(times) == expected
    assert set(Run.objects.values_list("status", flat=True)) == {"completed"}
    assert cluster.log().count("ready for work at") >= 4
