"""A run's deadline ends it wherever it is, without running any of its code."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from typing import Any

import pytest

from django_workflows import (
    HookNotFoundError,
    InvalidRunStateError,
    WorkflowRunTimedOutError,
    create_hook,
    get_hook_by_token,
    resume_hook,
    sleep,
    start,
    step,
    workflow,
)
from django_workflows.models import Event, Run, Step
from django_workflows.store import due
from django_workflows.testing import WorkflowTester

log: list[str] = []
misbehaves: list[bool] = []
#: The kit, for steps in which time passes.
kit: list[WorkflowTester] = []


@pytest.fixture(autouse=True)
def _fresh(workflows: WorkflowTester) -> None:
    log.clear()
    misbehaves.clear()
    kit[:] = [workflows]


@step
def note(text: str) -> str:
    log.append(text)
    return text


@step
def taking_two_hours() -> str:
    kit[0]._set_now(kit[0].now_us() + 2 * 3_600_000_000)
    log.append("ended")
    return "ended"


@step(max_retries=1_000_000)
def never_succeeding() -> None:
    raise ConnectionError("again")


@workflow(timeout="1h")
async def sleeping(delay: str = "1d") -> str:
    try:
        await sleep(delay)
        return await note("woken")
    except BaseException:
        log.append("code")
        raise
    finally:
        await note("clean")


@workflow(timeout="1h")
async def listening() -> Any:
    with create_hook(token="t") as hook:
        return await hook


@workflow(timeout="1h")
async def busy_with_a_step() -> str:
    await taking_two_hours()
    return await note("after")


@workflow(timeout="1h")
async def retrying() -> None:
    await never_succeeding()


@workflow(timeout="1h")
async def blocked() -> str:
    await note("before")
    if misbehaves:
        open("/dev/null").close()
    return "done"


@workflow(timeout="1h")
async def stubborn() -> None:
    while True:
        try:
            await sleep("10m")
        except asyncio.CancelledError:
            await note("ignored")


@workflow(timeout="1h", queue="elsewhere")
async def of_another_queue() -> str:
    return "done"


def begin(workflows: WorkflowTester, target: Any, *args: Any) -> Run:
    run: Run = start(target, *args)
    workflows.run_until_idle()
    return run


def fresh(run: Run) -> Run:
    run.refresh_from_db()
    return run


def types_of(run: Run) -> list[str]:
    return [event.type for event in run.history()]


def check_timed_out(run: Run) -> None:
    fresh(run)
    assert run.status == "timed_out"
    assert (run.owner, run.wake_at) == ("", None)
    with pytest.raises(WorkflowRunTimedOutError) as refusal:
        run.result()
    assert refusal.value.run_id == run.pk
    events = run.history()
    assert [e.seq for e in events] == list(range(1, len(events) + 1))
    assert types_of(run).count("run_timed_out") == 1
    assert events[-1].type == "run_timed_out"
    assert not Event.objects.filter(run=run, seq=None).exists()
    assert not run.hooks.exists()
    assert not Step.objects.filter(run=run, status__in=("pending", "running")).exists()


def test_a_sleeping_run_times_out_at_its_deadline(workflows: WorkflowTester) -> None:
    deadline = workflows.now + timedelta(hours=1)
    run = begin(workflows, sleeping)
    workflows.advance(3599)
    assert fresh(run).status == "running"
    workflows.advance("1d")
    check_timed_out(run)
    assert run.finished_at == run.deadline_at == deadline
    assert log == []


def test_a_run_that_ends_in_time_is_not_touched(workflows: WorkflowTester) -> None:
    run = begin(workflows, sleeping, "59m")
    workflows.advance("2d")
    assert run.result() == "woken"
    assert types_of(run)[-1] == "run_completed"


def test_run_raises_what_result_raises(workflows: WorkflowTester) -> None:
    with pytest.raises(WorkflowRunTimedOutError):
        workflows.run(sleeping)


def test_the_deadline_is_fixed_at_the_start(workflows: WorkflowTester) -> None:
    deadline = workflows.now + timedelta(hours=1)
    run = begin(workflows, sleeping)
    for _ in range(3):
        workflows.advance("15m")
        workflows.crash()
        workflows.run_until_idle()
    assert fresh(run).deadline_at == deadline
    workflows.advance("1d")
    check_timed_out(run)
    assert run.finished_at == deadline


def test_a_delay_does_not_count(workflows: WorkflowTester) -> None:
    begun = workflows.now
    run = sleeping.options(delay="2h").start()
    workflows.advance("1d")
    check_timed_out(run)
    assert run.finished_at == begun + timedelta(hours=3)


def test_no_code_runs_though_a_timer_was_due_before(workflows: WorkflowTester) -> None:
    """All workers were away while both times came."""
    run = begin(workflows, sleeping, "30m")
    workflows._set_now(workflows.now_us() + 2 * 3_600_000_000)
    workflows.run_until_idle()
    check_timed_out(run)
    assert log == []


def test_no_code_runs_though_a_payload_came_before(workflows: WorkflowTester) -> None:
    run = begin(workflows, listening)
    resume_hook("t", "in time")
    workflows._set_now(workflows.now_us() + 2 * 3_600_000_000)
    workflows.run_until_idle()
    check_timed_out(run)
    assert types_of(run)[-2:] == ["hook_received", "run_timed_out"]


def test_a_run_that_waits_for_a_hook(workflows: WorkflowTester) -> None:
    run = begin(workflows, listening)
    workflows.advance("1h")
    check_timed_out(run)
    with pytest.raises(HookNotFoundError):
        get_hook_by_token("t")


def test_a_run_busy_with_a_step(workflows: WorkflowTester) -> None:
    run = begin(workflows, busy_with_a_step)
    check_timed_out(run)
    assert log == ["ended"]
    workflows.advance("1d")
    assert log == ["ended"]


def test_a_run_between_attempts(workflows: WorkflowTester) -> None:
    run = begin(workflows, retrying)
    workflows.advance("1d")
    check_timed_out(run)


def test_a_run_that_ignores_its_cancellation(workflows: WorkflowTester) -> None:
    run = begin(workflows, stubborn)
    run.cancel()
    workflows.advance("1d")
    check_timed_out(run)
    assert log == ["ignored"]


def test_a_blocked_run(workflows: WorkflowTester) -> None:
    misbehaves.append(True)
    deadline = workflows.now + timedelta(hours=1)
    run = begin(workflows, blocked)
    assert fresh(run).blocked_reason
    workflows.advance("1d")
    check_timed_out(run)
    assert run.finished_at == deadline


def test_a_paused_run(workflows: WorkflowTester) -> None:
    deadline = workflows.now + timedelta(hours=1)
    run = begin(workflows, listening)
    run.pause()
    workflows.run_until_idle()
    resume_hook("t", "waiting")
    workflows.advance("1d")
    check_timed_out(run)
    assert run.finished_at == deadline
    with pytest.raises(InvalidRunStateError):
        run.resume()


@pytest.mark.parametrize("paused", [False, True])
def test_a_run_that_never_began(workflows: WorkflowTester, paused: bool) -> None:
    run = start(sleeping)
    if paused:
        run.pause()
    workflows._set_now(workflows.now_us() + 2 * 3_600_000_000)
    workflows.run_until_idle()
    check_timed_out(run)
    assert fresh(run).started_at is None
    assert log == []


def test_a_run_of_a_queue_without_workers(workflows: WorkflowTester) -> None:
    run = start(of_another_queue)
    workflows._queues = lambda: ("default",)  # type: ignore[method-assign]
    workflows.advance("30m")
    assert fresh(run).status == "pending"
    workflows.advance("30m")
    check_timed_out(run)


def test_a_look_tells_of_the_next_deadline(workflows: WorkflowTester) -> None:
    assert due.look(["default"]) == due.Due(False, None)
    begin(workflows, listening)
    assert due.look(["default"]) == due.Due(False, 3600.0)
    workflows._set_now(workflows.now_us() + 3_600_000_000)
    assert due.look(["default"]).now
    workflows.run_until_idle()
    assert due.look(["default"]) == due.Due(False, None)


def test_more_runs_than_one_look_ends(workflows: WorkflowTester) -> None:
    runs = [start(sleeping) for _ in range(120)]
    workflows.advance("1d")
    assert {fresh(run).status for run in runs} == {"timed_out"}


def test_a_timed_out_run_is_closed(workflows: WorkflowTester) -> None:
    run = begin(workflows, sleeping)
    workflows.advance("1h")
    for action in (run.cancel, run.terminate, run.pause, run.wake):
        with pytest.raises(InvalidRunStateError, match="timed_out"):
            action()
    check_timed_out(run)


# -- told to end at once, as a parent tells its children ------------------------------


@pytest.mark.parametrize("state", ["sleeping", "paused", "blocked", "pending"])
def test_a_run_told_to_end(workflows: WorkflowTester, state: str) -> None:
    misbehaves.append(True)
    run = start(blocked if state == "blocked" else sleeping.options(delay="1s"))
    if state == "pending":
        run = sleeping.options(delay="10m").start()
    workflows.advance("2s")
    if state == "paused":
        run.pause()
        workflows.run_until_idle()
    assert not fresh(run).is_closed
    Event.objects.create(
        run=run,
        type="run_terminated",
        detail='{"reason": "so be it"}',
        created_at=workflows.now,
    )
    assert due.look(["default"]).now
    workflows.run_until_idle()
    assert fresh(run).status == "terminated"
    assert run.history()[-1].data == {"reason": "so be it"}
    assert [e.seq for e in run.history()] == [
        *range(1, run.last_seq + 1),
    ]
    assert not Event.objects.filter(run=run, seq=None).exists()
    assert "code" not in log
    assert not due.look(["default"]).now
