"""Steps that hang, fall silent or are cancelled, in real worker processes."""

from __future__ import annotations

import os
import signal
import time
from functools import partial
from itertools import product
from typing import Any

import pytest

from django_workflows import resume_hook, start, start_many
from django_workflows.models import Run, Step
from tests.app.models import Ledger
from tests.cluster.harness import ClusterProcess, until
from tests.faults import checks
from tests.faults.processes import timed, workflows
from tests.faults.processes.conftest import StartCluster, is_alive, pids_of

pytestmark = [pytest.mark.slow, pytest.mark.django_db(transaction=True)]

#: A step that hangs, and where.
KINDS: dict[str, tuple[str, dict[str, Any]]] = {
    "thread": ("hangs", {}),
    "process": ("hangs", {"isolation": "process"}),
    "loop": ("hangs_on_loop", {}),
    "process-loop": ("hangs_on_loop", {"isolation": "process"}),
}
ISOLATIONS = ("thread", "process")


#: Options of a step that hangs at first. On a busy machine attempts that do not hang
#: may be late as well.
LATE: dict[str, Any] = {"timeout": 1, "max_retries": 50}


def _types(run: Run) -> list[str]:
    return [e.type for e in run.history() if e.type.startswith("step_")]


def _check_time_outs(run: Run, least: int = 1) -> int:
    """Whether all attempts but the last were timed out; returns its number."""
    number = _types(run).count("step_started")
    late = ["step_started", "step_timed_out"] * (number - 1)
    assert _types(run) == ["step_created", *late, "step_started", "step_completed"]
    assert number > least
    return number


# In a short slice no reactor runs any more when the time is over.
@pytest.mark.parametrize("slice", ["200ms", "30s"])
def test_attempts_that_take_too_long_are_given_up(
    start_cluster: StartCluster,
    slice: str,  # noqa: A002
) -> None:
    cluster = start_cluster(1, SLICE=slice)
    neighbour = start(workflows.waits, "w", "end")
    cluster.expect("w-thread-begun", "w-loop-begun")
    runs = {
        kind: start(timed.calls, name, options | LATE, kind, 1)
        for kind, (name, options) in KINDS.items()
    }
    for run in runs.values():
        assert run.result(timeout=90) == _check_time_outs(run)
    (pid,) = pids_of(cluster, "process-hangs")
    until(lambda: not is_alive(pid), "the end of the process")
    cluster.expect("loop-cancelled")
    cluster.open_gate("end")
    assert neighbour.result(timeout=90) == ["w-thread", "w-loop"]
    assert cluster.marks()["w-thread-begun"] == cluster.marks()["w-loop-begun"] == 1
    assert len(cluster.pids("worker")) == 1
    for each in (neighbour, *runs.values()):
        checks.check_log(each)


def test_what_an_atomic_step_wrote_too_late_is_rolled_back(
    start_cluster: StartCluster,
) -> None:
    cluster = start_cluster(1)
    runs = [
        start(timed.calls, "books_slowly", LATE | {"isolation": each}, each)
        for each in ISOLATIONS
    ]
    numbers = [run.result(timeout=90) for run in runs]
    cluster.expect("thread-late")
    time.sleep(0.3)  # for what must not happen
    for run, account, number in zip(runs, ISOLATIONS, numbers, strict=True):
        assert number == _check_time_outs(run)
        booked = Ledger.objects.filter(account=account)
        assert [row.amount for row in booked] == [number]
        checks.check_log(run)


def test_silent_attempts_are_given_up_and_their_details_are_handed_over(
    start_cluster: StartCluster,
) -> None:
    start_cluster(1)
    runs = [
        start(
            timed.calls,
            name,
            {"heartbeat_timeout": 2, "isolation": isolation, "max_retries": 50},
            f"{name}-{isolation}",
            {"i": 7},
        )
        for name, isolation in product(("counts", "counts_on_loop"), ISOLATIONS)
    ]
    for run in runs:
        assert run.result(timeout=90) == [_check_time_outs(run), {"i": 7}]
        ends = [e for e in run.history() if e.type == "step_timed_out"]
        assert {event.data["kind"] for event in ends} == {"heartbeat"}
        checks.check_log(run)


