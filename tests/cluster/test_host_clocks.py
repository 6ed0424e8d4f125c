"""Workers on hosts whose clocks are wrong: the time that counts is the database's."""

from __future__ import annotations

import time
from collections.abc import Callable
from datetime import datetime

import pytest
from django.db import connection

from django_workflows import create_schedule, start
from django_workflows.models import Run, Worker
from django_workflows.store.timeline import timeline
from tests.cluster import workflows
from tests.cluster.conftest import StartCluster
from tests.cluster.harness import ClusterProcess, until

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(
        connection.vendor == "sqlite", reason="is used by one host, which has one clock"
    ),
]

#: Seconds; far more than a lease.
WRONG_BY = 600
DELAY = 3.0
EVERY, TICKS = 0.2, 20

StartWrong = Callable[[int], ClusterProcess]


@pytest.fixture
def start_wrong(
    start_cluster: StartCluster, monkeypatch: pytest.MonkeyPatch
) -> StartWrong:
    """Return a function that starts a cluster whose clock is so many seconds ahead."""

    def start(ahead: int) -> ClusterProcess:
        monkeypatch.setenv("HOST_CLOCK_AHEAD", str(ahead))
        settings = "--settings=tests.cluster.ahead"
        command = ("workflows", settings, "worker", "--processes", "2")
        cluster = start_cluster(*command, LEASE="30s")
        cluster.ready()
        return cluster

    return start


def _heartbeats(owners: set[str]) -> dict[str, datetime]:
    rows = Worker.objects.filter(pk__in=owners)
    return dict(rows.values_list("pk", "heartbeat_at"))


def test_nobody_takes_the_runs_of_others(start_wrong: StartWrong) -> None:
    cluster = start_wrong(-WRONG_BY)
    runs = [start(workflows.haul, f"load{number}", "end") for number in range(4)]
    cluster.expect(*(f"load{number}-1-begun" for number in range(4)))
    start_wrong(WRONG_BY)
    # Between two heartbeats a cluster looks several times for workers that are gone.
    owners = set(Run.objects.values_list("owner", flat=True))
    before = _heartbeats(owners)
    until(
        lambda: all(_heartbeats(owners)[each] > before[each] for each in owners),
        "heartbeats of the owners",
    )
    cluster.open_gate("end")
    for number, run in enumerate(runs):
        assert run.result(timeout=90) == f"load{number}-2"
    attempts = [each.attempts for run in runs for each in timeline(run)]
    assert [len(each) for each in attempts] == [1] * 8


@pytest.mark.parametrize("ahead", [WRONG_BY, -WRONG_BY])
def test_delays_are_over_in_time(start_wrong: StartWrong, ahead: int) -> None:
    cluster = start_wrong(ahead)
    began = time.monotonic()
    start(workflows.hop.options(delay=DELAY), "delayed")
    cluster.expect("delayed")
    assert time.monotonic() - began >= DELAY


def test_schedules_are_on_time(start_wrong: StartWrong) -> None:
    start_wrong(WRONG_BY)
    cluster = start_wrong(-WRONG_BY)
    began = time.monotonic()
    create_schedule(
        "ticks",
        workflows.hop,
        args=["tick"],
        interval=EVERY,
        overlap="allow_all",
        remaining_runs=TICKS,
    )
    until(lambda: cluster.marks()["tick"] == TICKS, "all times")
    lines = cluster.marks_path.read_text().splitlines()
    times = sorted(float(line.split()[1]) - began for line in lines)
    assert all(time >= number * EVERY for number, time in enumerate(times))
