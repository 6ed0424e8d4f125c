"""Processes that are alive and do nothing are noticed and replaced."""

from __future__ import annotations

import os
import signal
import time

import pytest
from django_q.tasks import async_task

from tests.cluster import tasks
from tests.cluster.conftest import StartCluster
from tests.cluster.harness import ClusterProcess, until
from tests.cluster.management.commands.impatient import PATIENCE

pytestmark = pytest.mark.slow


@pytest.fixture
def impatient(start_cluster: StartCluster) -> ClusterProcess:
    cluster = start_cluster("impatient")
    cluster.ready()
    return cluster


def test_cluster_that_takes_no_work_ends_with_an_error(
    impatient: ClusterProcess,
) -> None:
    """A supervisor starts it anew."""
    (pusher,) = impatient.pids("pusher")
    os.kill(pusher, signal.SIGSTOP)
    assert impatient.end() == 1
    assert "the pusher does not ask for work" in impatient.log()
    assert not impatient.session()


def test_sentinel_that_does_not_move_is_replaced(impatient: ClusterProcess) -> None:
    (sentinel,) = impatient.pids("sentinel")
    os.kill(sentinel, signal.SIGSTOP)
    until(lambda: sentinel not in impatient.pids("sentinel"), "the sentinel's end")
    impatient.ready()
    async_task(tasks.mark, "after")
    impatient.expect("after")
    os.kill(impatient.pid, signal.SIGTERM)
    assert impatient.end() == 0


def test_idle_cluster_is_left_in_peace(impatient: ClusterProcess) -> None:
    """Neither while all are busy for longer than that, nor while nobody is."""
    for number in range(2):
        async_task(tasks.held, f"key{number}", "end")
    impatient.expect("key0-begun", "key1-begun")
    time.sleep(PATIENCE + 1)
    impatient.open_gate("end")
    impatient.expect("key0", "key1")
    time.sleep(PATIENCE + 1)
    assert len(impatient.pids("sentinel")) == 1
    assert "stuck" not in impatient.log()
