"""Steps that hang, fall silent or are cancelled, in real worker processes."""

from __future__ import annotations

import os
import signal
import time
from typing import Any

import pytest

from django_workflows import start, start_many
from django_workflows.models import Run, Step
from tests.app.models import Ledger
from tests.cluster.harness import ClusterProcess, until
from tests.faults import checks
from tests.faults.processes import timed, workflows
from tests.faults.processes.conftest import StartCluster, is_alive, pids_of

pytestmark = [pytest.mark.slow, pytest.mark.django_db(transaction=True)]

KINDS: dict[str, tuple[str, dict[str, Any]]] = {
    "thread": ("hangs", {}),
    "loop": ("hangs_on_loop", {}),
    "process": ("hangs", {"isolation": "process"}),
    "process loop": ("hangs_on_loop", {"isolation": "process"}),
}


def _types(run: Run) -> list[str]:
    return [e.type for e in run.history() if e.type.startswith("step_")]


# In a short slice no reactor runs any more when the time is over.
@pytest.mark.parametrize(
    ("kind", "slice"),
    [*((kind, "200ms") for kind in KINDS), ("thread", "30s"), ("process", "30s")],
)
def test_attempt_that_takes_too_long_is_given_up(
    start_cluster: StartCluster,
    kind: str,
    slice: str,  # noqa: A002
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("SLICE", slice)
    cluster = start_cluster(1)
    name, options = KINDS[kind]
    neighbour = start(workflows.waits, "w", 3.0)
    run = start(timed.calls, name, options | {"timeout": 1.0}, "a", 1)
    assert run.result(timeout=90) == 2
    assert _types(run) == [
        "step_created",
        "step_started",
        "step_timed_out",
        "step_started",
        "step_completed",
    ]
    if kind == "process":
        (pid,) = pids_of(cluster, "a-1")
        assert not is_alive(pid)
    if kind == "loop":
        cluster.expect("a-cancelled")
    assert neighbour.result(timeout=90) == ["w-thread", "w-loop"]
    assert cluster.marks()["w-thread-begun"] == cluster.marks()["w-loop-begun"] == 1
    assert len(cluster.pids("worker")) == 1
    for each in (run, neighbour):
        checks.check_log(each)


@pytest.mark.parametrize("isolation", ["thread", "process"])
def test_what_an_atomic_step_wrote_too_late_is_rolled_back(
    start_cluster: StartCluster, isolation: str
) -> None:
    cluster = start_cluster(1)
    options = {"timeout": 1, "isolation": isolation}
    run = start(timed.calls, "books_slowly", options, "a")
    assert run.result(timeout=90) == 2
    if isolation == "thread":
        cluster.expect("a-1-ended")
    time.sleep(0.3)  # for what must not happen
    assert [row.amount for row in Ledger.objects.filter(account="a")] == [2]
    checks.check_log(run)


@pytest.mark.parametrize("name", ["counts", "counts_on_loop"])
@pytest.mark.parametrize("isolation", ["thread", "process"])
def test_silent_attempt_is_given_up_and_its_details_are_handed_over(
    start_cluster: StartCluster, name: str, isolation: str
) -> None:
    start_cluster(1)
    options = {"heartbeat_timeout": 2, "isolation": isolation}
    run = start(timed.calls, name, options, "a")
    assert run.result(timeout=90) == [2, {"i": 7}]
    (event,) = [e for e in run.history() if e.type == "step_timed_out"]
    assert event.data["kind"] == "heartbeat"
    checks.check_log(run)


@pytest.mark.parametrize("name", ["counts", "counts_on_loop"])
@pytest.mark.parametrize("options", [{}, {"heartbeat_timeout": 30}], ids=str)
def test_details_are_handed_over_after_the_worker_was_killed(
    cluster: ClusterProcess, name: str, options: dict[str, Any]
) -> None:
    run = start(timed.calls, name, options, "a")
    cluster.expect("a-told")
    os.kill(pids_of(cluster, "a-told")[0], signal.SIGKILL)
    number, details = run.result(timeout=90)
    assert number == 2
    # Of those that came fast on each other, the last ones may not have been stored.
    assert details["i"] == 7 if name == "counts_on_loop" else details["i"] >= 0
    assert _types(run).count("step_retrying") == 1
    checks.check_log(run)


def test_details_of_a_slow_step_are_those_last_given(cluster: ClusterProcess) -> None:
    """The last one is stored although none came after it."""
    run = start(timed.calls, "counts", {}, "a")
    cluster.expect("a-told")

    def stored() -> bool:
        row = Step.objects.filter(run=run).first()
        return row is not None and bytes(row.heartbeat or b"") == b'{"i":7}'

    until(stored, "the last details")
    os.kill(pids_of(cluster, "a-told")[0], signal.SIGKILL)
    assert run.result(timeout=90) == [2, {"i": 7}]


def test_worker_full_of_given_up_threads_is_replaced(
    start_cluster: StartCluster,
) -> None:
    cluster = start_cluster(1)
    (worn_out,) = cluster.pids("worker")
    keys = [f"h{number}" for number in range(8)]
    run = start(timed.calls_many, keys, 0.5)
    assert run.result(timeout=90) == ["StepTimeoutError"] * 8
    until(lambda: not is_alive(worn_out), "the end of the worn out process")
    until(lambda: len(cluster.pids("worker")) == 1, "another process")
    assert cluster.pids("worker") != [worn_out]
    assert "this process is replaced" in cluster.log()
    assert "died (exit code" not in cluster.log()
    for chain in start_many(workflows.chain, [(f"c{n}", 5) for n in range(5)]):
        assert chain.result(timeout=90) == 5
    checks.check_log(run)


def test_worker_whose_loop_is_blocked_is_replaced(start_cluster: StartCluster) -> None:
    cluster = start_cluster(1)
    (worn_out,) = cluster.pids("worker")
    run = start(timed.calls, "blocks_the_loop", {"timeout": 0.5}, "a")
    assert run.result(timeout=90) > 1
    until(lambda: not is_alive(worn_out), "the end of the worn out process")
    assert "this process is replaced" in cluster.log()
    checks.check_log(run)


def test_threads_given_up_are_no_slots(start_cluster: StartCluster) -> None:
    cluster = start_cluster(1)
    keys = [f"h{number}" for number in range(6)]
    run = start(timed.calls_many, keys, 0.5)
    assert run.result(timeout=90) == ["StepTimeoutError"] * 6
    # Eight threads at once have room beside the six that hang: with two of them the
    # last would begin after three minutes.
    others = start_many(
        timed.calls, [("hangs", {"timeout": 60}, f"o{n}", 1) for n in range(8)]
    )
    cluster.expect(*(f"o{number}-1" for number in range(8)))
    for other in others:
        other.terminate()


@pytest.mark.parametrize(
    ("name", "isolation", "how"),
    [
        ("listens", "thread", "cancel"),
        ("listens", "process", "terminate"),
        ("listens_on_loop", "thread", "terminate"),
        ("listens_on_loop", "process", "cancel"),
    ],
)
def test_step_in_another_process_learns_that_it_was_cancelled(
    start_cluster: StartCluster, name: str, isolation: str, how: str
) -> None:
    start_cluster(1)
    other = start_cluster(1, "other")
    options = {"queue": "other", "isolation": isolation}
    run = start(timed.calls, name, options, "a")
    other.expect("a-begun")
    getattr(run, how)()
    other.expect("a-stopped")
    until(lambda: Run.objects.get(pk=run.pk).is_closed, "the end")
    assert Step.objects.get(run=run).status == "cancelled"


@pytest.mark.parametrize("name", ["listens", "listens_on_loop"])
def test_step_of_a_terminated_run_learns_it_from_its_own_worker(
    start_cluster: StartCluster, name: str
) -> None:
    cluster = start_cluster(1)
    run = start(timed.calls, name, {}, "a")
    cluster.expect("a-begun")
    run.terminate()
    cluster.expect("a-stopped")


@pytest.mark.parametrize("queue", ["default", "other"])
@pytest.mark.parametrize("how", ["return", "error"])
def test_started_step_outlives_a_run_that_ends_by_itself(
    start_cluster: StartCluster, queue: str, how: str
) -> None:
    cluster = start_cluster(1)
    other = start_cluster(1, "other") if queue == "other" else cluster
    run = start(timed.leaves, "a", queue, how)
    other.expect("a-begun", "a-ended")
    assert other.marks()["a-stopped"] == 0
    until(lambda: Run.objects.get(pk=run.pk).is_closed, "the end")
    checks.check_log(run)


def test_cancelled_step_does_not_outlive_a_run_that_ends_by_itself(
    start_cluster: StartCluster,
) -> None:
    start_cluster(1)
    other = start_cluster(1, "other")
    run = start(timed.leaves, "a", "other", "time-out")
    other.expect("a-stopped")
    assert run.result(timeout=90) == "time-out"
    assert other.marks()["a-ended"] == 0
