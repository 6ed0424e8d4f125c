"""``saga()``: compensations in reverse order, whatever happens to them."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from functools import partial

import pytest

from django_workflows import saga, sleep, workflow
from django_workflows.replay import events as log
from tests.replay.driver import Driver, check_replays, drive
from tests.replay.steps import boom, echo, undo


class Account:
    @staticmethod
    async def refund(amount: int) -> None:
        await undo(amount)


@workflow
async def three(fails: str) -> str:
    async with saga() as s:
        s.compensate(undo, "a")
        await echo("a")
        s.compensate(boom if fails == "and undoing" else undo, "b")
        await echo("b")
        s.compensate(undo, "c")
        await boom("c is no more") if fails else await echo("c")
    return "done"


def issued(driver: Driver) -> list[str]:
    """The steps of a run and their first argument, in the order of their calls."""
    return [
        f"{kind.rpartition('.')[2]} {argument}"
        for kind, argument in (
            (e.detail["name"], driver.execution.decode(e.payload)[0][0])
            for e in driver.log
            if e.type == log.STEP_CREATED
        )
    ]


def test_saga_that_goes_well_undoes_nothing() -> None:
    driver = drive(three, "").run()
    assert driver.result == "done"
    assert issued(driver) == ["echo a", "echo b", "echo c"]
    check_replays(driver)


def test_failure_is_undone_in_reverse_order_and_goes_on() -> None:
    driver = drive(three, "yes").run()
    assert issued(driver)[3:] == ["undo c", "undo b", "undo a"]
    assert isinstance(driver.error, ValueError)
    assert str(driver.error) == "c is no more"
    check_replays(driver)


def test_registering_issues_nothing() -> None:
    driver = drive(three, "")
    assert issued(driver) == ["echo a"]


def test_failed_compensation_lets_the_others_run() -> None:
    driver = drive(three, "and undoing").run()
    assert issued(driver)[3:] == ["undo c", "boom b", "undo a"]
    group = driver.error
    assert isinstance(group, ExceptionGroup)
    assert [str(error) for error in group.exceptions] == ["c is no more", "b"]
    check_replays(driver)


def test_failed_compensation_is_logged_once(caplog: pytest.LogCaptureFixture) -> None:
    driver = drive(three, "and undoing").run()
    check_replays(driver)
    (record,) = [r for r in caplog.records if "compensation" in r.message]
    assert record.action == "compensation_failed"  # type: ignore[attr-defined]


@pytest.mark.parametrize("drops", range(1, 7))
def test_crash_between_compensations_repeats_none(drops: int) -> None:
    driver = drive(three, "and undoing")
    while not driver.ended:
        driver.run_step(driver.steps[0])
        if driver.count(log.STEP_COMPLETED) % drops == 0:
            driver.drop()
    assert len(issued(driver)) == len(set(issued(driver))) == 6


@workflow
async def waiting() -> None:
    async with saga() as s:
        await echo("a")
        s.compensate(undo, "a")
        s.compensate(undo, "b")
        await sleep("1d")


def test_cancelled_saga_is_undone_and_the_run_is_cancelled() -> None:
    driver = drive(waiting)
    driver.run_step(driver.steps[0])
    driver.cancel()
    driver.run()
    assert driver.status == log.RUN_CANCELLED
    assert issued(driver) == ["echo a", "undo b", "undo a"]
    check_replays(driver)


def test_cancel_while_undoing_waits_and_cancels_the_run() -> None:
    driver = drive(three, "yes")
    for _ in range(3):
        driver.run_step(driver.steps[0])
    assert issued(driver)[-1] == "undo c"
    driver.cancel()
    driver.run()
    assert issued(driver)[3:] == ["undo c", "undo b", "undo a"]
    assert driver.count(log.STEP_CANCELLED) == 0
    assert driver.status == log.RUN_CANCELLED
    check_replays(driver)


@workflow
async def told() -> list[str]:
    try:
        async with saga() as s:
            s.compensate(boom, "b")
            s.compensate(undo, "a")
            await sleep("1d")
    except asyncio.CancelledError as error:
        errors = getattr(error.__cause__, "exceptions", ())
        return [str(e) for e in errors]
    return []


def test_cancelled_error_carries_what_compensations_raised() -> None:
    driver = drive(told)
    driver.cancel()
    assert driver.run().result == ["b"]
    check_replays(driver)


@workflow
async def timed() -> str:
    try:
        async with asyncio.timeout(60), saga() as s:
            s.compensate(undo, "a")
            await sleep("1d")
    except TimeoutError:
        return "too late"
    return "in time"


def test_timeout_around_a_saga_undoes_it() -> None:
    driver = drive(timed).run()
    assert driver.result == "too late"
    assert issued(driver) == ["undo a"]
    check_replays(driver)


@workflow
async def slow_to_undo() -> str:
    try:
        async with asyncio.timeout(60), saga() as s:
            s.compensate(partial(sleep, 3600))
            raise ValueError("at once")
    except TimeoutError as error:
        # Only later versions of Python 3.11 make it the cause as well.
        cause = error.__context__
        return f"{type(cause).__name__} of {cause.__cause__!r}" if cause else "?"


def test_timeout_while_undoing_waits_for_it() -> None:
    driver = drive(slow_to_undo)
    driver.pass_time(3599)
    assert not driver.ended
    driver.pass_time(1)
    assert driver.result == "CancelledError of ValueError('at once')"
    check_replays(driver)


@workflow
async def nested() -> None:
    async with saga() as outer:
        outer.compensate(undo, "outer 1")
        async with saga() as inner:
            inner.compensate(undo, "inner 1")
            inner.compensate(undo, "inner 2")
            await boom("inside")
        outer.compensate(undo, "never")


def test_inner_saga_is_undone_before_the_outer_one() -> None:
    driver = drive(nested).run()
    assert issued(driver)[1:] == ["undo inner 2", "undo inner 1", "undo outer 1"]
    assert str(driver.error) == "inside"
    check_replays(driver)


@workflow
async def inner_went_well() -> None:
    async with saga() as outer:
        outer.compensate(undo, "outer")
        async with saga() as inner:
            inner.compensate(undo, "inner")
        await boom("later")


def test_inner_saga_that_went_well_stays_done() -> None:
    assert issued(drive(inner_went_well).run()) == ["boom later", "undo outer"]


@workflow
async def anything_undoes() -> None:
    async def by_function(value: str) -> None:
        await undo(value)

    async with saga() as s:
        s.compensate(by_function, "function")
        s.compensate(lambda: undo("call"))
        s.compensate(Account.refund, 5)
        s.compensate(undo.options(max_retries=0), value="option")
        s.compensate(three, "")
        raise LookupError


def test_anything_that_can_be_awaited_undoes() -> None:
    driver = drive(anything_undoes).run()
    steps = [e for e in driver.log if e.type == log.STEP_CREATED]
    arguments = [driver.execution.decode(e.payload) for e in steps]
    assert [args[0] if args else kwargs["value"] for args, kwargs in arguments] == [
        "a",
        "b",
        "c",
        "option",
        5,
        "call",
        "function",
    ]
    assert isinstance(driver.error, LookupError)


@workflow
async def undoing_is_cancelled() -> list[str]:
    async def never() -> None:
        task = asyncio.current_task()
        assert task is not None
        task.cancel()
        await sleep(1)

    try:
        async with saga() as s:
            s.compensate(undo, "a")
            s.compensate(never)
            raise LookupError("first")
    except ExceptionGroup as group:
        return [repr(error) for error in group.exceptions]


def test_compensation_that_cancels_itself_has_failed() -> None:
    driver = drive(undoing_is_cancelled).run()
    first, second = driver.result
    assert first == "LookupError('first')"
    assert second.startswith("RuntimeError")
    assert "cancelled" in second
    assert issued(driver) == ["undo a"]


@workflow
async def wrong_uses() -> list[str]:
    found = []
    closed = saga()
    async with saga() as s:
        attempts: list[Callable[[], object]] = [
            lambda: closed.compensate(undo, "outside"),
            lambda: s.compensate(undo),
            lambda: s.compensate(undo, "a", "b"),
            lambda: s.compensate(undo("a")),  # type: ignore[arg-type]
        ]
        for attempt in attempts:
            try:
                attempt()
            except (TypeError, RuntimeError) as error:
                found.append(type(error).__name__)
    try:
        async with s:
            pass
    except RuntimeError:
        found.append("entered twice")
    return found


def test_wrong_uses_are_refused_where_they_are_made() -> None:
    driver = drive(wrong_uses)
    driver.run()
    assert driver.result == [
        "RuntimeError",
        "TypeError",
        "TypeError",
        "TypeError",
        "entered twice",
    ]


def test_saga_outside_of_a_workflow_is_refused() -> None:
    with pytest.raises(RuntimeError, match=r"saga\(\) can only be called inside"):
        saga()
