"""Finding the recorded command for an issued one."""

from __future__ import annotations

import asyncio
from typing import Any

import pydantic
import pytest

from django_workflows.core import serialization
from django_workflows.replay.api import create_hook, sleep, start_child
from django_workflows.replay.definitions import Workflow, workflow
from django_workflows.replay.events import LogEvent
from django_workflows.replay.execution import RunBlocked
from django_workflows.replay.matching import RecordedCommands
from tests.replay.driver import Driver, check_replays, drive
from tests.replay.steps import echo, undo


def issued(name: str, *args: Any, kind: str = "step_created") -> LogEvent:
    return LogEvent(
        kind, detail={"name": name}, payload=serialization.dumps_call(args, {})
    )


def recorded(id: str, name: str, *args: Any) -> LogEvent:  # noqa: A002
    event = issued(name, *args)
    event.correlation_id = id
    return event


def test_take_by_name_and_arguments_in_any_order() -> None:
    commands = RecordedCommands(
        [recorded("1", "add", 1), recorded("2", "add", 2), recorded("3", "mul", 1)]
    )
    order = [issued("mul", 1), issued("add", 2), issued("add", 1)]
    found = [commands.take(event) for event in order]
    assert [event and event.correlation_id for event in found] == ["3", "2", "1"]
    assert not commands


def test_take_equal_ones_in_the_order_recorded() -> None:
    commands = RecordedCommands([recorded(str(n), "add", 1) for n in range(3)])
    found = [commands.take(issued("add", 1)) for _ in range(4)]
    assert [event and event.correlation_id for event in found] == ["0", "1", "2", None]


@pytest.mark.parametrize(
    "other", [issued("mul", 1), issued("add", 2), issued("add", 1, kind="wait_created")]
)
def test_take_nothing_that_differs(other: LogEvent) -> None:
    commands = RecordedCommands([recorded("1", "add", 1)])
    assert commands.take(other) is None
    assert len(commands.left()) == 1


def test_order_of_dict_items_and_sets_does_not_matter() -> None:
    letters = [f"letter {n}" for n in range(20)]
    commands = RecordedCommands(
        [recorded("1", "f", {"a": 1, "b": set(letters)}), recorded("2", "f", "x")]
    )
    found = commands.take(issued("f", {"b": set(map(str, letters)), "a": 1}))
    assert found is not None
    assert found.correlation_id == "1"


class Order(pydantic.BaseModel):
    number: int


class OldOrder(pydantic.BaseModel):
    number: int


def _deploy(model: type[pydantic.BaseModel], monkeypatch: pytest.MonkeyPatch) -> None:
    """Put a class of today in the place of the recorded one."""
    model.__module__ = __name__
    model.__qualname__ = model.__name__ = "Order"
    monkeypatch.setitem(globals(), "Order", model)


