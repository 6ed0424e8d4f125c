"""Pausing: what runs comes to its end, nothing new starts until it is resumed."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from typing import Any
from unittest.mock import patch

import pytest
from asgiref.sync import async_to_sync

from django_workflows import (
    InvalidRunStateError,
    create_hook,
    get_workflow_metadata,
    now,
    resume_hook,
    sleep,
    start,
    step,
    workflow,
)
from django_workflows.models import Event, Run, Step
from django_workflows.store import sweep
from django_workflows.store.database import connection
from django_workflows.testing import WorkflowTester
from tests.engine.transactions import rolled_back

log: list[str] = []
misbehaves: list[bool] = []


@pytest.fixture(autouse=True)
def _fresh() -> None:
    log.clear()
    misbehaves.clear()


@step
def note(text: str) -> str:
    log.append(text)
    return text


@step
def pausing_its_run() -> str:
    """Asks for the pause while this step is running."""
    Run.objects.get(workflow__endswith="in_the_middle_of_a_step").pause()
    return "ended"


@step
def status_of_its_run() -> str:
    return Run.objects.get(workflow__endswith="looking_at_itself").status


@step(max_retries=3)
def failing_at_first() -> str:
    log.append("try")
    if log.count("try") == 1:
        Run.objects.get(workflow__endswith="retrying").pause()
        raise ConnectionError("not yet")
    return "in the end"


@step(queue="elsewhere")
def elsewhere(text: str) -> str:
    log.append(text)
    return text


@workflow
async def in_the_middle_of_a_step() -> list[str]:
    return [await pausing_its_run(), await note("after")]


@workflow
async def looking_at_itself() -> str:
    await sleep("1h")
    return await status_of_its_run()


@workflow
async def retrying() -> str:
    return await failing_at_first()


@workflow
async def sleeping(delay: str = "1h") -> Any:
    await sleep(delay)
    woken = now()
    await note("woken")
    return woken


@workflow
async def several_sleeps() -> list[int]:
    order: list[int] = []

    async def one(number: int, delay: str) -> None:
        await sleep(delay)
        order.append(number)

    await asyncio.gather(one(1, "3s"), one(2, "1s"), one(3, "2s"))
    return order


@workflow
async def listening(count: int) -> list[Any]:
    with create_hook(token="t") as hook:
        return [await hook for _ in range(count)]


@workflow
async def using_elsewhere() -> str:
    return await elsewhere("elsewhere")


@workflow
async def cleaning_up() -> None:
    try:
        await sleep("1d")
    finally:
        await note("clean")
        await sleep("1h")
        await note("up")


@workflow
async def blocking() -> str:
    await note("before")
    if misbehaves:
        open("/dev/null").close()
    return await note("after")


@workflow
async def blocked_at_once() -> str:
    if misbehaves:
        open("/dev/null").close()
    return get_workflow_metadata().run_id


def begin(workflows: WorkflowTester, target: Any, *args: Any) -> Run:
    run: Run = start(target, *args)
    workflows.run_until_idle()
    return run


def pause(workflows: WorkflowTester, run: Run) -> None:
    run.pause()
    workflows.run_until_idle()
    assert fresh(run).status == "paused"
    assert (run.wake_at, run.owner) == (None, "")


def fresh(run: Run) -> Run:
    run.refresh_from_db()
    return run


def types_of(run: Run) -> list[str]:
    return [event.type for event in run.history()]


def unread() -> list[str]:
    return list(Event.objects.filter(seq=None).values_list("type", flat=True))


def test_a_paused_run_stands_still_until_it_is_resumed(
    workflows: WorkflowTester,
) -> None:
    run = begin(workflows, sleeping)
    begun = workflows.now
    pause(workflows, run)
    workflows.advance("2h")
    assert log == []
    assert fresh(run).status == "paused"
    run.resume()
    workflows.run_until_idle()
    assert log == ["woken"]
    assert run.result() == begun + timedelta(hours=2)
    assert [t for t in types_of(run) if t.startswith("run_")] == [
        "run_created",
        "run_started",
        "run_paused",
        "run_resumed",
        "run_completed",
    ]
    workflows.assert_replays(run)


def test_a_resumed_run_is_running_as_soon_as_its_steps_are(
    workflows: WorkflowTester,
) -> None:
    run = begin(workflows, looking_at_itself)
    pause(workflows, run)
    workflows.advance("2h")
    run.resume()
    workflows.run_until_idle()
    assert run.result() == "running"


def test_a_timer_not_yet_due_keeps_its_time(workflows: WorkflowTester) -> None:
    due = workflows.now + timedelta(hours=1)
    run = begin(workflows, sleeping)
    pause(workflows, run)
    workflows.advance("10m")
    run.resume()
    workflows.run_until_idle()
    assert fresh(run).status == "running"
    assert run.wake_at == due
    workflows.advance("1h")
    assert run.result() == due


def test_timers_that_fell_due_fire_in_their_order(workflows: WorkflowTester) -> None:
    run = begin(workflows, several_sleeps)
    pause(workflows, run)
    workflows.advance("1h")
    run.resume()
    workflows.run_until_idle()
    assert run.result() == [2, 3, 1]


@pytest.mark.parametrize("crash", [False, True])
def test_a_running_step_ends_and_is_recorded(
    workflows: WorkflowTester, crash: bool
) -> None:
    run = begin(workflows, in_the_middle_of_a_step)
    assert fresh(run).status == "paused"
    assert log == []
    if crash:
        workflows.crash()
        workflows.run_until_idle()
    workflows.advance("1h")
    assert log == []
    run.resume()
    workflows.run_until_idle()
    assert run.result() == ["ended", "after"]
    assert types_of(run).count("step_started") == 2
    workflows.assert_replays(run)


def test_a_retry_waits_for_the_resume(workflows: WorkflowTester) -> None:
    run = begin(workflows, retrying)
    assert fresh(run).status == "paused"
    workflows.advance("1h")
    assert log == ["try"]
    run.resume()
    workflows.run_until_idle()
    assert run.result() == "in the end"


def test_a_step_on_offer_is_not_taken(workflows: WorkflowTester) -> None:
    with patch.object(workflows, "_queues", lambda: ("default",)):
        run = begin(workflows, using_elsewhere)
        pause(workflows, run)
    assert Step.objects.get().status == "pending"
    workflows.advance("1h")
    assert log == []
    run.resume()
    workflows.run_until_idle()
    assert run.result() == "elsewhere"


def test_payloads_are_kept_and_come_in_order(workflows: WorkflowTester) -> None:
    run = begin(workflows, listening, 3)
    resume_hook("t", 1)
    pause(workflows, run)
    resume_hook("t", 2)
    workflows.crash()
    resume_hook("t", 3)
    workflows.run_until_idle()
    assert fresh(run).status == "paused"
    run.resume()
    workflows.run_until_idle()
    assert run.result() == [1, 2, 3]
    types = types_of(run)
    assert types[types.index("run_paused") + 1] == "run_resumed"
    workflows.assert_replays(run)


def test_pausing_again_and_again(workflows: WorkflowTester) -> None:
    run = begin(workflows, listening, 2)
    for number in range(2):
        pause(workflows, run)
        resume_hook("t", number)
        workflows.crash()
        run.resume()
        workflows.run_until_idle()
    assert run.result() == [0, 1]
    assert types_of(run).count("run_paused") == types_of(run).count("run_resumed") == 2


def test_a_pause_taken_back_before_it_took_effect(workflows: WorkflowTester) -> None:
    run = begin(workflows, sleeping)
    run.pause()
    run.resume()
    workflows.run_until_idle()
    assert fresh(run).status == "running"
    assert types_of(run)[-2:] == ["run_paused", "run_resumed"]
    workflows.advance("1h")
    assert run.result()


def test_a_resume_taken_back_before_it_took_effect(workflows: WorkflowTester) -> None:
    run = begin(workflows, listening, 1)
    pause(workflows, run)
    resume_hook("t", "payload")
    run.resume()
    run.pause()
    workflows.run_until_idle()
    # What had come before the second pause was delivered before it.
    assert run.result() == ["payload"]
    assert unread() == ["run_paused"]
    sweep.delete_strays(connection())
    assert unread() == []


def test_requests_that_cannot_be_met_are_refused(workflows: WorkflowTester) -> None:
    run = begin(workflows, sleeping)
    with pytest.raises(InvalidRunStateError, match="neither paused nor blocked"):
        run.resume()
    run.pause()
    with pytest.raises(InvalidRunStateError, match="paused"):
        run.pause()
    workflows.run_until_idle()
    with pytest.raises(InvalidRunStateError, match="paused") as refusal:
        run.pause()
    assert refusal.value.run_id == run.pk
    run.resume()
    with pytest.raises(InvalidRunStateError, match="neither"):
        run.resume()
    workflows.advance("1h")
    before = types_of(run)
    for action in (run.pause, run.resume):
        with pytest.raises(InvalidRunStateError, match="completed"):
            action()
    assert types_of(run) == before
    assert unread() == []


def test_duplicate_requests_do_no_harm(workflows: WorkflowTester) -> None:
    """Two callers at once may both find that a pause, or a resume, is needed."""
    run = begin(workflows, listening, 1)
    run.pause()
    Event.objects.create(run=run, type="run_paused", created_at=workflows.now)
    workflows.run_until_idle()
    assert fresh(run).status == "paused"
    run.resume()
    Event.objects.create(run=run, type="run_resumed", created_at=workflows.now)
    workflows.run_until_idle()
    assert fresh(run).status == "running"
    resume_hook("t", "there")
    workflows.run_until_idle()
    assert run.result() == ["there"]
    assert unread() == []
    workflows.assert_replays(run)


def test_pausing_in_a_rolled_back_block_does_nothing(
    workflows: WorkflowTester,
) -> None:
    delayed, asleep = sleeping.options(delay="1h").start(), begin(workflows, sleeping)
    with rolled_back():
        delayed.pause()
        asleep.pause()
    workflows.run_until_idle()
    assert fresh(delayed).status == "pending"
    assert fresh(asleep).status == "running"


def test_async_twins(workflows: WorkflowTester) -> None:
    run = begin(workflows, sleeping)
    async_to_sync(run.apause)()
    workflows.run_until_idle()
    assert fresh(run).status == "paused"
    async_to_sync(run.aresume)()
    workflows.run_until_idle()
    assert fresh(run).status == "running"


# -- runs that have not begun ---------------------------------------------------------


def test_a_run_that_has_not_begun_is_paused_at_once(workflows: WorkflowTester) -> None:
    run = start(sleeping)
    run.pause()
    assert run.status == "paused"
    workflows.advance("1h")
    assert types_of(run) == ["run_created", "run_paused"]
    run.resume()
    assert run.status == "pending"
    workflows.advance("1h")
    assert run.result()
    assert types_of(run)[:4] == [
        "run_created",
        "run_paused",
        "run_resumed",
        "run_started",
    ]
    workflows.assert_replays(run)


def test_a_delayed_run_begins_at_its_own_time(workflows: WorkflowTester) -> None:
    due = workflows.now + timedelta(hours=1)
    early, late = (sleeping.options(delay="1h").start("1s") for _ in range(2))
    early.pause()
    late.pause()
    workflows.advance("10m")
    early.resume()
    workflows.advance("2h")
    assert fresh(early).started_at == due
    assert fresh(late).started_at is None
    late.resume()
    workflows.run_until_idle()
    assert fresh(late).started_at == workflows.now


def test_a_paused_run_that_has_not_begun_can_be_cancelled(
    workflows: WorkflowTester,
) -> None:
    run = start(sleeping)
    run.pause()
    run.cancel()
    assert run.status == "cancelled"
    workflows.advance("1h")
    assert log == []
    assert types_of(run) == ["run_created", "run_paused", "run_cancelled"]


def test_a_run_paused_while_a_worker_was_about_to_begin_it(
    workflows: WorkflowTester,
) -> None:
    """It was owned when it was paused; its worker died before it began."""
    run = start(sleeping)
    Run.objects.filter(pk=run.pk).update(owner="wrkr_gone")
    run.pause()
    assert unread() == ["run_paused"]
    Run.objects.filter(pk=run.pk).update(owner="")
    workflows.run_until_idle()
    assert fresh(run).status == "paused"
    assert types_of(run) == ["run_created", "run_paused"]
    run.resume()
    workflows.advance("1h")
    assert run.result()


# -- paused and cancelled, terminated, woken ------------------------------------------


def test_cancelling_resumes(workflows: WorkflowTester) -> None:
    run = begin(workflows, cleaning_up)
    pause(workflows, run)
    run.cancel()
    workflows.run_until_idle()
    assert fresh(run).status == "running"
    types = types_of(run)
    paused = types.index("run_paused")
    assert types[paused + 1 : paused + 3] == ["run_resumed", "cancel_requested"]
    workflows.advance("1h")
    assert log == ["clean", "up"]
    assert fresh(run).status == "cancelled"
    workflows.assert_replays(run)


def test_a_pause_and_a_cancel_at_once(workflows: WorkflowTester) -> None:
    run = begin(workflows, sleeping)
    run.pause()
    run.cancel()
    workflows.run_until_idle()
    assert fresh(run).status == "cancelled"
    assert unread() == []


def test_cancelling_again_resumes_the_clean_up(workflows: WorkflowTester) -> None:
    run = begin(workflows, cleaning_up)
    run.cancel()
    workflows.run_until_idle()
    pause(workflows, run)
    workflows.advance("2h")
    assert log == ["clean"]
    run.cancel()
    workflows.run_until_idle()
    assert log == ["clean", "up"]
    assert fresh(run).status == "cancelled"
    assert types_of(run).count("cancel_requested") == 1


def test_a_paused_run_can_be_terminated(workflows: WorkflowTester) -> None:
    run = begin(workflows, listening, 1)
    pause(workflows, run)
    resume_hook("t", "accepted")
    run.terminate()
    workflows.advance("1h")
    assert types_of(run)[-3:] == ["run_paused", "hook_received", "run_terminated"]
    assert fresh(run).status == "terminated"


def test_a_paused_run_is_woken_when_it_is_resumed(workflows: WorkflowTester) -> None:
    run = begin(workflows, sleeping)
    pause(workflows, run)
    run.wake()
    workflows.run_until_idle()
    assert log == []
    run.resume()
    workflows.run_until_idle()
    assert log == ["woken"]


# -- blocked runs ---------------------------------------------------------------------


def test_resuming_a_blocked_run_tries_it_at_once(workflows: WorkflowTester) -> None:
    misbehaves.append(True)
    run = begin(workflows, blocking)
    assert "open" in fresh(run).blocked_reason
    run.resume()
    workflows.run_until_idle()
    assert fresh(run).blocked_times == 2
    misbehaves.clear()
    run.resume()
    workflows.run_until_idle()
    assert run.result() == "after"
    assert log == ["before", "after"]


@pytest.mark.parametrize("target", [blocking, blocked_at_once])
def test_pausing_a_blocked_run(workflows: WorkflowTester, target: Any) -> None:
    misbehaves.append(True)
    run = begin(workflows, target)
    assert fresh(run).blocked_reason
    run.pause()
    workflows.run_until_idle()
    misbehaves.clear()
    workflows.advance("2h")
    assert fresh(run).status == "paused"
    run.resume()
    workflows.run_until_idle()
    assert run.result()


def test_a_paused_run_that_is_blocked_on_resume(workflows: WorkflowTester) -> None:
    """Its log says that it is paused until it can go on; the request is not lost."""
    run = begin(workflows, blocking_after_a_hook)
    pause(workflows, run)
    resume_hook("b", 1)
    misbehaves.append(True)
    workflows.crash()
    run.resume()
    workflows.run_until_idle()
    assert fresh(run).blocked_reason
    assert run.status == "running"
    misbehaves.clear()
    run.resume()
    workflows.run_until_idle()
    assert run.result() == 1
    assert types_of(run).count("run_resumed") == 1
    workflows.assert_replays(run)


@workflow
async def blocking_after_a_hook() -> Any:
    with create_hook(token="b") as hook:
        if misbehaves:
            open("/dev/null").close()
        return await hook


def test_the_kit_says_that_a_run_is_paused(workflows: WorkflowTester) -> None:
    with pytest.raises(RuntimeError, match="paused"):
        workflows.run(in_the_middle_of_a_step)
