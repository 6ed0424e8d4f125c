"""Retries: how often, when exactly, and for which errors."""

from __future__ import annotations

from datetime import datetime, timedelta
from itertools import pairwise
from typing import Any

import pytest

from django_workflows import (
    FatalError,
    ModelGoneError,
    RetryableError,
    RetryPolicy,
    StepError,
    StepFailedError,
    WorkflowRunFailedError,
    get_step_metadata,
    start,
    step,
    workflow,
)
from django_workflows.models import Run, Step
from django_workflows.testing import WorkflowTester
from tests.app.models import Marker

attempts: list[tuple[int, datetime]] = []
errors: list[Any] = []


@pytest.fixture(autouse=True)
def _fresh() -> None:
    attempts.clear()
    errors.clear()


def note() -> int:
    found = get_step_metadata()
    attempts.append((found.attempt, found.started_at))
    return found.attempt


class ShopError(Exception):
    pass


class ClosedError(ShopError):
    pass


class OddError(Exception):
    """Can be neither shown nor rebuilt."""

    def __init__(self, *, needed: int) -> None:
        super().__init__(lambda: needed)

    def __str__(self) -> str:
        raise ValueError("no text")


@step
def flaky(failures: int) -> int:
    attempt = note()
    if attempt <= failures:
        raise ShopError(f"attempt {attempt}")
    return attempt


@step
async def flaky_async(failures: int) -> int:
    attempt = note()
    if attempt <= failures:
        raise ShopError(f"attempt {attempt}")
    return attempt


@step
def raising_next() -> int:
    """Raise the next of `errors`, then return."""
    attempt = note()
    if attempt <= len(errors):
        error: BaseException = errors[attempt - 1]
        raise error
    return attempt


@workflow
async def trying(failures: int, options: dict[str, Any], target: Any = flaky) -> Any:
    return await target.options(**options)(failures)


@workflow
async def trying_errors(options: dict[str, Any]) -> Any:
    return await raising_next.options(**options)()


def run_trying(workflows: WorkflowTester, *args: Any, **kwargs: Any) -> Any:
    """Run and return the waits before each attempt, in seconds."""
    workflows.run(trying, *args, **kwargs)
    return waits()


def waits() -> list[float]:
    times = [time for _, time in attempts]
    return [(b - a).total_seconds() for a, b in pairwise(times)]


@pytest.mark.parametrize("target", [flaky, flaky_async])
def test_a_step_is_retried_until_it_succeeds(
    workflows: WorkflowTester, target: Any
) -> None:
    run = start(trying, 2, {}, target)
    workflows.advance("1m")
    assert run.result() == 3
    types = [e.type for e in run.history() if e.type.startswith("step_")]
    assert types == [
        "step_created",
        "step_started",
        "step_retrying",
        "step_started",
        "step_retrying",
        "step_started",
        "step_completed",
    ]
    assert [number for number, _ in attempts] == [1, 2, 3]
    row = Step.objects.get(run=run)
    assert (row.status, row.attempt, row.errors) == ("completed", 3, 2)


def test_the_default_is_three_retries_after_1_2_and_4_seconds(
    workflows: WorkflowTester,
) -> None:
    with pytest.raises(WorkflowRunFailedError):
        workflows.run(trying, 10, {})
    assert waits() == [1, 2, 4]


def test_exact_intervals_of_a_policy(workflows: WorkflowTester) -> None:
    policy = RetryPolicy(
        initial_interval="1s", maximum_interval="5s", maximum_attempts=6
    )
    assert run_trying(workflows, 5, {"retry": policy}) == [1, 2, 4, 5, 5]


def test_the_longest_interval_is_100_times_the_first_by_default(
    workflows: WorkflowTester,
) -> None:
    policy = RetryPolicy(initial_interval="10ms", backoff_coefficient=10)
    assert run_trying(workflows, 5, {"retry": policy}) == [0.01, 0.1, 1, 1, 1]


def test_a_bare_policy_has_no_limit(workflows: WorkflowTester) -> None:
    run_trying(workflows, 30, {"retry": RetryPolicy(backoff_coefficient=1)})
    assert len(attempts) == 31