def test_new_field_with_a_default_is_no_divergence(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    @workflow
    async def flow() -> Any:
        first = await echo(Order(number=7))
        create_hook("door", metadata=[Order(number=8)])
        return await echo([first.number, (await sleep(5)) is None])

    run = drive(flow)
    run.run_step(run.steps[0])

    class WithCurrency(pydantic.BaseModel):
        number: int
        currency: str = "EUR"

    _deploy(WithCurrency, monkeypatch)
    run.drop()
    assert run.run().result == [7, True]


def test_new_field_of_an_argument_of_a_child_is_no_divergence(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    @workflow(name="tests.matching.child")
    async def child(first: Any, *, second: Any) -> None: ...

    @workflow
    async def flow() -> Any:
        order = Order(number=7)
        start_child(child, order, second=(order, {order.number: [order]}))
        await sleep(5)
        return "done"

    run = drive(flow)

    class WithCurrency(pydantic.BaseModel):
        number: int
        currency: str = "EUR"

    _deploy(WithCurrency, monkeypatch)
    run.drop()
    assert run.run().result == "done"


def test_changed_value_is_a_divergence_all_the_same(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    @workflow
    async def flow() -> Any:
        await echo(Order(number=7))

    run = drive(flow)

    class Negated(pydantic.BaseModel):
        number: int
        currency: str = "EUR"

        def model_post_init(self, context: Any) -> None:
            self.number += 1

    _deploy(Negated, monkeypatch)
    # What is recorded reads as 8 today too, written twice it is 9.
    with pytest.raises(RunBlocked):
        run.replay()[0]


def test_type_that_is_gone_is_a_divergence(monkeypatch: pytest.MonkeyPatch) -> None:
    class New(pydantic.BaseModel):
        number: int

    @workflow
    async def flow() -> Any:
        await echo(globals()["Order"](number=7) if "Order" in globals() else 7)

    run = drive(flow)
    monkeypatch.delitem(globals(), "Order")
    with pytest.raises(RunBlocked, match=r"echo .*where the log holds"):
        run.replay()


def starting_late(n: int) -> Any:
    """gather() of these starts them as Python 3.11 does: wait_for's own task is made
    before the others run, what it waits for starts last."""

    async def later(coroutine: Any) -> Any:
        return await asyncio.create_task(coroutine)

    return later(work(n))


async def work(n: int) -> Any:
    return [n, await echo(await echo(n))]


def _versions() -> tuple[Workflow[..., Any], Workflow[..., Any]]:
    @workflow
    async def python_311() -> Any:
        return await asyncio.gather(starting_late(1), starting_late(2), work(3))

    @workflow
    async def python_312() -> Any:
        return await asyncio.gather(work(1), work(2), work(3))

    return python_311, python_312


@pytest.mark.parametrize("upgrade", [True, False])
@pytest.mark.parametrize("answered", range(7))
def test_other_order_of_starting_gives_each_call_its_own(
    upgrade: bool, answered: int
) -> None:
    """An interpreter upgrade in the middle of a run: the same calls, started in
    another order, find their own results."""
    before, after = _versions() if upgrade else reversed(_versions())
    run = drive(before)
    for _ in range(answered):
        run.run_step(run.steps[-1])
    if run.ended:
        _, commands = run.replay(workflow=after)
        assert commands == []
        return
    run.workflow = after
    run.drop()
    assert run.run().result == [[1, 1], [2, 2], [3, 3]]
    ids = [e.correlation_id for e in run.log if e.type == "step_created"]
    assert len(set(ids)) == 6


def test_wait_for_in_gather_replays_when_written_as_timeouts() -> None:
    """wait_for() is a task and a timer in 3.11 and asyncio.timeout() since 3.12."""

    @workflow
    async def one() -> Any:
        calls = [asyncio.wait_for(work(n), timeout=10.1) for n in (1, 2)]
        return await asyncio.gather(*calls, work(3))

    async def limited(n: int) -> Any:
        async with asyncio.timeout(10.1):
            return await work(n)

    @workflow
    async def other() -> Any:
        return await asyncio.gather(limited(1), limited(2), work(3))

    for before, after in ((one, other), (other, one)):
        run = drive(before)
        for _ in range(4):
            run.run_step(run.steps[0])
        run.workflow = after
        run.drop()
        assert run.run().result == [[1, 1], [2, 2], [3, 3]]


def test_disposals_and_cancellations_are_matched_by_what_they_end() -> None:
    @workflow
    async def flow() -> Any:
        hooks = [create_hook(f"door {n}") for n in range(3)]
        calls = [asyncio.ensure_future(undo(n)) for n in range(3)]
        await echo("pause")
        for hook in hooks:
            hook.dispose()
        for call in calls:
            call.cancel()
        await echo("end")

    @workflow
    async def backwards() -> Any:
        hooks = [create_hook(f"door {n}") for n in range(3)]
        calls = [asyncio.ensure_future(undo(n)) for n in range(3)]
        await echo("pause")
        for call in reversed(calls):
            call.cancel()
        for hook in reversed(hooks):
            hook.dispose()
        await echo("end")

    run: Driver = drive(flow)
    run.run_step(run.step("echo"))
    execution, commands = run.replay(workflow=backwards)
    assert commands == []
    assert list(execution.steps) == list(run.execution.steps)
    check_replays(run)
