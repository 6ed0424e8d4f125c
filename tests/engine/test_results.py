"""``run.result()``: every outcome, and where it may not be asked."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from asgiref.sync import async_to_sync
from django.db import transaction

from django_workflows import (
    FatalError,
    StepError,
    StepFailedError,
    WorkflowRunCancelledError,
    WorkflowRunFailedError,
    WorkflowRunNotFoundError,
    WorkflowRunTerminatedError,
    aget_run,
    create_hook,
    get_run,
    start,
    step,
    workflow,
)
from django_workflows.models import Run
from django_workflows.store import control
from django_workflows.testing import WorkflowTester


class CustomError(Exception):
    """One that can be rebuilt."""

    def __init__(self, message: str, number: int) -> None:
        super().__init__(message, number)
        self.number = number


@step(max_retries=0)
def broken() -> None:
    raise CustomError("from the step", 7)


@step(max_retries=0)
def broken_locally() -> None:
    class LocalError(Exception):
        pass

    raise LocalError("nobody can import me")


@workflow
async def returning(value: Any) -> Any:
    return value


@workflow
async def returning_nothing() -> None: ...


@workflow
async def raising() -> None:
    try:
        raise KeyError("inner")
    except KeyError as error:
        raise CustomError("outer", 42) from error


@workflow
async def failing_step() -> None:
    await broken()


@workflow
async def failing_local_step() -> None:
    await broken_locally()


@workflow
async def returning_an_error() -> Any:
    return TypeError("returned, not raised")


@workflow
async def returning_nonsense() -> Any:
    return lambda: 1


@workflow
async def exiting() -> None:
    raise SystemExit(3)


@workflow
async def cancelling_itself() -> None:
    raise asyncio.CancelledError


@workflow
async def waiting() -> Any:
    return await create_hook(token="t")


def finished(workflows: WorkflowTester, target: Any, *args: Any) -> Run:
    run = start(target, *args)
    workflows.run_until_idle()
    run.refresh_from_db()
    return run


def test_result_is_the_return_value(workflows: WorkflowTester) -> None:
    run = finished(workflows, returning, {"a": (1, {2})})
    assert run.result() == {"a": (1, {2})}
    assert run.output == {"a": (1, {2})}
    assert (run.status, run.is_closed, run.error) == ("completed", True, None)


def test_result_without_a_return_value_is_none(workflows: WorkflowTester) -> None:
    assert finished(workflows, returning_nothing).result() is None


def test_an_exception_that_is_returned_is_a_value(workflows: WorkflowTester) -> None:
    run = finished(workflows, returning_an_error)
    assert run.status == "completed"
    assert type(run.result()) is TypeError
    assert run.result().args == ("returned, not raised",)


def test_a_failed_run_raises_its_cause(workflows: WorkflowTester) -> None:
    run = finished(workflows, raising)
    with pytest.raises(WorkflowRunFailedError, match="outer") as failure:
        run.result()
    cause = failure.value.cause
    assert failure.value.run_id == run.pk
    assert failure.value.__cause__ is cause
    assert type(cause) is CustomError
    assert cause.args == ("outer", 42)
    assert cause.number == 42
    assert isinstance(cause.__cause__, KeyError)
    assert run.status == "failed"
    assert type(run.error) is CustomError
    assert run.output is None


def test_the_cause_of_a_failed_step_is_its_own_exception(
    workflows: WorkflowTester,
) -> None:
    run = finished(workflows, failing_step)
    with pytest.raises(WorkflowRunFailedError) as failure:
        run.result()
    cause = failure.value.cause
    assert type(cause) is CustomError
    assert cause.number == 7
    assert isinstance(cause.__cause__, StepFailedError)
    assert cause.__cause__.step_name.endswith("broken")


def test_a_cause_that_cannot_be_rebuilt_is_a_step_error(
    workflows: WorkflowTester,
) -> None:
    run = finished(workflows, failing_local_step)
    with pytest.raises(WorkflowRunFailedError) as failure:
        run.result()
    cause = failure.value.cause
    assert isinstance(cause, StepError)
    assert "LocalError" in cause.type_name
    assert str(cause) == "nobody can import me"


def test_a_return_value_that_cannot_be_stored_fails_the_run(
    workflows: WorkflowTester,
) -> None:
    run = finished(workflows, returning_nonsense)
    with pytest.raises(WorkflowRunFailedError, match="return value"):
        run.result()


def test_system_exit_in_workflow_code_fails_the_run(workflows: WorkflowTester) -> None:
    run = finished(workflows, exiting)
    with pytest.raises(WorkflowRunFailedError) as failure:
        run.result()
    assert isinstance(failure.value.cause, SystemExit)


def test_cancelled_error_without_a_request_is_a_failure(
    workflows: WorkflowTester,
) -> None:
    assert finished(workflows, cancelling_itself).status == "failed"


def test_a_cancelled_run_raises(workflows: WorkflowTester) -> None:
    run = start(waiting)
    run.cancel()
    with pytest.raises(WorkflowRunCancelledError) as refusal:
        run.result()
    assert refusal.value.run_id == run.pk


def test_a_terminated_run_raises(workflows: WorkflowTester) -> None:
    run = finished(workflows, waiting)
    control.terminate(run)
    with pytest.raises(WorkflowRunTerminatedError) as refusal:
        run.result()
    assert refusal.value.run_id == run.pk


def test_an_instance_read_before_the_end_gives_the_result(
    workflows: WorkflowTester,
) -> None:
    run = start(returning, 1)
    early = get_run(run.pk)
    workflows.run_until_idle()
    assert early.result() == 1
    assert early.is_closed


# -- waiting --------------------------------------------------------------------------


def test_result_in_a_transaction_on_an_open_run_is_refused(
    workflows: WorkflowTester,
) -> None:
    with transaction.atomic():
        run = start(returning, 1)
        with pytest.raises(RuntimeError, match="atomic"):
            run.result()
        with pytest.raises(RuntimeError, match="atomic"):
            async_to_sync(run.aresult)()
    workflows.run_until_idle()
    with transaction.atomic():
        assert run.result() == 1


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("timeout", [0, 0.05, "50ms"])
def test_result_times_out(workflows: WorkflowTester, timeout: Any) -> None:
    run = start(waiting)
    with pytest.raises(TimeoutError, match=run.pk):
        run.result(timeout=timeout)
    with pytest.raises(TimeoutError, match=run.pk):
        async_to_sync(run.aresult)(timeout=timeout)
    run.refresh_from_db()
    assert not run.is_closed


@pytest.mark.django_db(transaction=True)
def test_result_of_a_closed_run_needs_no_time(workflows: WorkflowTester) -> None:
    assert finished(workflows, returning, 1).result(timeout=0) == 1


@pytest.mark.parametrize("timeout", ["soon", -1, [1]])
def test_a_timeout_that_is_no_duration_is_refused(
    workflows: WorkflowTester, timeout: Any
) -> None:
    run = finished(workflows, returning, 1)
    with pytest.raises(ValueError, match="duration"):
        run.result(timeout=timeout)


@pytest.mark.django_db(transaction=True)
def test_result_wakes_up_when_the_run_ends(workflows: WorkflowTester) -> None:
    run = start(returning, 5)

    async def wait_while_working() -> Any:
        waiting = asyncio.ensure_future(run.aresult(timeout=90))
        await asyncio.sleep(0)
        await asyncio.to_thread(lambda: None)
        assert not waiting.done()
        from asgiref.sync import sync_to_async

        await sync_to_async(workflows.run_until_idle)()
        return await waiting

    assert async_to_sync(wait_while_working)() == 5


@pytest.mark.django_db(transaction=True)
def test_result_of_a_run_whose_start_was_rolled_back_is_not_found(
    workflows: WorkflowTester,
) -> None:
    with transaction.atomic():
        run = start(returning, 1)
        transaction.set_rollback(True)
    with pytest.raises(WorkflowRunNotFoundError, match=run.pk):
        run.result()


# -- get_run --------------------------------------------------------------------------


def test_get_run_finds_the_run(workflows: WorkflowTester) -> None:
    run = start(returning, 1)
    assert get_run(run.pk) == run
    assert async_to_sync(aget_run)(run.pk) == run


@pytest.mark.parametrize("run_id", ["wrun_nope", "", "\0", "x" * 500])
def test_get_run_of_an_unknown_run_raises(
    workflows: WorkflowTester, run_id: str
) -> None:
    with pytest.raises(WorkflowRunNotFoundError):
        get_run(run_id)
    with pytest.raises(WorkflowRunNotFoundError):
        async_to_sync(aget_run)(run_id)


def test_fatal_error_in_workflow_code_is_an_ordinary_failure(
    workflows: WorkflowTester,
) -> None:
    run = finished(workflows, raising_fatal)
    assert isinstance(run.error, FatalError)


@workflow
async def raising_fatal() -> None:
    raise FatalError("enough")
