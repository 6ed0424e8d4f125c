"""Cancelling: by request, delivered once, with time to clean up."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from asgiref.sync import async_to_sync
from django.db import OperationalError, connection

from django_workflows import (
    HookNotFoundError,
    InvalidRunStateError,
    WorkflowRunCancelledError,
    create_hook,
    get_hook_by_token,
    resume_hook,
    sleep,
    start,
    step,
    workflow,
)
from django_workflows.models import Event, Run, Step
from django_workflows.store import control
from django_workflows.testing import WorkflowTester
from tests.engine.transactions import rolled_back

log: list[str] = []


@pytest.fixture(autouse=True)
def _fresh() -> None:
    log.clear()


@step
def note(text: str) -> str:
    log.append(text)
    return text


@step(max_retries=0)
def fail() -> None:
    raise ValueError("clean-up failed")


@step(max_retries=100)
def never_succeeding() -> None:
    log.append("tried")
    raise ValueError("again")


@step(queue="nobody serves this")
def waiting_for_a_worker() -> str:
    log.append("ran")
    return "ran"


@workflow
async def sleeping() -> str:
    await note("began")
    await sleep("1d")
    return "slept"


@workflow
async def cleaning_up() -> None:
    try:
        await sleep("1d")
    finally:
        await note("clean")
        await sleep("1h")
        await note("up")


@workflow
async def failing_to_clean_up() -> None:
    try:
        await sleep("1d")
    finally:
        await fail()


@workflow
async def ignoring_it() -> str:
    try:
        await sleep("1d")
    except asyncio.CancelledError as error:
        await note(str(error))
    await sleep("1h")
    return "went on"


@workflow
async def on_a_hook() -> Any:
    with create_hook(token="t") as hook:
        return await hook


@workflow
async def in_a_task_group() -> str:
    async def child(name: str) -> None:
        try:
            await sleep("1d")
        finally:
            await note(name)

    async with asyncio.TaskGroup() as group:
        group.create_task(child("a"))
        group.create_task(child("b"))
    return "done"


@workflow
async def retrying() -> None:
    await never_succeeding()


@workflow
async def waiting_for_others() -> None:
    await waiting_for_a_worker()


@workflow
async def shielding() -> None:
    call = asyncio.ensure_future(sleep("1h"))
    try:
        await asyncio.shield(call)
    except asyncio.CancelledError:
        await call
        await note("slept to the end")
        raise


def begin(workflows: WorkflowTester, target: Any) -> Run:
    run = start(target)
    workflows.run_until_idle()
    return run


def types_of(run: Run) -> list[str]:
    return [event.type for event in run.history()]


def status_of(run: Run) -> str:
    run.refresh_from_db()
    return run.status


def test_a_run_that_has_not_begun_is_cancelled_at_once(
    workflows: WorkflowTester,
) -> None:
    run = start(sleeping)
    run.cancel("changed my mind")
    assert run.status == "cancelled"
    assert status_of(run) == "cancelled"
    assert run.finished_at == workflows.now
    workflows.advance("2d")
    assert log == []
    assert types_of(run) == ["run_created", "run_cancelled"]
    assert run.history()[-1].data == {"reason": "changed my mind"}


def test_a_delayed_run_is_cancelled_at_once(workflows: WorkflowTester) -> None:
    run = sleeping.options(delay="1h").start()
    workflows.run_until_idle()
    run.cancel()
    workflows.advance("2h")
    assert status_of(run) == "cancelled"
    assert log == []


def test_a_sleeping_run_is_cancelled(workflows: WorkflowTester) -> None:
    run = begin(workflows, sleeping)
    run.cancel()
    workflows.run_until_idle()
    assert status_of(run) == "cancelled"
    assert run.wake_at is None
    with pytest.raises(WorkflowRunCancelledError):
        run.result()
    assert types_of(run)[-3:] == ["cancel_requested", "wait_cancelled", "run_cancelled"]


def test_clean_up_may_take_steps_and_time(workflows: WorkflowTester) -> None:
    run = begin(workflows, cleaning_up)
    run.cancel()
    workflows.run_until_idle()
    assert log == ["clean"]
    assert status_of(run) == "running"
    workflows.crash()
    workflows.advance("1h")
    assert log == ["clean", "up"]
    assert status_of(run) == "cancelled"


def test_an_error_in_the_clean_up_fails_the_run(workflows: WorkflowTester) -> None:
    run = begin(workflows, failing_to_clean_up)
    run.cancel()
    workflows.run_until_idle()
    assert status_of(run) == "failed"
    assert isinstance(run.error, ValueError)


def test_a_run_may_go_on_and_complete(workflows: WorkflowTester) -> None:
    run = begin(workflows, ignoring_it)
    run.cancel("please")
    workflows.advance("1h")
    assert run.result() == "went on"
    assert log == ["please"]


def test_a_request_is_delivered_once(workflows: WorkflowTester) -> None:
    run = begin(workflows, ignoring_it)
    run.cancel()
    workflows.run_until_idle()
    workflows.crash()
    workflows.advance("2h")
    assert run.result() == "went on"
    assert types_of(run).count("cancel_requested") == 1


def test_a_second_request_does_not_cut_off_the_clean_up(
    workflows: WorkflowTester,
) -> None:
    run = begin(workflows, cleaning_up)
    run.cancel()
    workflows.run_until_idle()
    run.cancel()
    workflows.advance("1h")
    assert log == ["clean", "up"]
    assert status_of(run) == "cancelled"
    assert types_of(run).count("cancel_requested") == 1


def test_a_cancelled_run_frees_its_hooks(workflows: WorkflowTester) -> None:
    run = begin(workflows, on_a_hook)
    run.cancel()
    workflows.run_until_idle()
    assert status_of(run) == "cancelled"
    with pytest.raises(HookNotFoundError):
        get_hook_by_token("t")
    assert status_of(begin(workflows, on_a_hook)) == "running"


def test_a_task_group_is_cancelled_as_a_whole(workflows: WorkflowTester) -> None:
    run = begin(workflows, in_a_task_group)
    run.cancel()
    workflows.run_until_idle()
    assert status_of(run) == "cancelled"
    assert sorted(log) == ["a", "b"]


def test_a_step_between_attempts_is_cancelled(workflows: WorkflowTester) -> None:
    run = begin(workflows, retrying)
    run.cancel()
    workflows.run_until_idle()
    assert status_of(run) == "cancelled"
    workflows.advance("1h")
    assert log == ["tried"]
    assert "step_cancelled" in types_of(run)


def test_a_step_on_offer_is_cancelled(workflows: WorkflowTester) -> None:
    run = start(waiting_for_others)
    with only_default_queue(workflows):
        workflows.run_until_idle()
        assert Step.objects.get().status == "pending"
        run.cancel()
        workflows.run_until_idle()
    assert status_of(run) == "cancelled"
    assert Step.objects.get().status == "cancelled"
    workflows.run_until_idle()
    assert log == []


def only_default_queue(workflows: WorkflowTester) -> Any:
    """The kit serves all queues; here it shall leave steps on offer."""
    from unittest.mock import patch

    return patch.object(workflows, "_queues", lambda: ("default",))


def test_shield_lets_an_operation_go_on(workflows: WorkflowTester) -> None:
    run = begin(workflows, shielding)
    run.cancel()
    workflows.run_until_idle()
    assert status_of(run) == "running"
    workflows.advance("1h")
    assert log == ["slept to the end"]
    assert status_of(run) == "cancelled"
    assert "wait_cancelled" not in types_of(run)


def test_cancelling_twice_is_no_error(workflows: WorkflowTester) -> None:
    run = begin(workflows, sleeping)
    run.cancel()
    run.cancel()
    workflows.run_until_idle()
    assert status_of(run) == "cancelled"
    before = types_of(run)
    run.cancel()
    workflows.run_until_idle()
    assert types_of(run) == before
    assert not Event.objects.filter(seq=None).exists()


def test_cancelling_a_completed_run_is_refused(workflows: WorkflowTester) -> None:
    run = begin(workflows, on_a_hook)
    resume_hook("t", 1)
    workflows.run_until_idle()
    before = types_of(run)
    with pytest.raises(InvalidRunStateError, match="completed") as refusal:
        run.cancel()
    assert refusal.value.run_id == run.pk
    assert (run.result(), types_of(run)) == (1, before)
    assert not Event.objects.filter(seq=None).exists()


def test_cancelling_in_a_rolled_back_block_does_nothing(
    workflows: WorkflowTester,
) -> None:
    unbegun, asleep = sleeping.options(delay="1w").start(), begin(workflows, sleeping)
    with rolled_back():
        unbegun.cancel()
        asleep.cancel()
    workflows.run_until_idle()
    assert status_of(unbegun) == "pending"
    assert status_of(asleep) == "running"


def test_async_twin_of_cancel(workflows: WorkflowTester) -> None:
    run = begin(workflows, sleeping)
    async_to_sync(run.acancel)("bye")
    workflows.run_until_idle()
    assert status_of(run) == "cancelled"


def test_a_reason_may_be_any_text(workflows: WorkflowTester) -> None:
    reason = "NUL \0, surrogate \ud800, quote ' and %s"
    run = begin(workflows, ignoring_it)
    run.cancel(reason)
    workflows.advance("1h")
    assert run.result() == "went on"
    assert log == [reason]


# -- terminate, as far as keys need it ------------------------------------------------


def test_a_terminated_run_runs_no_more_code(workflows: WorkflowTester) -> None:
    run = begin(workflows, cleaning_up)
    control.terminate(run, "enough")
    workflows.advance("2d")
    assert log == []
    assert status_of(run) == "terminated"
    assert types_of(run)[-1] == "run_terminated"
    assert run.history()[-1].data == {"reason": "enough"}
    assert not Run.objects.exclude(owner="").exists()


def test_terminating_numbers_what_was_accepted_before(
    workflows: WorkflowTester,
) -> None:
    run = begin(workflows, on_a_hook)
    resume_hook("t", "accepted")
    control.terminate(run)
    assert types_of(run)[-2:] == ["hook_received", "run_terminated"]
    seqs = [event.seq for event in run.history()]
    assert seqs == list(range(1, len(seqs) + 1))
    with pytest.raises(HookNotFoundError):
        resume_hook("t", "too late")


def test_terminating_a_closed_run_is_refused(workflows: WorkflowTester) -> None:
    run = begin(workflows, sleeping)
    control.terminate(run)
    with pytest.raises(InvalidRunStateError):
        control.terminate(run)


@pytest.mark.django_db(transaction=True)
def test_terminating_is_tried_again_after_a_deadlock(workflows: WorkflowTester) -> None:
    run = begin(workflows, on_a_hook)
    given_up: list[str] = []

    def give_up_once(execute: Any, sql: str, *others: Any) -> Any:
        if sql.startswith("DELETE FROM django_workflows_hook") and not given_up:
            given_up.append(sql)
            raise OperationalError(1213, "Deadlock found when trying to get lock")
        return execute(sql, *others)

    with connection.execute_wrapper(give_up_once):
        control.terminate(run, "enough")
    assert given_up
    assert types_of(run).count("run_terminated") == 1