def test_details_are_handed_over_after_the_worker_was_killed(
    start_cluster: StartCluster,
) -> None:
    cluster = start_cluster(1)
    runs = {
        (name, timeout): start(
            timed.calls, name, {"heartbeat_timeout": timeout}, f"{name}-{timeout}"
        )
        for name, timeout in product(("counts", "counts_on_loop"), (None, 30))
    }
    cluster.expect(*(f"{name}-{timeout}-told" for name, timeout in runs))
    for (name, _), run in runs.items():
        if name == "counts_on_loop":  # which does not wait until they are stored
            until(partial(_has_stored, run, b'{"i":7}'), "the last details")
    (worker,) = cluster.pids("worker")
    os.kill(worker, signal.SIGKILL)
    for (name, _), run in runs.items():
        number, details = run.result(timeout=90)
        assert number == 2
        # Of those that came fast on each other, the last may not have been stored.
        assert details["i"] == 7 if name == "counts_on_loop" else details["i"] >= 0
        assert _types(run).count("step_retrying") == 1
        checks.check_log(run)


def test_details_of_a_slow_step_are_those_last_given(cluster: ClusterProcess) -> None:
    """The last one is stored although none came after it."""
    run = start(timed.calls, "counts", {}, "a")
    cluster.expect("a-told")
    until(partial(_has_stored, run, b'{"i":7}'), "the last details")
    os.kill(pids_of(cluster, "a-told")[0], signal.SIGKILL)
    assert run.result(timeout=90) == [2, {"i": 7}]


def _has_stored(run: Run, details: bytes) -> bool:
    row = Step.objects.filter(run=run).first()
    return row is not None and bytes(row.heartbeat or b"") == details


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
    """Although it has nothing else to do."""
    cluster = start_cluster(1, GRACE="1s")
    (worn_out,) = cluster.pids("worker")
    run = start(timed.calls, "blocks_the_loop", LATE, "a")
    cluster.expect("a-1")
    until(lambda: not is_alive(worn_out), "the end of the worn out process")
    assert run.result(timeout=90) > 1
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
    cluster.expect(*(f"o{number}-hangs" for number in range(8)))
    for other in others:
        other.terminate()


def test_step_in_another_process_learns_that_it_was_cancelled(
    start_cluster: StartCluster,
) -> None:
    start_cluster(1)
    other = start_cluster(1, "other")
    runs = [
        (
            start(timed.calls, name, {"queue": "other", "isolation": where}, key),
            how,
            key,
        )
        for name, where, how, key in (
            ("listens", "thread", "cancel", "a"),
            ("listens", "process", "terminate", "b"),
            ("listens_on_loop", "thread", "terminate", "c"),
            ("listens_on_loop", "process", "cancel", "d"),
        )
    ]
    for run, how, key in runs:
        other.expect(f"{key}-begun")
        getattr(run, how)()
    for run, _, key in runs:
        other.expect(f"{key}-stopped")
        until(partial(_is_closed, run), "the end")
        assert Step.objects.get(run=run).status == "cancelled"


def _is_closed(run: Run) -> bool:
    return Run.objects.get(pk=run.pk).is_closed


def test_steps_of_a_terminated_run_learn_it_from_their_own_worker(
    start_cluster: StartCluster,
) -> None:
    cluster = start_cluster(1)
    names = ("listens", "listens_on_loop")
    runs = [start(timed.calls, name, {}, name) for name in names]
    cluster.expect(*(f"{name}-begun" for name in names))
    for run in runs:
        run.terminate()
    cluster.expect(*(f"{name}-stopped" for name in names))


def test_only_a_cancelled_step_ends_with_a_run_that_ends_by_itself(
    start_cluster: StartCluster,
) -> None:
    """One that was merely started goes on."""
    clusters = {"default": start_cluster(1), "other": start_cluster(1, "other")}
    cancelled = start(timed.leaves, "cancelled", "other", "time-out")
    left = {
        f"{queue}-{how}": start(timed.leaves, f"{queue}-{how}", queue, how)
        for queue, how in product(clusters, ("return", "error"))
    }
    for key, run in left.items():
        cluster = clusters[key.partition("-")[0]]
        cluster.expect(f"{key}-begun")
        resume_hook(key, "leave")
        until(partial(_is_closed, run), "the end")
        cluster.open_gate(key)
        cluster.expect(f"{key}-ended")
        assert cluster.marks()[f"{key}-stopped"] == 0
        checks.check_log(run)
    clusters["other"].expect("cancelled-begun")
    resume_hook("cancelled", "leave")
    clusters["other"].expect("cancelled-stopped")
    assert cancelled.result(timeout=90) == "time-out"
    assert clusters["other"].marks()["cancelled-ended"] == 0