def test_a_constant_interval_of_zero(workflows: WorkflowTester) -> None:
    policy = RetryPolicy(initial_interval=0, maximum_attempts=4)
    assert run_trying(workflows, 3, {"retry": policy}) == [0, 0, 0]


def test_jitter_stays_within_its_part(workflows: WorkflowTester) -> None:
    policy = RetryPolicy(initial_interval=10, backoff_coefficient=1, jitter=0.5)
    found = run_trying(workflows, 20, {"retry": policy})
    assert all(5 <= wait <= 15 for wait in found)
    assert len(set(found)) > 1


def test_max_retries_0_runs_once(workflows: WorkflowTester) -> None:
    with pytest.raises(WorkflowRunFailedError):
        workflows.run(trying, 1, {"max_retries": 0})
    assert len(attempts) == 1


def test_time_stands_still_without_the_kit_being_told(
    workflows: WorkflowTester,
) -> None:
    run = start(trying, 1, {})
    workflows.run_until_idle()
    assert len(attempts) == 1
    run.refresh_from_db()
    assert run.wake_at == workflows.now + timedelta(seconds=1)
    workflows.advance("999ms")
    assert len(attempts) == 1
    workflows.advance("1ms")
    assert run.result() == 2


def test_retries_survive_a_crash(workflows: WorkflowTester) -> None:
    run = start(trying, 3, {})
    for _ in range(4):
        workflows.run_until_idle()
        workflows.crash()
        workflows.advance("1s")
    workflows.advance("10s")
    assert run.result() == 4
    assert waits() == [1, 2, 4]


