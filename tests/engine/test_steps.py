"""Steps of every kind: what they are given, what they return, where they run."""

from __future__ import annotations

import asyncio
import dataclasses
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest

from django_workflows import (
    PayloadTooLargeError,
    SerializationError,
    StepMetadata,
    WorkflowMetadata,
    WorkflowRunFailedError,
    get_step_metadata,
    get_workflow_metadata,
    sleep,
    start,
    step,
    workflow,
)
from django_workflows.models import Run, Step
from django_workflows.testing import WorkflowTester

calls: list[Any] = []


@pytest.fixture(autouse=True)
def _no_calls_yet() -> None:
    calls.clear()


@step
def add(a: int, b: int = 1, *more: int, factor: int = 1) -> int:
    calls.append((a, b))
    return (a + b + sum(more)) * factor


@step
async def add_async(a: int, b: int = 1) -> int:
    await asyncio.sleep(0)
    calls.append((a, b))
    return a + b


@step
def double(value: int) -> int:
    return value * 2


@step
def apply(function: Callable[[int], int], value: int) -> int:
    return function(value)


@step
def identity(value: Any) -> Any:
    calls.append(value)
    return value


@step
def nested(value: int) -> Any:
    inner: Any = add
    return add.func(value) + inner(value)


@step
async def nested_async(value: int) -> Any:
    inner: Any = add
    return await add_async(value) + inner(value)


@dataclasses.dataclass
class Counter:
    """A class whose methods are steps."""

    base: int

    @step
    def plus(self, value: int) -> int:
        return self.base + value

    @step
    async def minus(self, value: int) -> int:
        return self.base - value

    @classmethod
    @step
    def make(cls, base: int) -> Counter:
        return cls(base)

    @step
    @classmethod
    def name_of(cls) -> str:
        return cls.__name__

    @step(max_retries=1)
    @staticmethod
    def thrice(value: int) -> int:
        return value * 3

    @staticmethod
    @step
    def twice(value: int) -> int:
        return value * 2


class SpecialCounter(Counter):
    """Inherits its steps."""


@workflow
async def arguments() -> Any:
    return [
        await add(1),
        await add(1, 2),
        await add(1, b=3),
        await add(1, 2, 3, 4, factor=10),
        await add_async(5),
        await add_async(a=5, b=6),
    ]


@workflow
async def methods() -> Any:
    counter = Counter(10)
    return [
        await counter.plus(1),
        await counter.minus(1),
        await Counter.make(3),
        await SpecialCounter.make(4),
        await SpecialCounter.name_of(),
        await SpecialCounter.name_of.options(max_retries=1)(),
        await counter.name_of(),
        await Counter.thrice(1),
        await counter.thrice(2),
        await Counter.twice(4),
        await counter.twice(5),
    ]


@workflow
async def steps_as_arguments(given: Any) -> Any:
    itself: Any = double
    returned = await identity(itself)
    return [
        await apply(itself, 4),
        await apply(given, 8),
        await returned(3),
        await given(1),
        returned is double,
    ]


@workflow
async def nesting() -> Any:
    return [await nested(1), await nested_async(1)]


@workflow
async def in_parallel() -> Any:
    return await asyncio.gather(*[add(n) for n in range(5)], add_async(9))


@workflow
async def one_call_awaited_twice() -> Any:
    call = add(1)
    return [await call, await call, await asyncio.gather(call, call)]


@workflow
async def not_awaited() -> str:
    add(1)  # type: ignore[unused-coroutine]
    return "done"


@workflow
async def in_a_loop() -> list[int]:
    return [await add(n) for n in range(3)]


@workflow
async def with_nonsense(value: str) -> Any:
    argument: Any = {"items": [1, 2, lambda: 1]}
    return await identity(argument if value == "argument" else 1)


@step(max_retries=5)
def returning_nonsense() -> Any:
    calls.append("ran")
    return {"x": [object()]}


@workflow
async def awaiting_nonsense() -> Any:
    return await returning_nonsense()


