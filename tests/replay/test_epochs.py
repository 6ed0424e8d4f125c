"""What counts of a log that was retried, and where a retry cuts it: lists alone."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from django_workflows.core import serialization
from django_workflows.replay import events as log
from django_workflows.replay.api import (
    create_hook,
    get_workflow_metadata,
    random,
    sleep,
    uuid4,
)
from django_workflows.replay.cuts import plan_retry
from django_workflows.replay.definitions import step, workflow
from django_workflows.replay.epochs import effective
from django_workflows.replay.events import LogEvent
from tests.replay.driver import Driver, drive


def numbered(*events: LogEvent) -> list[LogEvent]:
    for seq, event in enumerate(events, 1):
        event.seq = seq
    return list(events)


def entry(kind: str = log.STEP_COMPLETED, **detail: Any) -> LogEvent:
    return LogEvent(kind, detail=detail)


def retried(cut: int) -> LogEvent:
    return entry(log.RUN_RETRIED, cut=cut, epoch=1, attempt=2)


def seqs(events: Any) -> list[int]:
    return [event.seq for event in events]


def test_without_a_retry_everything_counts() -> None:
    history = numbered(entry(), entry(), entry())
    assert effective(history) is history


def test_what_lies_between_cut_and_retry_is_void() -> None:
    history = numbered(entry(), entry(), entry(), entry(), retried(3), entry())
    assert seqs(effective(history)) == [1, 2, 5, 6]


def test_a_later_retry_keeps_an_earlier_one() -> None:
    history = numbered(entry(), entry(), retried(2), entry(), entry(), retried(5))
    assert seqs(effective(history)) == [1, 3, 4, 6]


def test_a_later_retry_takes_an_earlier_one_back() -> None:
    history = numbered(
        entry(), entry(), entry(), retried(3), entry(), retried(2), entry()
    )
    assert seqs(effective(history)) == [1, 6, 7]


@st.composite
def histories(draw: st.DrawFn) -> list[LogEvent]:
    """Logs with any number of retries, each cut where something counted."""
    history: list[LogEvent] = []
    counting: list[int] = []
    for again in draw(st.lists(st.integers(0, 2), min_size=1, max_size=40)):
        seq = len(history) + 1
        event = entry()
        if again == 0 and counting:
            cut = draw(st.sampled_from(counting))
            event = retried(cut)
            counting = [each for each in counting if each < cut]
        event.seq = seq
        history.append(event)
        counting.append(seq)
    return history


@given(history=histories())
def test_it_is_what_every_retry_leaves(history: list[LogEvent]) -> None:
    void = {
        seq
        for event in history
        if event.type == log.RUN_RETRIED
        for seq in range(event.detail["cut"], event.seq or 0)
    }
    assert seqs(effective(history)) == [e.seq for e in history if e.seq not in void]


@given(history=histories())
def test_what_counts_counts_when_looked_at_again(history: list[LogEvent]) -> None:
    once = effective(history)
    assert seqs(effective(once)) == seqs(once)


@given(history=histories(), position=st.integers(0, 40))
def test_step_by_step_is_the_same_as_at_once(
    history: list[LogEvent], position: int
) -> None:
    """What a log's beginning leaves, and the rest of the log: the same."""
    begun = [*effective(history[:position]), *history[position:]]
    assert seqs(effective(begun)) == seqs(effective(history))


# -- where a retry cuts ----------------------------------------------------------------


@step
def work(label: str) -> Any:
    raise NotImplementedError


@workflow
async def handled() -> Any:
    try:
        return await work("a")
    except ValueError:
        await work("undo")
        raise


@workflow
async def another_instead() -> Any:
    try:
        return await work("a")
    except ValueError:
        await work("undo")
        raise LookupError("something else") from None


@workflow
async def two() -> Any:
    return await asyncio.gather(work("a"), work("b"), work("c"))


@workflow
async def grouped() -> Any:
    async with asyncio.TaskGroup() as group:
        for label in "abc":
            group.create_task(work(label))


