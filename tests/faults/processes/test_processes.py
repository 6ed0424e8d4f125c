"""Processes are killed, suspended and shut down with runs in their hands."""

from __future__ import annotations

import os
import random
import signal
import time
from contextlib import suppress
from decimal import Decimal
from functools import partial

import pytest
from django.db import connection
from django.db.models import Sum

from django_workflows import start, start_many
from django_workflows.errors import StepCrashedError, WorkflowRunFailedError
from django_workflows.models import Run
from tests.app.models import Ledger
from tests.cluster.harness import ClusterProcess, until
from tests.databases import cut_off_others
from tests.faults import checks
from tests.faults.processes import workflows
from tests.faults.processes.conftest import StartCluster, is_alive, pids_of

pytestmark = [pytest.mark.slow, pytest.mark.django_db(transaction=True)]


def _reasons(run: Run) -> list[str]:
    """Why attempts did not end as they should have."""
    return [e.data["reason"] for e in run.history() if e.type == "step_retrying"]


def _begun(runs: int) -> list[str]:
    """What so many runs of `waits` mark when their steps begin."""
    kinds = ("thread", "loop")
    return [f"w{number}-{kind}-begun" for number in range(runs) for kind in kinds]


def _fewer_open(runs: list[Run], share: int) -> bool:
    """Whether at most so many of the runs have not ended."""
    ids = [run.pk for run in runs]
    return Run.objects.filter(pk__in=ids).open().count() <= share


def _random_worker(cluster: ClusterProcess, seed: random.Random) -> int:
    return seed.choice(until(lambda: cluster.pids("worker"), "a worker"))


def test_worker_killed_in_a_step_runs_only_that_again(cluster: ClusterProcess) -> None:
    run = start(workflows.three, "a", False)
    cluster.expect("a-begun")
    os.kill(pids_of(cluster, "a-begun")[0], signal.SIGKILL)
    until(lambda: cluster.marks()["a-begun"] == 2, "a second attempt")
    cluster.open_gate("a")
    assert run.result(timeout=90) == ["a-first", 2, "a-last"]
    assert cluster.marks() == {"a-first": 1, "a-begun": 2, "a-ended": 1, "a-last": 1}
    assert _reasons(run) == ["crash"]
    checks.check_log(run)


def test_worker_killed_in_an_atomic_step_books_once(cluster: ClusterProcess) -> None:
    run = start(workflows.three, "a", True)
    cluster.expect("a-begun")
    os.kill(pids_of(cluster, "a-begun")[0], signal.SIGKILL)
    until(lambda: cluster.marks()["a-begun"] == 2, "a second attempt")
    cluster.open_gate("a")
    assert run.result(timeout=90) == ["a-first", 2, "a-last"]
    assert Ledger.objects.filter(account="a").count() == 1
    checks.check_log(run)


def test_killed_cluster_is_continued_by_another_one(
    start_cluster: StartCluster,
) -> None:
    first = start_cluster()
    guarded = start(workflows.three, "a", False)
    chains = start_many(workflows.chain, [(f"c{n}", 20) for n in range(5)])
    first.expect("a-begun", "c0-3")
    for pid in first.session():
        os.kill(pid, signal.SIGKILL)
    second = start_cluster()
    second.open_gate("a")
    assert guarded.result(timeout=90) == ["a-first", 2, "a-last"]
    for run in chains:
        assert run.result(timeout=90) == 20
    for run in [guarded, *chains]:
        checks.check_log(run)
    marks = second.marks()
    for run in chains:
        started = [e for e in run.history() if e.type == "step_started"]
        ran = sum(marks[f"{run.args[0]}-{number}"] for number in range(20))
        assert 20 <= ran <= len(started)


@pytest.mark.parametrize("atomic", [False, True], ids=["plain", "atomic"])
def test_worker_suspended_beyond_its_lease_changes_nothing(
    start_cluster: StartCluster, atomic: bool
) -> None:
    if atomic and connection.vendor == "sqlite":
        pytest.skip("a suspended writer excludes all others")
    cluster = start_cluster(LEASE="8s")
    run = start(workflows.three, "a", atomic)
    cluster.expect("a-begun")
    zombie = pids_of(cluster, "a-begun")[0]
    os.kill(zombie, signal.SIGSTOP)
    try:
        until(lambda: cluster.marks()["a-begun"] == 2, "a second attempt")
        cluster.open_gate("a")
        assert run.result(timeout=90) == ["a-first", 2, "a-last"]
        before = [(e.seq, e.type, e.detail) for e in run.history()]
    finally:
        os.kill(zombie, signal.SIGCONT)
    # Runs enough that the one who was dead has its part in them, if it will.
    chains = start_many(workflows.chain, [(f"c{n}", 5) for n in range(20)])
    for chain in chains:
        assert chain.result(timeout=90) == 5
    until(
        lambda: cluster.marks()["a-ended"] == 2 or not is_alive(zombie),
        "the end of the first attempt",
    )
    until(lambda: "taken for dead" in cluster.log() or not is_alive(zombie), "news")
    assert [(e.seq, e.type, e.detail) for e in run.history()] == before
    assert Ledger.objects.filter(account="a").count() == int(atomic)
    for each in [run, *chains]:
        checks.check_log(each)