@workflow
async def catching_nonsense() -> str:
    argument: Any = {"items": [1, 2, lambda: 1]}
    try:
        await identity(argument)
    except SerializationError as error:
        return str(error)
    return "nothing raised"


@workflow
async def large_argument() -> Any:
    return await identity("x" * 5000)


@step(max_retries=5)
def returning_much() -> str:
    calls.append("ran")
    return "x" * 5000


@workflow
async def large_result() -> Any:
    return await returning_much()


@workflow
async def wrong_arguments() -> Any:
    return await add()  # type: ignore[call-arg]


@step
def metadata() -> tuple[StepMetadata, Any]:
    found = get_step_metadata()
    found.heartbeat()
    found.heartbeat({"done": 3})
    return (
        [found.step_id, found.step_name, found.attempt, found.run_id, found.started_at],
        dataclasses.asdict(get_workflow_metadata()),
    )  # type: ignore[return-value]


@step(name="tests.engine.async_metadata")
async def async_metadata() -> Any:
    await asyncio.sleep(0)
    return [get_step_metadata().step_name, get_workflow_metadata().run_id]


@workflow
async def asking() -> Any:
    here = dataclasses.asdict(get_workflow_metadata())
    return here, await metadata(), await async_metadata()


@step
def mutating(values: list[int]) -> list[int]:
    values.append(99)
    return values


@workflow
async def passing_by_value() -> Any:
    values = [1]
    returned = await mutating(values)
    returned_again = await mutating(returned)
    return values, returned, returned_again


# -- calls ----------------------------------------------------------------------------


def test_arguments_of_every_kind(workflows: WorkflowTester) -> None:
    assert workflows.run(arguments) == [2, 3, 4, 100, 6, 11]


def test_methods_are_steps(workflows: WorkflowTester) -> None:
    assert workflows.run(methods) == [
        11,
        9,
        Counter(3),
        SpecialCounter(4),
        "SpecialCounter",
        "SpecialCounter",
        "Counter",
        3,
        6,
        8,
        10,
    ]


def test_steps_can_be_passed_and_returned(workflows: WorkflowTester) -> None:
    run = start(steps_as_arguments, double)
    workflows.run_until_idle()
    assert run.result() == [8, 16, 6, 2, True]
    # A step called by a step is the plain function, and in no log.
    assert Step.objects.filter(run=run).count() == 5


def test_a_step_in_a_step_is_the_plain_function(workflows: WorkflowTester) -> None:
    run = start(nesting)
    workflows.run_until_idle()
    assert run.result() == [4, 4]
    assert [e.type for e in run.history()].count("step_completed") == 2


def test_results_of_parallel_steps_are_in_the_order_of_the_calls(
    workflows: WorkflowTester,
) -> None:
    run = start(in_parallel)
    workflows.run_until_idle()
    assert run.result() == [1, 2, 3, 4, 5, 10]
    types = [event.type for event in run.history()]
    assert types.index("step_completed") > max(
        n for n, kind in enumerate(types) if kind == "step_created"
    )


def test_a_call_can_be_awaited_again_and_again(workflows: WorkflowTester) -> None:
    assert workflows.run(one_call_awaited_twice) == [2, 2, [2, 2]]
    assert calls == [(1, 1)]


def test_a_call_that_is_not_awaited_is_in_the_log(workflows: WorkflowTester) -> None:
    run = start(not_awaited)
    workflows.run_until_idle()
    assert run.result() == "done"
    assert "step_created" in [event.type for event in run.history()]


def test_the_same_step_in_a_loop(workflows: WorkflowTester) -> None:
    run = start(in_a_loop)
    workflows.run_until_idle()
    assert run.result() == [1, 2, 3]
    assert Step.objects.filter(run=run).count() == 3


def test_a_step_outside_of_a_workflow_is_the_plain_function(db: None) -> None:
    value: Any = add(3, 5)
    assert value == 8
    assert add.func(3, 5) == 8
    assert asyncio.run(add_async(3, 5)) == 8
    assert Counter(1).plus(2) == 3
    assert Counter.make(4) == Counter(4)
    assert SpecialCounter(1).name_of() == "SpecialCounter"
    assert Counter.thrice(2) == Counter(1).thrice(2) == 6
    assert not Run.objects.exists()