@workflow
async def collected() -> Any:
    found = await asyncio.gather(work("a"), work("b"), return_exceptions=True)
    await work("c")
    raise ExceptionGroup("all", [e for e in found if isinstance(e, Exception)])


@workflow
async def buggy() -> Any:
    await work("a")
    await work("b")
    raise LookupError("a bug")


@workflow
async def buggy_at_once() -> Any:
    raise LookupError("a bug")


@workflow
async def in_time() -> Any:
    async with asyncio.timeout(60):
        return await work("a")


@workflow
async def sleeping_beside() -> Any:
    return await asyncio.gather(sleep(60), work("a"))


@workflow
async def with_a_door() -> Any:
    hook = create_hook("door")
    return [await work("a"), await hook]


@workflow
async def by_chance() -> Any:
    chance = random()
    found = [chance.random(), uuid4()]
    await work(str(found))
    found += [chance.random(), uuid4(), random().random()]
    await work(str(found))
    return [str(each) for each in found]


@workflow
async def counting_attempts() -> Any:
    first = get_workflow_metadata().attempt
    await work("a")
    return [first, get_workflow_metadata().attempt]


def retry(run: Driver) -> list[str]:
    """Retry a run. Returns the types of what is delivered again."""
    return [event.type for event in run.retry()]


def cut_of(run: Driver) -> LogEvent:
    return plan_retry(effective(run.log), run.log).cut


def fail(run: Driver, label: str) -> LogEvent:
    run.fail(run.step("work", label), ValueError(label))
    return next(e for e in reversed(run.log) if e.type == log.STEP_FAILED)


def succeed(run: Driver, label: str) -> None:
    run.complete(run.step("work", label), label.upper())


@pytest.mark.parametrize("target", [handled, another_instead])
def test_cut_at_the_failure_behind_the_error(target: Any) -> None:
    run = drive(target)
    failure = fail(run, "a")
    succeed(run, "undo")
    assert run.status == "run_failed"
    assert cut_of(run) is failure
    assert retry(run) == []
    succeed(run, "a")
    assert run.result == "A"


def test_what_was_under_way_is_delivered_or_runs_again() -> None:
    run = drive(two)
    succeed(run, "a")
    b, c = run.step("work", "b"), run.step("work", "c")
    failure = fail(run, "b")
    assert run.ended
    assert cut_of(run) is failure
    retry(run)
    assert [call.id for call in run.steps] == [b.id, c.id]
    succeed(run, "c")
    succeed(run, "b")
    assert run.result == ["A", "B", "C"]


def test_the_earliest_of_several_failures_counts() -> None:
    run = drive(grouped)
    succeed(run, "b")
    failure = fail(run, "a")
    assert run.ended
    assert cut_of(run) is failure
    retry(run)
    for label in "ca":
        succeed(run, label)
    assert run.status == "run_completed"


def test_results_after_the_cut_are_delivered_again() -> None:
    run = drive(collected)
    failure = fail(run, "a")
    succeed(run, "b")
    c = run.step("work", "c").id
    succeed(run, "c")
    assert run.status == "run_failed"
    assert cut_of(run) is failure
    assert retry(run) == ["step_completed"]
    succeed(run, "a")
    assert run.step("work", "c").id != c  # what was void is called by another id


def test_an_error_of_its_own_code_is_met_again() -> None:
    run = drive(buggy)
    succeed(run, "a")
    succeed(run, "b")
    assert cut_of(run).type == log.STEP_COMPLETED
    assert retry(run) == ["step_completed"]
    assert run.status == "run_failed"
    assert str(run.error) == "a bug"


def test_an_error_at_the_start() -> None:
    run = drive(buggy_at_once)
    assert cut_of(run).type == log.RUN_STARTED
    assert seqs(effective([*run.log[:1], run.log[1]])) == [1, 2]


def test_a_time_out_stands_still_while_the_run_is_closed() -> None:
    run = drive(in_time)
    run.pass_time(40)
    fail(run, "a")
    run.now_us += 3600 * 1_000_000
    retry(run)
    run.pass_time(19)
    assert not run.ended
    run.pass_time(2)
    assert isinstance(run.error, TimeoutError)