def test_an_attempt_after_a_deploy_runs_the_new_code(
    workflows: WorkflowTester, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = start(trying, 100, {})
    workflows.run_until_idle()
    monkeypatch.setattr(flaky, "func", lambda failures: [note(), "new code"])
    workflows.crash()
    workflows.advance("1s")
    assert run.result() == [2, "new code"]
    assert waits() == [1]


def test_steps_retry_independently(workflows: WorkflowTester) -> None:
    assert workflows.run(two_flaky) == [2, 3]


@workflow
async def two_flaky() -> Any:
    one, two = flaky(1), flaky_async(2)
    return [await one, await two]


# -- what a step may say --------------------------------------------------------------


def test_fatal_error_is_not_retried(workflows: WorkflowTester) -> None:
    errors[:] = [FatalError("over")]
    with pytest.raises(WorkflowRunFailedError) as failure:
        workflows.run(trying_errors, {"max_retries": 5})
    assert type(failure.value.cause) is FatalError
    assert str(failure.value.cause) == "over"
    assert len(attempts) == 1


@pytest.mark.parametrize(
    ("after", "wait"),
    [("90s", 90), (0, 0), (timedelta(minutes=2), 120), ("1h30m", 5400)],
)
def test_retry_after_a_duration_holds_for_that_attempt_only(
    workflows: WorkflowTester, after: Any, wait: float
) -> None:
    errors[:] = [RetryableError("busy", retry_after=after), ShopError(), ShopError()]
    workflows.run(trying_errors, {})
    assert waits() == [wait, 2, 4]


def test_retry_after_a_point_in_time(workflows: WorkflowTester) -> None:
    due = workflows.now + timedelta(hours=5)
    errors[:] = [RetryableError("busy", retry_after=due)]
    workflows.run(trying_errors, {})
    assert attempts[1][1] == due


def test_delays_are_exact_to_the_microsecond(workflows: WorkflowTester) -> None:
    due = workflows.now + timedelta(days=1, microseconds=1)
    errors[:] = [
        RetryableError("busy", retry_after=due),
        RetryableError("busy", retry_after=timedelta(microseconds=1)),
        RetryableError("busy", retry_after=0.1),
    ]
    begun = workflows.now
    workflows.run(trying_errors, {})
    assert [time - begun for _, time in attempts] == [
        timedelta(0),
        timedelta(days=1, microseconds=1),
        timedelta(days=1, microseconds=2),
        timedelta(days=1, microseconds=100_002),
    ]


def test_retry_after_a_time_in_the_past_is_now(workflows: WorkflowTester) -> None:
    due = workflows.now - timedelta(hours=5)
    errors[:] = [RetryableError("busy", retry_after=due)]
    workflows.run(trying_errors, {})
    assert waits() == [0]


def test_retryable_error_without_a_delay_follows_the_policy(
    workflows: WorkflowTester,
) -> None:
    errors[:] = [RetryableError("busy")]
    workflows.run(trying_errors, {})
    assert waits() == [1]


def test_retryable_error_counts_as_an_attempt(workflows: WorkflowTester) -> None:
    errors[:] = [RetryableError("busy", retry_after=1)] * 5
    with pytest.raises(WorkflowRunFailedError) as failure:
        workflows.run(trying_errors, {"max_retries": 2})
    assert type(failure.value.cause) is RetryableError
    assert len(attempts) == 3


def test_a_delay_beyond_the_calendar_waits_as_long_as_there_is_time(
    workflows: WorkflowTester,
) -> None:
    errors[:] = [RetryableError("busy", retry_after="500000w")]
    run = start(trying_errors, {})
    workflows.run_until_idle()
    run.refresh_from_db()
    assert run.status == "running"
    assert run.wake_at is not None
    assert run.wake_at.year == 9999


@pytest.mark.parametrize(
    "named",
    [
        ShopError,
        "ShopError",
        "tests.engine.test_retries.ShopError",
        ClosedError,
        "ClosedError",
    ],
)
def test_non_retryable_errors_by_class_name_and_subclass(
    workflows: WorkflowTester, named: Any
) -> None:
    errors[:] = [ClosedError("closed")]
    global policy
    policy = RetryPolicy(maximum_attempts=4, non_retryable_errors=(named,))
    with pytest.raises(WorkflowRunFailedError) as failure:
        workflows.run(trying_with_policy)
    assert type(failure.value.cause) is ClosedError
    assert len(attempts) == 1


@step
def name_of(marker: Marker) -> str:
    return marker.name


@workflow
async def naming(marker: Any) -> str:
    return await name_of(marker)


def test_an_instance_that_is_gone_is_not_looked_for_again(
    workflows: WorkflowTester,
) -> None:
    marker = Marker.objects.create(name="here")
    run = start(naming, marker)
    marker.delete()
    workflows.run_until_idle()
    with pytest.raises(WorkflowRunFailedError) as failure:
        run.result()
    assert type(failure.value.cause) is ModelGoneError
    assert "step_retrying" not in [event.type for event in run.history()]


def test_other_errors_than_the_non_retryable_are_retried(
    workflows: WorkflowTester,
) -> None:
    errors[:] = [ShopError("open"), KeyError("x")]
    global policy
    policy = RetryPolicy(non_retryable_errors=(ClosedError, "SomethingElse"))
    assert workflows.run(trying_with_policy) == 3


policy = RetryPolicy()


@workflow
async def trying_with_policy() -> Any:
    return await raising_next.options(retry=policy)()


# -- what arrives in the workflow -----------------------------------------------------


@workflow
async def catching(options: dict[str, Any]) -> Any:
    try:
        await raising_next.options(**options)()
    except BaseException as error:
        cause = error.__cause__
        assert isinstance(cause, StepFailedError)
        return {
            "error": error,
            "step_name": cause.step_name,
            "step_id": cause.step_id,
            "attempts": cause.attempts,
            "traceback": cause.traceback,
        }


def caught(workflows: WorkflowTester, *given: BaseException) -> Any:
    errors[:] = given
    return workflows.run(catching, {"max_retries": len(given) - 1})


def test_the_last_error_arrives_with_the_circumstances(
    workflows: WorkflowTester,
) -> None:
    found = caught(workflows, ShopError("one"), ShopError("two", 2))
    assert type(found["error"]) is ShopError
    assert found["error"].args == ("two", 2)
    assert found["step_name"] == raising_next.name
    assert found["step_id"] == Step.objects.get().pk
    assert found["attempts"] == 2
    assert "raising_next" in found["traceback"]


@pytest.mark.parametrize(
    "error",
    [
        ValueError("x"),
        KeyError("k"),
        UnicodeDecodeError("utf-8", b"\xff", 0, 1, "bad"),
        OSError(2, "No such file", "name"),
        ExceptionGroup("several", [ValueError("a"), KeyError("b")]),
        StopAsyncIteration("end"),
        AssertionError(),
        RecursionError("deep"),
        TimeoutError("late"),
        ValueError("NUL \0 and surrogate \ud800"),
    ],
    ids=lambda error: type(error).__name__,
)
def test_exceptions_keep_their_type_and_arguments(
    workflows: WorkflowTester, error: Exception
) -> None:
    found = caught(workflows, error)["error"]
    assert type(found) is type(error)
    assert repr(found) == repr(error)


def test_stop_iteration_becomes_a_runtime_error(workflows: WorkflowTester) -> None:
    # As in any coroutine (PEP 479): no await can raise StopIteration.
    found = caught(workflows, StopIteration("end"))["error"]
    assert type(found) is RuntimeError
    assert "StopIteration" in str(found)


def test_system_exit_in_a_step_is_an_error_of_the_step(
    workflows: WorkflowTester,
) -> None:
    assert type(caught(workflows, SystemExit(3))["error"]) is SystemExit


def test_causes_and_notes_are_kept(workflows: WorkflowTester) -> None:
    """The circumstances are the cause; what the step itself named comes after them."""
    error = ShopError("outer")
    error.add_note("look here")
    error.__cause__ = KeyError("inner")
    error.__cause__.__cause__ = OSError(2, "innermost")
    found = caught(workflows, error)["error"]
    assert found.__notes__ == ["look here"]
    causes = [found.__cause__]
    while causes[-1] is not None:
        causes.append(causes[-1].__cause__)
    assert [repr(cause) for cause in causes[1:]] == [
        "KeyError('inner')",
        "FileNotFoundError(2, 'innermost')",
        "None",
    ]


def test_an_exception_that_is_its_own_cause_is_recorded(
    workflows: WorkflowTester,
) -> None:
    error = ShopError("round")
    error.__cause__ = error
    errors[:] = [error]
    run = start(trying_errors, {"max_retries": 0})
    workflows.run_until_idle()
    with pytest.raises(WorkflowRunFailedError) as failure:
        run.result()
    assert type(failure.value.cause) is ShopError
    assert isinstance(failure.value.cause.__cause__, StepFailedError)


def test_an_exception_that_cannot_be_rebuilt_is_a_step_error(
    workflows: WorkflowTester,
) -> None:
    class LocalError(Exception):
        pass

    found = caught(workflows, LocalError("unreachable"))["error"]
    assert type(found) is StepError
    assert str(found) == "unreachable"
    assert found.type_name.endswith("LocalError")


def test_an_exception_that_cannot_be_shown_is_recorded_all_the_same(
    workflows: WorkflowTester,
) -> None:
    found = caught(workflows, OddError(needed=1))["error"]
    assert isinstance(found, StepError | OddError)


class MuteError(Exception):
    def __str__(self) -> str:
        raise ValueError("no text")


def test_an_exception_without_a_text_fails_its_run_like_any_other(
    workflows: WorkflowTester,
) -> None:
    errors[:] = [MuteError(1)]
    with pytest.raises(WorkflowRunFailedError, match="cannot be shown") as failure:
        workflows.run(trying_errors, {"max_retries": 0})
    assert type(failure.value.cause) is MuteError


def test_non_retryable_by_name_reaches_other_workers(
    workflows: WorkflowTester,
) -> None:
    """Through the row of a step on a queue that any worker may take."""
    errors[:] = [ClosedError("closed")]
    global policy
    policy = RetryPolicy(non_retryable_errors=("ShopError",))
    run = start(trying_on_another_queue)
    workflows.run_until_idle()
    run.refresh_from_db()
    assert run.status == Run.Status.FAILED
    assert len(attempts) == 1


@workflow
async def trying_on_another_queue() -> Any:
    return await raising_next.options(retry=policy, queue="elsewhere")()
