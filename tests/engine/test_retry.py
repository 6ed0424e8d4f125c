"""Retrying a run in place: what is kept, what runs again, what is void."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from asgiref.sync import async_to_sync

from django_workflows import (
    InvalidRunStateError,
    RetryPolicy,
    StepTimeoutError,
    WorkflowRunFailedError,
    WorkflowRunNotFoundError,
    create_hook,
    get_step_metadata,
    get_workflow_metadata,
    race,
    resume_hook,
    set_attributes,
    sleep,
    start,
    step,
    uuid4,
    workflow,
)
from django_workflows.models import Run
from django_workflows.testing import WorkflowTester
from tests.engine.transactions import rolled_back

ran: list[Any] = []
broken: set[str] = set()
bugs: list[str] = []


@pytest.fixture(autouse=True)
def _fresh() -> None:
    ran.clear()
    broken.clear()
    bugs.clear()


@step(max_retries=0)
def do(name: str) -> str:
    ran.append(name)
    if name in broken:
        raise ValueError(f"{name} is broken")
    return name.upper()


@step(max_retries=2)
def persistent(name: str) -> int:
    ran.append((name, get_step_metadata().attempt))
    if name in broken:
        raise ValueError(f"{name} is broken")
    return get_step_metadata().attempt


@workflow
async def in_sequence() -> list[str]:
    return [await do("a"), await do("b"), await do("c")]


def failed(workflows: WorkflowTester, target: Any, *args: Any) -> Run:
    """A run of the workflow that has failed."""
    run = workflows.start(target, *args)
    workflows.run_until_idle()
    workflows.advance("1h")
    run.refresh_from_db()
    assert run.status == "failed", (run.status, run.error)
    return run


def finish(workflows: WorkflowTester, run: Run) -> Any:
    """The result of a run that was retried."""
    workflows.run_until_idle()
    workflows.advance("1h")
    run.refresh_from_db()
    assert not run.blocked_reason, run.blocked_reason
    workflows.assert_replays(run)
    events = [event.seq for event in run.history()]
    assert events == list(range(1, len(events) + 1))
    assert not run.events.filter(seq=None).exists()
    return run.result()


def test_goes_on_from_the_failed_step(workflows: WorkflowTester) -> None:
    broken.add("b")
    run = failed(workflows, in_sequence)
    broken.clear()
    run.retry()
    assert run.status == "running"
    assert run.finished_at is None
    assert finish(workflows, run) == ["A", "B", "C"]
    assert ran == ["a", "b", "b", "c"]


def types(run: Run) -> list[str]:
    return [event.type for event in run.history()]


def retried(run: Run) -> dict[str, Any]:
    """What the log says of the last retry."""
    return [e for e in run.history() if e.type == "run_retried"][-1].data


def test_the_log_tells_of_it(workflows: WorkflowTester) -> None:
    broken.add("b")
    run = failed(workflows, in_sequence)
    failure = next(e for e in run.history() if e.type == "step_failed")
    before = types(run)
    run.retry()
    assert types(run) == [*before, "run_retried"]
    data = retried(run)
    assert data["cut"] == failure.seq
    assert (data["epoch"], data["attempt"]) == (1, 2)
    assert data["attempts"] == {failure.correlation_id: 1}
    assert (run.epoch, run.attempt) == (1, 2)


def test_the_failed_step_keeps_its_id(workflows: WorkflowTester) -> None:
    broken.add("b")
    run = failed(workflows, in_sequence)
    broken.clear()
    run.retry()
    finish(workflows, run)
    events = run.history()
    failure = next(e for e in events if e.type == "step_failed")
    completed = [e.correlation_id for e in events if e.type == "step_completed"]
    assert failure.correlation_id in completed


def test_it_has_its_whole_policy_again(workflows: WorkflowTester) -> None:
    broken.add("x")
    run = failed(workflows, keeping_on)
    assert ran == [("x", 1), ("x", 2), ("x", 3)]
    run.retry()
    workflows.advance("1h")
    run.refresh_from_db()
    assert run.status == "failed"
    assert ran[3:] == [("x", 4), ("x", 5), ("x", 6)]
    broken.clear()
    run.retry()
    assert finish(workflows, run) == 7


@workflow
async def keeping_on() -> int:
    return await persistent("x")


def test_retried_more_than_once(workflows: WorkflowTester) -> None:
    broken.update("abc")
    run = failed(workflows, in_sequence)
    for name in "abc":
        broken.discard(name)
        run.retry()
        workflows.run_until_idle()
        run.refresh_from_db()
    assert finish(workflows, run) == ["A", "B", "C"]
    assert ran == ["a", "a", "b", "b", "c", "c"]
    assert run.attempt == 4


@workflow
async def compensating() -> str:
    await do("reserve")
    try:
        return await do("charge")
    except ValueError:
        await do("release")
        raise


def test_compensations_are_void_and_not_undone(workflows: WorkflowTester) -> None:
    broken.add("charge")
    run = failed(workflows, compensating)
    assert ran == ["reserve", "charge", "release"]
    run.retry()
    workflows.run_until_idle()
    run.refresh_from_db()
    assert run.status == "failed"
    assert ran[3:] == ["charge", "release"]
    calls = [
        e.correlation_id
        for e in run.history()
        if e.type == "step_created" and e.data["args"] == ("release",)
    ]
    assert len(set(calls)) == 2
    broken.clear()
    run.retry()
    assert finish(workflows, run) == "CHARGE"


@workflow
async def raising_another() -> str:
    try:
        return await do("a")
    except ValueError:
        raise RuntimeError("told in other words") from None


def test_an_error_raised_instead_still_has_its_step(workflows: WorkflowTester) -> None:
    broken.add("a")
    run = failed(workflows, raising_another)
    broken.clear()
    run.retry()
    assert finish(workflows, run) == "A"


@workflow
async def gathering() -> list[str]:
    return [*await asyncio.gather(do("a"), do("b"), do("c"))]


@workflow
async def grouping() -> list[str]:
    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(do(name)) for name in "abc"]
    return [task.result() for task in tasks]


@workflow
async def racing() -> str:
    return await race(do("a"), do_later("b"))


async def do_later(name: str) -> str:
    await sleep("1m")
    return await do(name)


@pytest.mark.parametrize("target", [gathering, grouping])
@pytest.mark.parametrize("bad", ["a", "b", "c", "ab", "abc"])
def test_beside_others(workflows: WorkflowTester, target: Any, bad: str) -> None:
    broken.update(bad)
    run = failed(workflows, target)
    for _ in range(len(bad)):
        broken.clear()
        run.retry()
        workflows.run_until_idle()
        run.refresh_from_db()
        if run.is_closed:
            break
    assert finish(workflows, run) == ["A", "B", "C"]
    # What had succeeded, even after the failure, is not done again.
    assert sorted(ran) == sorted("abc" + bad)


def test_a_race(workflows: WorkflowTester) -> None:
    broken.add("a")
    run = workflows.start(racing)
    workflows.run_until_idle()
    run.refresh_from_db()
    assert run.status == "failed"
    broken.clear()
    run.retry()
    assert finish(workflows, run) == "A"
    assert ran == ["a", "a"]


@workflow
async def with_a_bug() -> str:
    first = await do("a")
    if bugs:
        raise LookupError(bugs[0])
    return first + await do("b")


def test_a_bug_of_the_workflow_that_a_deploy_fixed(workflows: WorkflowTester) -> None:
    bugs.append("oops")
    run = failed(workflows, with_a_bug)
    run.retry()
    workflows.run_until_idle()
    run.refresh_from_db()
    assert run.status == "failed"  # the bug is still there
    bugs.clear()
    workflows.crash()
    run.retry()
    assert finish(workflows, run) == "AB"
    assert ran == ["a", "b"]


@workflow
async def with_a_bug_at_once() -> str:
    if bugs:
        raise LookupError(bugs[0])
    return await do("a")


def test_a_bug_before_the_first_step(workflows: WorkflowTester) -> None:
    bugs.append("oops")
    run = failed(workflows, with_a_bug_at_once)
    bugs.clear()
    run.retry()
    assert finish(workflows, run) == "A"


@workflow
async def sleeping_first() -> str:
    await sleep("1d")
    if bugs:
        raise LookupError(bugs[0])
    return await do("a")


def test_a_bug_after_a_sleep_does_not_sleep_again(workflows: WorkflowTester) -> None:
    bugs.append("oops")
    run = workflows.start(sleeping_first)
    workflows.advance("1d")
    bugs.clear()
    run.refresh_from_db()
    run.retry()
    workflows.run_until_idle()
    run.refresh_from_db()
    assert run.status == "completed"
    assert finish(workflows, run) == "A"


@workflow
async def sleeping_beside() -> str:
    nap = sleep("1d")
    result = await do("a")
    await nap
    return result


def test_timers_go_on(workflows: WorkflowTester) -> None:
    broken.add("a")
    run = failed(workflows, sleeping_beside)  # an hour has passed
    broken.clear()
    run.retry()
    workflows.run_until_idle()
    run.refresh_from_db()
    assert run.status == "running"
    assert run.wake_at is not None
    assert (run.wake_at - run.created_at).total_seconds() == pytest.approx(86400, abs=1)
    workflows.advance("23h")
    assert finish(workflows, run) == "A"


@workflow
async def in_time() -> str:
    async with asyncio.timeout(60):
        return await do("a")


def test_a_time_out_stood_still_meanwhile(workflows: WorkflowTester) -> None:
    broken.add("a")
    run = failed(workflows, in_time)
    broken.clear()
    run.retry()
    assert finish(workflows, run) == "A"


@workflow
async def with_a_door(token: str) -> list[Any]:
    hook = create_hook(token)
    return [await do("a"), await hook, await do("b"), await hook]


def test_hooks_are_claimed_again(workflows: WorkflowTester) -> None:
    broken.add("b")
    run = workflows.start(with_a_door, "door")
    workflows.run_until_idle()
    resume_hook("door", 1)
    workflows.run_until_idle()
    run.refresh_from_db()
    assert run.status == "failed"
    assert not run.hooks.exists()
    broken.clear()
    run.retry()
    assert run.hooks.get().token == "door"
    resume_hook("door", 2)
    assert finish(workflows, run) == ["A", 1, "B", 2]


def test_payloads_sent_after_the_cut_are_not_lost(workflows: WorkflowTester) -> None:
    run = workflows.start(failing_late, "door")
    workflows.run_until_idle()
    resume_hook("door", "sent while it was cleaning up")
    workflows.advance("1h")
    run.refresh_from_db()
    assert run.status == "failed"
    bugs.clear()
    run.retry()
    assert finish(workflows, run) == "sent while it was cleaning up"


@workflow
async def failing_late(token: str) -> Any:
    hook = create_hook(token)
    try:
        await first_time_broken()
    except ValueError:
        await sleep("1m")
        raise
    return await hook


@step(max_retries=0)
def first_time_broken() -> None:
    if get_step_metadata().attempt == 1:
        raise ValueError("the first time")


def test_a_token_that_another_run_holds(workflows: WorkflowTester) -> None:
    broken.add("a")
    run = failed(workflows, with_a_door, "door")
    broken.clear()
    other = workflows.start(with_a_door, "door")
    workflows.run_until_idle()
    before = Run.objects.filter(pk=run.pk).values().get(), types(run)
    with pytest.raises(InvalidRunStateError, match="token of its hook") as refusal:
        run.retry()
    assert refusal.value.run_id == run.pk
    assert "door" not in str(refusal.value)
    assert (Run.objects.filter(pk=run.pk).values().get(), types(run)) == before
    other.terminate()
    run.retry()
    assert run.hooks.get().token == "door"


def test_a_key_that_another_run_holds(workflows: WorkflowTester) -> None:
    broken.add("b")
    keyed = in_sequence.options(key="k", on_conflict="restart_closed")
    run = keyed.start()
    workflows.run_until_idle()
    other = keyed.start()
    assert other != run
    run.refresh_from_db()
    with pytest.raises(InvalidRunStateError, match="'k'"):
        run.retry()
    run.refresh_from_db()
    assert run.status == "failed"
    Run.objects.filter(pk=other.pk).update(key_held=None)
    run.retry()
    assert keyed.start() == run


def test_a_run_that_keeps_its_key(workflows: WorkflowTester) -> None:
    broken.add("b")
    keyed = in_sequence.options(key="k")
    run = keyed.start()
    workflows.run_until_idle()
    run.refresh_from_db()
    broken.clear()
    run.retry()
    assert keyed.start() == run
    assert finish(workflows, run) == ["A", "B", "C"]


def test_only_what_ended_badly(workflows: WorkflowTester) -> None:
    for prepare in (pending, paused_at_a_sleep, completed, terminated):
        run = prepare(workflows)
        before = Run.objects.filter(pk=run.pk).values().get()
        with pytest.raises(InvalidRunStateError, match="cannot be retried"):
            run.retry()
        assert Run.objects.filter(pk=run.pk).values().get() == before


def pending(workflows: WorkflowTester) -> Run:
    return start(in_sequence)


def paused_at_a_sleep(workflows: WorkflowTester) -> Run:
    run = start(sleeping_first)
    workflows.run_until_idle()
    return run


def completed(workflows: WorkflowTester) -> Run:
    run = start(in_sequence)
    workflows.run_until_idle()
    return run


def terminated(workflows: WorkflowTester) -> Run:
    run = start(sleeping_first)
    workflows.run_until_idle()
    run.terminate()
    return run


def test_a_cancelled_run_goes_on(workflows: WorkflowTester) -> None:
    run = paused_at_a_sleep(workflows)
    run.cancel("by mistake")
    workflows.run_until_idle()
    run.refresh_from_db()
    assert run.status == "cancelled"
    run.retry()
    workflows.advance("1d")
    assert finish(workflows, run) == "A"


def test_a_retried_run_can_be_cancelled_again(workflows: WorkflowTester) -> None:
    run = paused_at_a_sleep(workflows)
    for _ in range(2):
        run.cancel()
        workflows.run_until_idle()
        run.refresh_from_db()
        assert run.status == "cancelled"
        run.retry()
    workflows.advance("1d")
    assert finish(workflows, run) == "A"


def test_a_run_that_was_cancelled_before_it_began(workflows: WorkflowTester) -> None:
    run = start(in_sequence)
    run.cancel()
    run.retry()
    assert run.status == "pending"
    assert finish(workflows, run) == ["A", "B", "C"]


@workflow
async def telling_attempts() -> list[int]:
    found = [get_workflow_metadata().attempt]
    found.append(await attempt_in_a_step())
    await do("a")
    found.append(get_workflow_metadata().attempt)
    found.append(await attempt_in_a_step())
    return found


@step
def attempt_in_a_step() -> int:
    return get_workflow_metadata().attempt


def test_the_attempt_is_as_of_the_epoch(workflows: WorkflowTester) -> None:
    broken.add("a")
    run = failed(workflows, telling_attempts)
    broken.clear()
    run.retry()
    workflows.crash()
    assert finish(workflows, run) == [1, 1, 2, 2]


@workflow
async def by_chance() -> list[str]:
    await do("a")
    first = str(uuid4())
    try:
        await do(first)
        await do("b")
    except ValueError:
        await do(str(uuid4()))
        raise
    return [first, str(uuid4())]


def test_chance_given_to_void_code_is_not_given_again(
    workflows: WorkflowTester,
) -> None:
    broken.add("b")
    run = failed(workflows, by_chance)
    _, first, _, void = ran
    broken.clear()
    run.retry()
    result = finish(workflows, run)
    assert result[0] == first
    assert result[1] != void


def test_in_a_transaction_it_is_retried_or_not_with_that(
    workflows: WorkflowTester,
) -> None:
    broken.add("b")
    run = failed(workflows, in_sequence)
    before = Run.objects.filter(pk=run.pk).values().get()
    with rolled_back():
        run.retry()
    assert Run.objects.filter(pk=run.pk).values().get() == before
    run.refresh_from_db()
    run.retry()
    broken.clear()
    assert finish(workflows, run) == ["A", "B", "C"]


def test_from_async_code(workflows: WorkflowTester) -> None:
    broken.add("b")
    run = failed(workflows, in_sequence)
    broken.clear()
    async_to_sync(run.aretry)()
    assert finish(workflows, run) == ["A", "B", "C"]


def test_a_run_that_is_gone(workflows: WorkflowTester) -> None:
    broken.add("b")
    run = failed(workflows, in_sequence)
    Run.objects.filter(pk=run.pk).delete()
    run.pk = run.id
    with pytest.raises(WorkflowRunNotFoundError):
        run.retry()


def test_the_deadline_is_set_anew(workflows: WorkflowTester) -> None:
    broken.add("b")
    run = in_sequence.options(timeout="2h").start()
    workflows.run_until_idle()
    workflows.advance("1h")
    run.refresh_from_db()
    run.retry()
    assert run.deadline_at is not None
    assert (run.deadline_at - workflows.now).total_seconds() == pytest.approx(7200)


def test_the_worker_dies_while_it_goes_on(workflows: WorkflowTester) -> None:
    broken.add("b")
    run = failed(workflows, in_sequence)
    workflows.crash()
    broken.clear()
    run.retry()
    workflows.crash()
    workflows.run_until_idle()
    workflows.crash()
    assert finish(workflows, run) == ["A", "B", "C"]
    assert ran == ["a", "b", "b", "c"]


def test_a_result_that_came_with_the_end(workflows: WorkflowTester) -> None:
    """The step ended after the run had failed, in the same round: kept for a retry."""
    broken.add("a")
    run = failed(workflows, gathering)
    assert sorted(ran) == ["a", "b", "c"]
    late = [e for e in run.history() if e.data.get("late")]
    assert {e.type for e in late} == {"step_completed"}
    broken.clear()
    run.retry()
    assert finish(workflows, run) == ["A", "B", "C"]
    assert sorted(ran) == ["a", "a", "b", "c"]


def test_result_of_the_run_while_it_goes_on(workflows: WorkflowTester) -> None:
    broken.add("b")
    run = failed(workflows, in_sequence)
    with pytest.raises(WorkflowRunFailedError):
        run.result()
    broken.clear()
    run.retry()
    assert run.error is None
    assert run.output is None
    assert finish(workflows, run) == ["A", "B", "C"]


def test_results_that_wait_behind_a_claim_are_not_computed_again(
    workflows: WorkflowTester,
) -> None:
    run = workflows.start(failing_first)
    workflows.run_until_idle()
    run.refresh_from_db()
    assert run.status == "failed"
    before = list(ran)
    run.retry()
    assert finish(workflows, run) == ["A", "B", "C"]
    assert ran == [*before, "late"]


@workflow
async def failing_first() -> list[str]:
    late = first_time_broken_named("late")
    calls = [do(name) for name in "abc"]
    results = []
    for call in calls:
        results.append(await call)
        await create_hook().get_conflict()
    await late
    return results


@step(max_retries=0)
def first_time_broken_named(name: str) -> None:
    ran.append(name)
    if get_step_metadata().attempt == 1:
        raise ValueError("the first time")


@step(schedule_to_close_timeout="1m", retry=RetryPolicy(initial_interval="50s"))
def within_a_minute(name: str) -> int:
    ran.append(name)
    if name in broken:
        raise ValueError(f"{name} is broken")
    return get_step_metadata().attempt


@workflow
async def bounded() -> int:
    return await within_a_minute("x")


def test_a_step_that_took_too_long_has_all_its_time_again(
    workflows: WorkflowTester,
) -> None:
    broken.add("x")
    run = failed(workflows, bounded)
    assert isinstance(run.error, StepTimeoutError)
    attempts = len(ran)
    run.retry()
    workflows.advance("49s")
    broken.clear()
    assert finish(workflows, run) == attempts + 2


def test_a_run_that_timed_out_goes_on(workflows: WorkflowTester) -> None:
    run = sleeping_first.options(timeout="20h").start()
    workflows.advance("20h")
    run.refresh_from_db()
    assert run.status == "timed_out"
    workflows.advance("3h")
    run.retry()
    assert run.deadline_at is not None
    assert (run.deadline_at - workflows.now).total_seconds() == pytest.approx(72000)
    workflows.advance("1h")
    assert finish(workflows, run) == "A"


def test_a_run_that_timed_out_during_a_step(workflows: WorkflowTester) -> None:
    run = waiting_for_others.options(timeout="1h").start()
    workflows.advance("1h")
    run.refresh_from_db()
    assert run.status == "timed_out"
    (row,) = run.steps.all()
    assert row.status == "cancelled"
    run.retry()
    assert not run.steps.exists()
    workflows.advance("30m")
    assert finish(workflows, run) == 2


@step(retry=RetryPolicy(initial_interval="2h"))
def broken_at_first() -> int:
    attempt = get_step_metadata().attempt
    if attempt == 1:
        raise ValueError("the first time")
    return attempt


@workflow
async def waiting_for_others() -> int:
    return await broken_at_first.options(queue="others")()


def test_a_paused_run_that_timed_out_does_not_stand_still(
    workflows: WorkflowTester,
) -> None:
    run = sleeping_first.options(timeout="20h").start()
    workflows.run_until_idle()
    run.pause()
    workflows.advance("2d")
    run.refresh_from_db()
    assert run.status == "timed_out"
    run.retry()
    workflows.run_until_idle()
    assert finish(workflows, run) == "A"


def test_a_retried_run_can_be_paused(workflows: WorkflowTester) -> None:
    broken.add("a")
    run = failed(workflows, sleeping_beside)
    broken.clear()
    run.retry()
    run.pause()
    workflows.advance("2d")
    run.refresh_from_db()
    assert run.status == "paused"
    run.resume()
    assert finish(workflows, run) == "A"


@workflow
async def in_a_group() -> list[str]:
    try:
        async with asyncio.TaskGroup() as group:
            group.create_task(do("a"))
            group.create_task(do("b"))
            group.create_task(forever())
    except* ValueError as errors:
        await do("tidy up")
        raise RuntimeError("told in other words") from errors
    return ["done"]


async def forever() -> None:
    await sleep("30m")


def test_an_error_out_of_a_group_told_in_other_words(
    workflows: WorkflowTester,
) -> None:
    broken.update("ab")
    run = failed(workflows, in_a_group)
    broken.clear()
    run.retry()
    assert finish(workflows, run) == ["done"]
    assert sorted(ran) == ["a", "a", "b", "b", "tidy up"]


def test_only_what_is_void_runs_again_when_the_log_is_long(
    workflows: WorkflowTester,
) -> None:
    broken.add("last")
    run = failed(workflows, many, 200)
    broken.clear()
    run.retry()
    assert finish(workflows, run) == 200
    assert len(ran) == 202


@workflow
async def many(number: int) -> int:
    for one in range(number):
        await do(str(one))
    await do("last")
    return number


@workflow
async def labelling() -> dict[str, Any]:
    if bugs:
        set_attributes(label=bugs[0])
        raise LookupError(bugs[0])
    return get_workflow_metadata().attributes


def test_attributes_that_void_code_set_are_gone(workflows: WorkflowTester) -> None:
    bugs.append("oops")
    run = labelling.options(attributes={"customer": 7}).start()
    workflows.run_until_idle()
    run.refresh_from_db()
    assert run.attributes == {"customer": 7, "label": "oops"}
    bugs.clear()
    run.retry()
    assert finish(workflows, run) == {"customer": 7}
    assert run.attributes == {"customer": 7}
