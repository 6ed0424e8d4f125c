"""Errors of steps and of workflow code, as people and workflows get to see them."""

from __future__ import annotations

import asyncio
from itertools import pairwise
from typing import Any

import pytest
from django.db import InterfaceError, OperationalError

from django_workflows import (
    FatalError,
    RetryPolicy,
    StepError,
    StepFailedError,
    WorkflowRunFailedError,
    get_step_metadata,
    start,
    step,
    workflow,
)
from django_workflows.core.failures import Failure
from django_workflows.models import Run, Step
from django_workflows.testing import WorkflowTester
from tests.engine.error_helpers import helper_that_fails
from tests.engine.faults import Crash, crash_in_body

attempts: list[tuple[int, float]] = []
errors: list[Any] = []


@pytest.fixture(autouse=True)
def _fresh() -> None:
    attempts.clear()
    errors.clear()


class OutOfStockError(FatalError):
    """A fatal error of the project's own."""


class Alarm(BaseException):
    """No Exception, and no business of Python's."""


@step
def raising() -> None:
    metadata = get_step_metadata()
    attempts.append((metadata.attempt, metadata.started_at.timestamp()))
    crash_in_body(f"attempt {metadata.attempt}")
    raise errors[0]


@step(max_retries=0)
def failing_in_another_file(message: str) -> None:
    helper_that_fails(message)


@step
def quick(text: str) -> str:
    return text


@workflow
async def catching(options: dict[str, Any]) -> Any:
    try:
        await raising.options(**options)()
    except BaseException as error:
        circumstances = error.__cause__
        assert isinstance(circumstances, StepFailedError)
        return [error, circumstances.attempts, str(circumstances)]


@workflow
async def catching_from_another_file() -> Any:
    try:
        await failing_in_another_file("Step error message")
    except ValueError as error:
        circumstances = error.__cause__
        assert isinstance(circumstances, StepFailedError)
        return [str(error), circumstances.traceback, circumstances.step_id]


def caught(workflows: WorkflowTester, error: Any, **options: Any) -> Any:
    errors[:] = [error]
    return workflows.run(catching, {"max_retries": 0, **options})


# -- what is said ----------------------------------------------------------------------


@pytest.mark.parametrize(("retries", "said"), [(0, "1 attempt:"), (1, "2 attempts:")])
def test_the_circumstances_in_words(
    workflows: WorkflowTester, retries: int, said: str
) -> None:
    _, number, words = caught(workflows, ValueError("no luck"), max_retries=retries)
    assert number == retries + 1
    assert words == f"step {raising.name} failed after {said} no luck"


def test_the_traceback_leads_through_the_step_to_other_files(
    workflows: WorkflowTester,
) -> None:
    run = start(catching_from_another_file)
    workflows.run_until_idle()
    message, traceback, step_id = run.result()
    assert message == "Step error message"
    for part in ("failing_in_another_file", "helper_that_fails", "error_helpers.py"):
        assert part in traceback
    row = Step.objects.get(run=run)
    assert (row.pk, row.status, row.attempt) == (step_id, "failed", 1)
    assert run.history()[-1].type == "run_completed"


async def inner(message: str) -> None:
    await quick("before")
    raise LookupError(message)


async def middle(message: str) -> None:
    await inner(message)


@workflow
async def failing_in_depth() -> None:
    await middle("Nested workflow error")


def test_an_error_of_workflow_code_is_stored_with_its_traceback(
    workflows: WorkflowTester,
) -> None:
    run = start(failing_in_depth)
    workflows.run_until_idle()
    with pytest.raises(WorkflowRunFailedError, match="Nested workflow error") as failed:
        run.result()
    assert type(failed.value.cause) is LookupError
    assert failed.value.code == "run_failed"
    event = run.history()[-1]
    assert event.type == "run_failed"
    assert repr(event.data["error"]) == "LookupError('Nested workflow error')"
    traceback = Failure.of(bytes(event.payload or b"")).traceback
    places = [traceback.index(name) for name in ("failing_in_depth", "middle", "inner")]
    assert places == sorted(places)


# -- what kinds there are --------------------------------------------------------------


@pytest.mark.parametrize("error", [FatalError("over"), OutOfStockError("over", 3)])
def test_fatal_errors_are_told_apart_and_not_retried(
    workflows: WorkflowTester, error: Exception
) -> None:
    found, number, _ = caught(workflows, error, max_retries=5)
    assert type(found) is type(error)
    assert found.args == error.args
    assert number == len(attempts) == 1
    types = [event.type for event in Run.objects.get().history()]
    assert "step_retrying" not in types