def test_a_time_out_that_ended_the_run_begins_anew() -> None:
    run = drive(in_time)
    run.pass_time(61)
    assert isinstance(run.error, TimeoutError)
    assert retry(run) == []
    run.pass_time(59)
    succeed(run, "a")
    assert run.result == "A"


def test_a_sleep_goes_on_while_the_run_is_closed() -> None:
    run = drive(sleeping_beside)
    fail(run, "a")
    run.now_us += 3600 * 1_000_000
    retry(run)
    run.fire()
    succeed(run, "a")
    assert run.result == [None, "A"]


def test_a_sleep_that_somebody_ended_stays_ended() -> None:
    run = drive(collected_asleep)
    fail(run, "a")
    run.wake()
    assert run.ended
    assert retry(run) == ["wake_requested"]
    succeed(run, "a")
    assert run.ended


@workflow
async def collected_asleep() -> None:
    found = await asyncio.gather(work("a"), sleep(60), return_exceptions=True)
    for each in found:
        if isinstance(each, Exception):
            raise each


def test_payloads_are_delivered_again() -> None:
    run = drive(with_a_door)
    run.send("door", "knock")
    fail(run, "a")
    hooks = list(run.execution.hooks)
    assert retry(run) == []  # it came before the cut, and the hook keeps it
    assert list(run.execution.hooks) == hooks
    succeed(run, "a")
    assert run.result == ["A", "knock"]


def test_chance_does_not_repeat_what_is_void() -> None:
    run = drive(by_chance)
    first = run.steps[0].args
    run.fail(run.steps[0], ValueError())
    retry(run)
    assert run.steps[0].args == first  # called before the cut
    run.complete(run.steps[0])
    second = run.steps[0].args
    run.complete(run.steps[0])
    assert len(set(run.result)) == 5

    calm = drive(by_chance)
    calm.complete(calm.steps[0])
    assert calm.steps[0].args != second
    run.drop()
    assert len(set(run.result)) == 5


def test_the_attempt_is_that_of_the_epoch() -> None:
    run = drive(counting_attempts)
    fail(run, "a")
    retry(run)
    fail(run, "a")
    retry(run)
    run.drop()
    succeed(run, "a")
    assert run.result == [1, 3]


def test_attempts_are_counted_on_over_void_ones() -> None:
    run = drive(two)
    call = run.step("work", "b")
    for number in (1, 2):
        detail = {"attempt": number, "worker": "w"}
        run.deliver(LogEvent(log.STEP_STARTED, call.id, detail=detail))
        reason = {"attempt": number, "reason": "error"}
        run.deliver(LogEvent(log.STEP_RETRYING, call.id, detail=reason))
    assert call.errors == 2
    fail(run, "a")
    retry(run)
    again = run.step("work", "b")
    assert (again.attempt, again.errors, again.worker) == (2, 0, "")


def test_a_cancelled_run_goes_on_from_the_request() -> None:
    run = drive(handled)
    run.cancel()
    assert run.status == "run_cancelled"
    assert cut_of(run).type == log.CANCEL_REQUESTED
    retry(run)
    succeed(run, "a")
    assert run.result == "A"
    run.drop()
    assert run.result == "A"


def test_what_was_numbered_with_an_end_from_outside_is_news() -> None:
    run = drive(two)
    b = run.step("work", "b")
    succeed(run, "a")
    for kind, key, detail in (
        (log.STEP_COMPLETED, b.id, {"late": True}),
        (log.RUN_TIMED_OUT, "", {}),
    ):
        payload = serialization.dumps("B") if key else None
        run._append(
            LogEvent(kind, key, time=run.now_us, detail=detail, payload=payload)
        )
    plan = plan_retry(run.log)
    assert plan.cut.detail == {"late": True}
    assert [event.correlation_id for event in plan.redelivered] == [b.id]
