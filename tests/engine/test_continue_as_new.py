"""Runs that continue as new: their successors, results and keys."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from typing import Any

import pytest
from asgiref.sync import async_to_sync, sync_to_async
from django.db import transaction
from django.test import override_settings

from django_workflows import (
    DuplicateRunError,
    WorkflowRunFailedError,
    continue_as_new,
    get_run,
    get_step_metadata,
    get_workflow_metadata,
    set_attributes,
    sleep,
    start,
    step,
    workflow,
)
from django_workflows.models import Run, Step
from django_workflows.store.chains import current_run_id
from django_workflows.testing import WorkflowTester
from tests.engine.chains import (
    add,
    allowance,
    chain,
    count_down,
    resting,
    types,
)


def test_result_is_that_of_the_last_run(workflows: WorkflowTester) -> None:
    assert workflows.run(count_down, 3) == {"total": 6, "note": "xxx"}


def test_chain_is_as_documented(workflows: WorkflowTester) -> None:
    run = start(count_down, 2)
    workflows.run_until_idle()
    first, second, third = chain(run)
    assert [r.status for r in (first, second, third)] == [
        "continued_as_new",
        "continued_as_new",
        "completed",
    ]
    assert second.continued_from_id == first.pk
    assert (second.args, second.kwargs) == ((1, 2), {"note": "x"})
    end = first.history()[-1]
    assert (end.type, end.data) == ("run_continued", {"run_id": second.pk})
    assert types(second)[:2] == ["run_created", "run_started"]
    assert first.finished_at is not None
    assert first.is_closed
    assert first.output is None
    for link in (first, second, third):
        assert link.result() == {"total": 3, "note": "xx"}
        workflows.assert_replays(link)
    assert bytes(first.seed) != bytes(second.seed)


def test_successor_has_what_was_said_of_the_run(workflows: WorkflowTester) -> None:
    run = resting.options(
        queue="eu", priority=7, attributes={"customer": 3}, timeout="90m"
    ).start(2)
    workflows.advance("1h")
    first, second = chain(run)
    for name in (
        "workflow",
        "version",
        "queue",
        "priority",
        "attributes",
        "timeout",
        "retention",
        "limit_key",
        "max_concurrency",
        "rate_limit",
        "parent_id",
        "root_id",
        "parent_call",
        "parent_close_policy",
    ):
        assert getattr(first, name) == getattr(second, name), name
    assert (second.attempt, second.epoch) == (1, 0)
    assert allowance(second) == allowance(first) == timedelta(minutes=90)


def test_time_out_counts_anew(workflows: WorkflowTester) -> None:
    run = resting.options(timeout="90m").start(3)
    workflows.advance("3h")
    assert run.result() == "rested"


def test_version_is_pinned(workflows: WorkflowTester) -> None:
    @workflow(name="pinned", version="1")
    async def old(left: int) -> str:
        await sleep("1h")
        if left:
            continue_as_new(left - 1)
        return f"old {get_workflow_metadata().version}"

    run = start(old, 1)
    workflows.run_until_idle()

    @workflow(name="pinned", version="2")
    async def new(left: int) -> str:
        return "new"

    workflows.advance("2h")
    assert run.result() == "old 1"
    assert start(new, 0).version == "2"


def test_steps_and_timers_end_as_at_any_end(workflows: WorkflowTester) -> None:
    @step(queue="nobody")
    def elsewhere() -> None:
        pass

    @workflow
    async def leaving(again: bool) -> str:
        if again:
            _ = elsewhere()
            sleep("1d")
            await sleep("1m")
            continue_as_new(False)
        return "left"

    assert workflows.run(leaving, True) == "left"
    assert not Step.objects.filter(status__in=["pending", "running"]).exists()
    run = Run.objects.for_workflow(leaving).order_by("created_at")[0]
    assert run.status == "continued_as_new"
    assert run.wake_at is None


def test_failure_of_the_last_run_names_it(workflows: WorkflowTester) -> None:
    @workflow
    async def failing(left: int) -> None:
        await add(1, 2)
        if left:
            continue_as_new(left - 1)
        raise ValueError("at last")

    run = start(failing, 2)
    workflows.run_until_idle()
    with pytest.raises(WorkflowRunFailedError, match="at last") as caught:
        run.result()
    last = chain(run)[-1]
    assert caught.value.run_id == last.pk
    run.refresh_from_db()
    assert run.status == "continued_as_new"


def test_result_waits_for_the_end_of_the_chain(
    workflows: WorkflowTester, transactional_db: None
) -> None:
    run = start(resting, 2)
    workflows.advance("1h")
    with pytest.raises(TimeoutError) as caught:
        run.result(timeout=0.05)
    assert current_run_id(run.pk) in str(caught.value)
    workflows.advance("1h")
    assert run.result(timeout=90) == "rested"


def test_result_in_a_transaction_is_refused_while_the_chain_is_open(
    workflows: WorkflowTester,
) -> None:
    run = start(resting, 2)
    workflows.advance("1h")
    with transaction.atomic(), pytest.raises(RuntimeError, match="atomic"):
        run.result()


def test_long_chain(workflows: WorkflowTester) -> None:
    run = start(count_down, 520)
    workflows.run_until_idle()
    assert run.result()["total"] == 520 * 521 // 2
    assert Run.objects.count() == 521


def test_poison_arguments_fail_the_run_alone(workflows: WorkflowTester) -> None:
    @workflow
    async def growing(text: str) -> None:
        continue_as_new(text * 3_000_000)

    run = start(growing, "x")
    workflows.run_until_idle()
    with pytest.raises(WorkflowRunFailedError, match="MAX_PAYLOAD_BYTES"):
        run.result()
    assert len(chain(run)) == 1


def test_attributes_are_those_set_by_then(workflows: WorkflowTester) -> None:
    @workflow
    async def saying(round_: int) -> dict[str, Any]:
        if round_ < 3:
            set_attributes(round=round_, **{f"seen{round_}": True})
            continue_as_new(round_ + 1)
        return get_workflow_metadata().attributes

    options = saying.options(attributes={"customer": 7, "round": 0})
    found = workflows.run(options, 1)
    assert found == {"customer": 7, "round": 2, "seen1": True, "seen2": True}


def test_history_limits_count_each_run_alone(
    workflows: WorkflowTester, caplog: pytest.LogCaptureFixture
) -> None:
    low = {"HISTORY_WARNING": 10, "HISTORY_LIMIT": 12}
    with override_settings(WORKFLOWS=low):
        assert workflows.run(count_down, 20)["total"] == 210
    assert not [r for r in caplog.records if getattr(r, "action", "") == "history_long"]


@pytest.mark.django_db(transaction=True)
def test_result_of_a_chain_on_an_event_loop(workflows: WorkflowTester) -> None:
    run = start(resting, 2)
    workflows.advance("1h")

    async def wait() -> Any:
        with pytest.raises(TimeoutError):
            await run.aresult(timeout=0.05)
        waiting = asyncio.ensure_future(run.aresult(timeout=90))
        await sync_to_async(workflows.advance)("1h")
        return await waiting

    assert async_to_sync(wait)() == "rested"


# -- keys ---------------------------------------------------------------------------


def test_key_moves_along(workflows: WorkflowTester) -> None:
    options = resting.options(key="nap")
    run = options.start(3)
    workflows.advance("1h")
    first, second = chain(run)
    assert options.start(3).pk == second.pk
    assert (first.key, first.key_held) == ("nap", None)
    assert second.key == "nap"
    with pytest.raises(DuplicateRunError) as caught:
        resting.options(key="nap", on_conflict="reject").start(3)
    assert caught.value.run_id == second.pk
    assert resting.options(key="nap", on_conflict="restart_closed").start(3) == second
    workflows.advance("2h")
    assert options.start(3).pk == chain(run)[-1].pk


def test_terminate_existing_ends_the_current_run(workflows: WorkflowTester) -> None:
    run = resting.options(key="nap").start(3)
    workflows.advance("1h")
    other = resting.options(key="nap", on_conflict="terminate_existing").start(1)
    second = chain(run)[-1]
    assert second.status == "terminated"
    assert other.pk != second.pk
    workflows.advance("1h")
    assert other.result() == "rested"


# -- limits -------------------------------------------------------------------------


def test_chain_keeps_its_place_among_limited_runs(workflows: WorkflowTester) -> None:
    """The next in line begins when the chain has ended, not between its runs."""

    @workflow(max_concurrency=1)
    async def exclusive(left: int) -> str:
        await sleep("1h")
        if left:
            continue_as_new(left - 1)
        return "done"

    first, second = start(exclusive, 2), start(exclusive, 2)
    for hour in range(6):
        workflows.run_until_idle()
        begun = Run.objects.open().filter(started_at__isnull=False)
        (at_work,) = begun
        assert at_work in chain(first if hour < 3 else second)
        workflows.advance("1h")
    assert first.result() == second.result() == "done"
    assert len(chain(second)) == 3


def test_rate_limit_counts_a_chain_once(workflows: WorkflowTester) -> None:
    @workflow(rate_limit="1/h")
    async def paced(left: int) -> str:
        await add(left, 1)
        if left:
            continue_as_new(left - 1)
        return "done"

    first, second = start(paced, 3), start(paced, 3)
    workflows.run_until_idle()
    assert first.result() == "done"
    assert get_run(second.pk).status == "pending"
    workflows.advance("61m")
    assert second.result() == "done"


def test_limited_chain_among_crashes(workflows: WorkflowTester) -> None:
    @workflow(max_concurrency=2, concurrency_key="left")
    async def keyed(left: int) -> str:
        await sleep("1m")
        if left:
            continue_as_new(left - 1)
        return "done"

    runs = [start(keyed, 2) for _ in range(4)]
    for _ in range(12):
        workflows.run_until_idle()
        assert Run.objects.open().filter(started_at__isnull=False).count() <= 2
        workflows.crash()
        workflows.advance("1m")
    assert [run.result() for run in runs] == ["done"] * 4


broken: set[str] = set()


@step(max_retries=0)
def brittle() -> None:
    if broken:
        raise ValueError("broken")


@workflow
async def counting_attempts(left: int, seen: list[int]) -> list[int]:
    seen = [*seen, get_workflow_metadata().attempt]
    await brittle()
    seen.append(get_workflow_metadata().attempt)
    if left:
        continue_as_new(left - 1, seen)
    return seen


def test_successor_of_a_retried_run_is_in_its_first_attempt(
    workflows: WorkflowTester,
) -> None:
    broken.add("now")
    run = start(counting_attempts, 1, [])
    workflows.run_until_idle()
    broken.clear()
    run.retry()
    workflows.run_until_idle()
    assert run.result() == [1, 2, 1, 1]
    first, second = chain(run)
    assert [(link.attempt, link.epoch) for link in (first, second)] == [(2, 1), (1, 0)]
    for link in (first, second):
        workflows.assert_replays(link)


attempts: list[tuple[int, int]] = []


@step
def third_time_lucky(round_: int) -> int:
    attempt = get_step_metadata().attempt
    attempts.append((round_, attempt))
    if attempt < 3:
        raise ValueError("again")
    return round_


@workflow
async def leaving_a_retry_behind(round_: int) -> str:
    call = third_time_lucky(round_)
    if round_ == 1:
        await sleep("500ms")
        continue_as_new(2)
    await call
    return "done"


def test_retry_under_way_ends_with_its_run_and_not_with_the_chain(
    workflows: WorkflowTester,
) -> None:
    attempts.clear()
    run = start(leaving_a_retry_behind, 1)
    workflows.advance("1h")
    assert run.result() == "done"
    assert attempts == [(1, 1), (2, 1), (2, 2), (2, 3)]
    assert not Step.objects.filter(status__in=["pending", "running"]).exists()
    for link in chain(run):
        workflows.assert_replays(link)