@pytest.mark.parametrize("nothing", [None, "text", {"an": "object"}], ids=repr)
def test_raising_what_is_no_exception_is_a_type_error(
    workflows: WorkflowTester, nothing: Any
) -> None:
    found, _, _ = caught(workflows, nothing)
    assert type(found) is TypeError
    assert str(found) == "exceptions must derive from BaseException"


@pytest.mark.parametrize("error", [OperationalError("gone"), InterfaceError("closed")])
def test_database_errors_of_a_step_are_errors_of_the_step(
    workflows: WorkflowTester, error: Exception
) -> None:
    """They are counted, and end the step: the engine's own patience is not meant."""
    found, number, _ = caught(workflows, error, max_retries=2)
    assert type(found) is type(error)
    assert str(found) == str(error)
    assert number == len(attempts) == 3


def test_other_base_exceptions_of_a_step_are_errors_of_the_step(
    workflows: WorkflowTester,
) -> None:
    found, number, _ = caught(workflows, Alarm("fire"), max_retries=1)
    assert type(found) is Alarm
    assert number == 2
    ended, _, _ = caught(workflows, GeneratorExit("over"))
    assert type(ended) is StepError
    assert ended.type_name == "builtins.GeneratorExit"


@workflow
async def raising_itself() -> None:
    raise errors[0]


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (Alarm("fire"), "Alarm('fire')"),
        (GeneratorExit("over"), "GeneratorExit('over')"),
        (StopIteration(1), "RuntimeError('coroutine raised StopIteration')"),
        (StopAsyncIteration(2), "StopAsyncIteration(2)"),
        (None, "TypeError('exceptions must derive from BaseException')"),
    ],
    ids=repr,
)
def test_odd_exceptions_of_workflow_code_fail_the_run(
    workflows: WorkflowTester, error: Any, expected: str
) -> None:
    errors[:] = [error]
    run = start(raising_itself)
    workflows.run_until_idle()
    run.refresh_from_db()
    assert (run.status, run.blocked_reason) == ("failed", "")
    assert repr(run.error) == expected


# -- errors and crashes ----------------------------------------------------------------


def test_a_crash_costs_no_retry_and_does_not_grow_the_delay(
    workflows: WorkflowTester,
) -> None:
    errors[:] = [ValueError("again")]
    global retry
    retry = RetryPolicy(initial_interval="10s", maximum_attempts=3)
    run = start(catching_with_policy)
    workflows.run_until_idle()
    with Crash.in_body("attempt 2"):
        workflows.advance("10s")
    workflows.crash()
    workflows.run_until_idle()
    assert [number for number, _ in attempts] == [1, 2, 3]
    with Crash.in_body("attempt 4"):
        workflows.advance("20s")
    workflows.crash()
    workflows.run_until_idle()
    _, number, words = run.result()
    assert number == 5
    assert "after 5 attempts:" in words
    begun = [time for _, time in attempts]
    assert [number for number, _ in attempts] == [1, 2, 3, 4, 5]
    assert [b - a for a, b in pairwise(begun)] == [10, 0, 20, 0]
    workflows.assert_replays(run)


retry = RetryPolicy()


@workflow
async def catching_with_policy() -> Any:
    try:
        await raising.options(retry=retry)()
    except ValueError as error:
        circumstances = error.__cause__
        assert isinstance(circumstances, StepFailedError)
        return [str(error), circumstances.attempts, str(circumstances)]


# -- errors beside others --------------------------------------------------------------


@workflow
async def failing_beside(count: int) -> list[str]:
    return await asyncio.gather(
        quick("a"), raising_async(), *[quick(str(n)) for n in range(count)]
    )


@step(max_retries=0)
async def raising_async() -> str:
    raise errors[0]


def test_an_error_ends_the_run_at_once_and_results_beside_it_are_dropped(
    workflows: WorkflowTester,
) -> None:
    errors[:] = [FatalError("over")]
    run = start(failing_beside, 20)
    workflows.run_until_idle()
    run.refresh_from_db()
    assert run.status == "failed"
    assert type(run.error) is FatalError
    assert run.history()[-1].type == "run_failed"
    assert run.owner == ""
    assert not Step.objects.filter(run=run, status__in=["pending", "running"]).exists()
    assert not run.events.filter(seq=None).exists()
    workflows.assert_replays(run)