def test_steps_keep_name_and_documentation() -> None:
    assert add.__name__ == "add"
    assert add.name == "tests.engine.test_steps.add"
    assert async_metadata.name == "tests.engine.async_metadata"


def test_arguments_and_results_are_copies(workflows: WorkflowTester) -> None:
    assert workflows.run(passing_by_value) == ([1], [1, 99], [1, 99, 99])


@workflow
async def default_then_sleep() -> list[int]:
    found = [await add(1)]
    await sleep("1h")
    return [*found, await add(1)]


def test_a_default_that_changes_later_is_no_other_call(
    workflows: WorkflowTester, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = start(default_then_sleep)
    workflows.run_until_idle()
    monkeypatch.setattr(add.func, "__defaults__", (10,))
    workflows.crash()
    workflows.advance("1h")
    assert run.result() == [2, 11]
    workflows.assert_replays(run)


def test_arguments_that_do_not_fit_are_raised_at_the_call(
    workflows: WorkflowTester,
) -> None:
    with pytest.raises(WorkflowRunFailedError) as failure:
        workflows.run(wrong_arguments)
    assert isinstance(failure.value.cause, TypeError)
    assert not Step.objects.exists()


# -- values that cannot be stored -----------------------------------------------------


def test_an_argument_that_cannot_be_stored_is_raised_at_the_call(
    workflows: WorkflowTester,
) -> None:
    message = workflows.run(catching_nonsense)
    assert "cannot serialize" in message
    assert "args[0]['items'][2]" in message
    assert calls == []


def test_an_argument_that_cannot_be_stored_fails_the_run(
    workflows: WorkflowTester,
) -> None:
    with pytest.raises(WorkflowRunFailedError) as failure:
        workflows.run(with_nonsense, "argument")
    assert isinstance(failure.value.cause, SerializationError)
    assert not Step.objects.exists()


def test_a_result_that_cannot_be_stored_is_not_retried(
    workflows: WorkflowTester,
) -> None:
    with pytest.raises(WorkflowRunFailedError) as failure:
        workflows.run(awaiting_nonsense)
    assert isinstance(failure.value.cause, SerializationError)
    assert "result['x'][0]" in str(failure.value.cause)
    assert calls == ["ran"]


@pytest.mark.parametrize("target", [large_argument, large_result])
def test_a_payload_that_is_too_large_is_not_retried(
    workflows: WorkflowTester, settings: Any, target: Any
) -> None:
    settings.WORKFLOWS = {"MAX_PAYLOAD_BYTES": 4000}
    with pytest.raises(WorkflowRunFailedError) as failure:
        workflows.run(target)
    assert isinstance(failure.value.cause, PayloadTooLargeError)
    assert calls in ([], ["ran"])


# -- metadata -------------------------------------------------------------------------


def test_metadata_in_steps(workflows: WorkflowTester) -> None:
    run = asking.options(key="k", queue="eu", attributes={"customer": 7}).start()
    workflows.run_until_idle()
    here, (of_step, of_workflow), of_async = run.result()
    step_id, name, attempt, run_id, started_at = of_step
    assert step_id.startswith("step_")
    assert (name, attempt, run_id) == (metadata.name, 1, run.pk)
    assert started_at == workflows.now
    assert of_async == [async_metadata.name, run.pk]
    assert here == of_workflow
    assert here["run_id"] == run.pk
    assert here["workflow_name"] == asking.name
    assert (here["key"], here["queue"]) == ("k", "eu")
    assert here["attributes"] == {"customer": 7}
    assert here["attempt"] == 1
    assert here["url"].endswith(f"/{run.pk}/")
    assert here["started_at"] == workflows.now
    assert here["is_replaying"] is False


@step
def metadata_on_top_of(given: WorkflowMetadata) -> tuple[WorkflowMetadata, Any]:
    return given, get_step_metadata()


@workflow
async def passing_metadata_on() -> Any:
    here = get_workflow_metadata()
    passed, of_step = await metadata_on_top_of(here)
    await sleep("1h")
    again, _ = await metadata_on_top_of(here)
    return [passed, again, of_step]


def test_metadata_can_be_passed_on(workflows: WorkflowTester) -> None:
    run = start(passing_metadata_on)
    workflows.run_until_idle()
    workflows.crash()
    workflows.advance("1h")
    passed, again, of_step = run.result()
    assert passed == again
    assert passed.run_id == of_step.run_id == run.pk
    assert of_step.step_name == metadata_on_top_of.name
    workflows.assert_replays(run)


def test_step_ids_are_stable_over_attempts_and_differ_between_runs(
    workflows: WorkflowTester,
) -> None:
    first, second = workflows.run(ids_of_attempts), workflows.run(ids_of_attempts)
    assert len(set(first)) == 1
    assert set(first).isdisjoint(second)


seen: list[str] = []


@step(max_retries=2)
def id_of_attempt() -> list[str]:
    found = get_step_metadata()
    if found.attempt == 1:
        seen.clear()
    seen.append(found.step_id)
    if found.attempt < 3:
        raise ValueError("again")
    return list(seen)


@workflow
async def ids_of_attempts() -> list[str]:
    return await id_of_attempt()


def test_metadata_outside_raises_runtime_error() -> None:
    with pytest.raises(RuntimeError, match="inside"):
        get_step_metadata()
    with pytest.raises(RuntimeError, match="inside"):
        get_workflow_metadata()


# -- options --------------------------------------------------------------------------


@workflow
async def with_options() -> Any:
    other = double.options(queue="slow", priority=9, timeout=timedelta(seconds=5))
    return [await other(2), await double(3)]


def test_options_hold_for_the_calls_made_through_them(
    workflows: WorkflowTester,
) -> None:
    assert workflows.run(with_options) == [4, 6]
    rows = Step.objects.order_by("created_at", "priority")
    assert {(row.queue, row.priority) for row in rows} == {
        ("slow", 9),
        ("default", 0),
    }
    assert double.settings.queue is None


@pytest.mark.parametrize(
    ("options", "error"),
    [
        ({"max_retries": -1}, ValueError),
        ({"max_retries": 1.5}, ValueError),
        ({"timeout": "soon"}, ValueError),
        ({"heartbeat_timeout": "-1s"}, ValueError),
        ({"isolation": "container"}, ValueError),
        ({"name": "other"}, TypeError),
        ({"colour": "red"}, TypeError),
        ({"retry": 5}, TypeError),
        ({"atomic": "no"}, TypeError),
    ],
)
def test_wrong_options_are_refused(
    options: dict[str, Any], error: type[Exception]
) -> None:
    with pytest.raises(error):
        double.options(**options)


@pytest.mark.parametrize(
    ("options", "error", "told"),
    [
        ({"name": 7}, TypeError, "the option name is a text, not 7"),
        ({"name": b"x"}, TypeError, "the option name is a text"),
        ({"name": ""}, ValueError, "the name of a step"),
        ({"name": "a\0b"}, ValueError, "the name of a step"),
        ({"name": "x" * 256}, ValueError, "the name of a step"),
        ({"queue": 7}, TypeError, "the option queue is a text, not 7"),
        ({"priority": "high"}, ValueError, "^priority"),
        ({"max_retries": True}, ValueError, "^max_retries"),
        ({"heartbeat_timeout": []}, ValueError, "^heartbeat_timeout"),
        ({"rate_limit": 7}, ValueError, "^rate_limit"),
    ],
)
def test_what_is_no_option_of_a_step_is_refused_at_import(
    options: dict[str, Any], error: type[Exception], told: str
) -> None:
    with pytest.raises(error, match=told):
        step(**options)


def test_an_atomic_step_cannot_be_async() -> None:
    async def reserve() -> None: ...

    with pytest.raises(TypeError, match="async"):
        step(atomic=True)(reserve)


def test_what_is_no_function_cannot_be_a_step() -> None:
    with pytest.raises(TypeError, match="function"):
        step(42)  # type: ignore[call-overload]
