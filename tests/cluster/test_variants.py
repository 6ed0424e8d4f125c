"""The command's options, the Redis variant, and django-q2's own cluster."""

from __future__ import annotations

import os
import signal
import time
from typing import Any

import pytest
from django.test import override_settings
from django_q.models import Failure, OrmQ, Success
from django_q.tasks import async_task

from django_workflows import start
from tests.cluster import tasks, workflows
from tests.cluster.conftest import StartCluster
from tests.cluster.harness import ClusterProcess, until
from tests.cluster.management.commands.patient import LONGEST_WAIT

pytestmark = pytest.mark.slow

REDIS_URL = "redis://127.0.0.1:6379/9"


def test_failing_task_is_stored_and_not_repeated(cluster: ClusterProcess) -> None:
    async_task(tasks.failing, "bad")
    until(lambda: Failure.objects.exists(), "the failure")
    until(lambda: not OrmQ.objects.exists(), "the acknowledgement")
    assert cluster.marks()["bad"] == 1


def test_long_arguments_and_results_pass(cluster: ClusterProcess) -> None:
    async_task(tasks.bulky, "bulk", b"x" * 1_000_000, save=True)
    cluster.expect("bulk-1000000")
    until(lambda: Success.objects.exists(), "the result")
    assert Success.objects.get().result == b"x" * 2_000_000


def test_task_beyond_its_time_limit_is_stopped(cluster: ClusterProcess) -> None:
    async_task(tasks.held, "long", "none", timeout=1)
    until(lambda: Failure.objects.exists(), "the failure")
    assert "timeout" in Failure.objects.get().result
    cluster.ready()
    async_task(tasks.mark, "after")
    cluster.expect("after")


def test_queues_are_served_by_name(start_cluster: StartCluster) -> None:
    async_task(tasks.mark, "default")
    async_task(tasks.mark, "one", cluster="one")
    async_task(tasks.mark, "two", cluster="two")
    cluster = start_cluster(
        *("workflows", "worker", "--processes", "1", "--queue", "one", "--queue", "two")
    )
    cluster.expect("one", "two")
    until(lambda: OrmQ.objects.count() == 1, "two acknowledgements")
    assert "default" not in cluster.marks()
    cluster.ready(workers=1)


@pytest.mark.parametrize(
    "options", [("--processes", "0"), ("--queue", ""), ("--queue", "a,b")]
)
def test_unusable_options_are_refused(
    start_cluster: StartCluster, options: tuple[str, ...]
) -> None:
    cluster = start_cluster("workflows", "worker", *options)
    assert cluster.end() == 1
    assert "CommandError" in cluster.log()
    assert "Traceback" not in cluster.log()


def test_plain_qcluster_works_and_says_what_is_better(
    start_cluster: StartCluster,
) -> None:
    cluster = start_cluster("qcluster")
    for number in range(5):
        async_task(tasks.mark, f"key{number}")
    cluster.expect(*(f"key{number}" for number in range(5)))
    until(lambda: not OrmQ.objects.exists(), "every acknowledgement")
    assert cluster.log().count("manage.py workflows worker") == 1
    os.kill(cluster.pid, signal.SIGTERM)
    assert cluster.end() == 0
    assert not cluster.session()


def test_plain_qcluster_replaces_a_worker_full_of_hanging_threads(
    start_cluster: StartCluster,
) -> None:
    cluster = start_cluster("qcluster")
    run = start(workflows.hangs, 16)  # two workers: one of them has eight, or both
    assert run.result(timeout=90) == ["StepTimeoutError"] * 16
    lines = cluster.marks_path.read_text().splitlines()
    hung = {int(line.split()[2]) for line in lines}
    until(lambda: hung - cluster.session(), "the end of a worker")
    assert "this process is replaced" in cluster.log()
    assert start(workflows.hop, "after").result(timeout=90) == "after"


def test_redis_wakes_the_cluster(
    start_cluster: StartCluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    redis = pytest.importorskip("redis")
    client: Any = redis.Redis.from_url(REDIS_URL)
    try:
        client.ping()
    except redis.ConnectionError:
        pytest.skip("needs Redis on this machine")
    finally:
        client.close()
    monkeypatch.setenv("WORKFLOWS_TEST_REDIS", REDIS_URL)
    cluster = start_cluster("patient")
    cluster.ready()
    with override_settings(WORKFLOWS={"REDIS_URL": REDIS_URL}):
        sent = {}
        for number in range(7):
            key = f"key{number}"
            sent[key] = time.monotonic()
            async_task(tasks.mark, key)
            cluster.expect(key)
    lines = [line.split() for line in cluster.marks_path.read_text().splitlines()]
    latencies = sorted(float(when) - sent[key] for key, when, _ in lines)
    # Without Redis' wake-ups most would have to wait for the next look.
    assert latencies[3] < LONGEST_WAIT / 2