def test_step_cut_off_by_a_shutdown_runs_again_elsewhere(
    start_cluster: StartCluster,
) -> None:
    first = start_cluster(1, GRACE="1s")
    run = start(workflows.three, "a", False)
    first.expect("a-begun")
    os.kill(first.pid, signal.SIGTERM)
    assert first.end() == 0
    assert not first.session()
    second = start_cluster(1)
    until(lambda: second.marks()["a-begun"] == 2, "a second attempt")
    second.open_gate("a")
    assert run.result(timeout=90) == ["a-first", 2, "a-last"]
    assert _reasons(run) == ["shutdown"]
    (step,) = run.steps.filter(name="processes.guarded")
    assert (step.errors, step.crashes) == (0, 0)
    checks.check_log(run)


def test_step_that_ends_within_the_grace_time_runs_once(
    start_cluster: StartCluster,
) -> None:
    first = start_cluster(1)
    runs = [start(workflows.waits, f"w{number}", "end") for number in range(3)]
    first.expect(*_begun(3))
    os.kill(first.pid, signal.SIGTERM)
    until(lambda: "stopping" in first.log(), "the drain")
    first.open_gate("end")
    assert first.end() == 0
    second = start_cluster(1)
    for number, run in enumerate(runs):
        assert run.result(timeout=90) == [f"w{number}-thread", f"w{number}-loop"]
        assert _reasons(run) == []
        checks.check_log(run)
    assert set(second.marks().values()) == {1}


def test_step_that_kills_its_process_fails_and_its_neighbours_do_not(
    start_cluster: StartCluster,
) -> None:
    cluster = start_cluster(1)
    innocents = [start(workflows.waits, f"w{number}", "end") for number in range(3)]
    cluster.expect(*_begun(3))
    deadly = start(workflows.kills, "k")
    cluster.expect("k-deadly")
    cluster.open_gate("end")
    with pytest.raises(WorkflowRunFailedError) as caught:
        deadly.result(timeout=90)
    assert isinstance(caught.value.cause, StepCrashedError)
    # Once beside its neighbours, and as often as it may while it was alone.
    assert cluster.marks()["k-deadly"] == 4
    for number, run in enumerate(innocents):
        assert run.result(timeout=90) == [f"w{number}-thread", f"w{number}-loop"]
    for run in [deadly, *innocents]:
        checks.check_log(run)
    assert start(workflows.chain, "after", 3).result(timeout=90) == 3


def test_endless_workflow_code_is_blocked_and_others_go_on(
    start_cluster: StartCluster,
) -> None:
    cluster = start_cluster(1, BURST_TIMEOUT="2s")
    run = start(workflows.spins, "s")
    cluster.expect("s")
    others = start_many(workflows.chain, [(f"c{n}", 5) for n in range(5)])
    for other in others:
        assert other.result(timeout=90) == 5

    def is_blocked() -> bool:
        run.refresh_from_db()
        return bool(run.blocked_reason)

    until(is_blocked, "the run to be blocked")
    assert "BURST_TIMEOUT" in run.blocked_reason
    assert "spins" in run.blocked_reason
    assert run.status == Run.Status.RUNNING


def test_workflow_code_that_kills_its_workers_is_blocked(
    cluster: ClusterProcess,
) -> None:
    run = start(workflows.crashes, "s")
    others = start_many(workflows.chain, [(f"c{n}", 30) for n in range(5)])

    def is_blocked() -> bool:
        run.refresh_from_db()
        return bool(run.blocked_reason)

    until(is_blocked, "the run to be blocked")
    assert "killed" in run.blocked_reason
    for other in others:
        assert other.result(timeout=90) == 30
        checks.check_log(other)
    # The first time beside others, and three times alone; its step ran before each.
    assert cluster.marks()["s"] <= 4


def test_lost_database_connections_lose_nothing(cluster: ClusterProcess) -> None:
    if connection.vendor == "sqlite":
        pytest.skip("there is no server to cut the connections")
    runs = start_many(workflows.transfer, [(f"t{n}",) for n in range(60)])
    for share in (50, 40, 30, 20, 10):
        cut_off_others()
        until(partial(_fewer_open, runs, share), "progress")
    for run in runs:
        assert run.result(timeout=90) == 7
        checks.check_log(run)
    _check_bookings(len(runs))


def test_atomic_steps_book_once_whatever_is_killed(cluster: ClusterProcess) -> None:
    seed = random.Random(7)
    runs = start_many(workflows.transfer, [(f"t{n}",) for n in range(200)])
    for share in (180, 140, 100, 60, 20):
        until(partial(_fewer_open, runs, share), "progress")
        time.sleep(seed.random() * 0.05)  # anywhere in a round, not where it commits
        with suppress(ProcessLookupError):  # it had been killed before
            os.kill(_random_worker(cluster, seed), signal.SIGKILL)
    for run in runs:
        assert run.result(timeout=90) == 7
    for run in runs:
        checks.check_log(run)
    marks = cluster.marks()
    for run in runs:
        started = [e for e in run.history() if e.type == "step_started"]
        assert 1 <= marks[run.args[0]] <= len(started) - 3
    _check_bookings(len(runs))


def _check_bookings(runs: int) -> None:
    sums = Ledger.objects.values_list("account").annotate(Sum("amount"))
    assert dict(sums) == {f"t{number}": Decimal(7) for number in range(runs)}
    assert Ledger.objects.count() == 3 * runs
