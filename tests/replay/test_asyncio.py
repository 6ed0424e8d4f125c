"""asyncio's own primitives in workflow code: durable, and the same in each replay."""

from __future__ import annotations

import asyncio
from asyncio import as_completed
from typing import Any

import pytest

from django_workflows.replay.definitions import workflow
from tests.replay.driver import check_replays, drive
from tests.replay.steps import boom, echo


async def twice(value: Any) -> Any:
    return await echo(await echo(value))


def test_gather_of_calls_and_coroutines_any_order() -> None:
    @workflow
    async def flow() -> list[Any]:
        return list(await asyncio.gather(echo(1), twice(2), echo(3)))

    run = drive(flow)
    for value in (3, 2, 1, 2):
        run.complete(run.step("echo", value), value * 10 if value != 2 else 2)
    assert run.result == [10, 2, 30]
    check_replays(run)


def test_gather_with_the_same_call_twice() -> None:
    @workflow
    async def flow() -> list[Any]:
        call = echo(1)
        return list(await asyncio.gather(call, call))

    assert drive(flow).run().result == [1, 1]


def test_gather_with_return_exceptions() -> None:
    @workflow
    async def flow() -> list[str]:
        found = await asyncio.gather(boom("no"), echo(1), return_exceptions=True)
        return [repr(value) for value in found]

    run = drive(flow).run()
    assert run.result == ["ValueError('no')", "1"]
    check_replays(run)


def test_gather_failing_leaves_the_others_running() -> None:
    @workflow
    async def flow() -> str:
        try:
            await asyncio.gather(boom("no"), echo(1))
        except ValueError as error:
            return str(error)
        return ""

    run = drive(flow)
    run.run_step(run.step("boom"))
    assert run.result == "no"
    assert run.count("step_cancelled") == 0


def test_wait_first_completed() -> None:
    @workflow
    async def flow() -> list[Any]:
        tasks = [asyncio.create_task(echo(n)) for n in range(5)]
        done, pending = await asyncio.wait(
            tasks, return_when=asyncio.FIRST_COMPLETED, timeout=60
        )
        for task in pending:
            task.cancel()
        return [[t.result() for t in done], len(pending)]

    run = drive(flow)
    run.complete(run.step("echo", 3), 3)
    assert run.result == [[3], 4]
    assert run.count("step_cancelled") == 4
    check_replays(run)


def test_wait_timeout() -> None:
    @workflow
    async def flow() -> list[int]:
        tasks = [asyncio.create_task(echo(n)) for n in range(3)]
        done, pending = await asyncio.wait(tasks, timeout=30)
        return [len(done), len(pending)]

    run = drive(flow)
    run.complete(run.step("echo", 1))
    run.pass_time(29)
    assert not run.ended
    run.pass_time(1)
    assert run.result == [1, 2]
    check_replays(run)


def test_wait_for_in_time_cancels_its_timer() -> None:
    @workflow
    async def flow() -> Any:
        value = await asyncio.wait_for(echo(1), timeout=5)
        return await echo(value + 1)

    run = drive(flow)
    run.run_step(run.steps[0])
    assert run.count("wait_cancelled") == 1
    assert run.execution.timers.first() is None
    assert run.run().result == 2
    check_replays(run)


def test_wait_for_too_late_cancels_the_step() -> None:
    @workflow
    async def flow() -> Any:
        try:
            await asyncio.wait_for(echo(1), timeout=5)
        except TimeoutError:
            return await echo("late")

    run = drive(flow)
    first = run.steps[0]
    run.pass_time(5)
    assert run.count("step_cancelled") == 1
    # Its result comes all the same, and nobody is interested any more.
    run.complete(first, 1)
    run.run()
    assert run.result == "late"
    check_replays(run)


def test_wait_for_without_or_with_no_time() -> None:
    @workflow
    async def flow() -> Any:
        first = await asyncio.wait_for(echo(1), timeout=None)
        try:
            await asyncio.wait_for(echo(2), timeout=0)
        except TimeoutError:
            return [first, "at once"]

    run = drive(flow)
    assert run.count("wait_created") == 0
    run.run_step(run.steps[0])
    assert run.result == [1, "at once"]
    assert run.count("wait_created") == 0
    check_replays(run)


@pytest.mark.parametrize("early_import", [False, True])
def test_as_completed_of_coroutines_any_order(early_import: bool) -> None:
    function = as_completed if early_import else asyncio.as_completed

    @workflow
    async def flow() -> list[Any]:
        return [await each for each in function([twice(1), twice(2), echo(3)])]

    run = drive(flow)
    for value in (3, 2, 1, 2, 1):
        run.complete(run.step("echo", value), value)
    assert run.result == [3, 2, 1]
    check_replays(run)


def test_as_completed_starts_in_the_order_given() -> None:
    @workflow
    async def flow() -> None:
        for each in asyncio.as_completed([twice(n) for n in range(50)]):
            await each

    run = drive(flow)
    assert run.steps == [run.step("echo", n) for n in range(50)]


def test_as_completed_of_the_same_call_twice_gives_it_once() -> None:
    @workflow
    async def flow() -> list[Any]:
        call = echo(1)
        return [await each for each in asyncio.as_completed([call, call])]

    assert drive(flow).run().result == [1]


def test_as_completed_timeout() -> None:
    @workflow
    async def flow() -> list[Any]:
        found = []
        try:
            for each in asyncio.as_completed([echo(1), echo(2)], timeout=10):
                found.append(await each)
        except TimeoutError:
            found.append("late")
        return found

    run = drive(flow)
    run.run_step(run.step("echo", 2))
    run.pass_time(10)
    assert run.result == [2, "late"]
    check_replays(run)


async def test_as_completed_elsewhere_is_unchanged() -> None:
    async def value(n: int) -> int:
        await asyncio.sleep(0)
        return n

    found = [await each for each in asyncio.as_completed([value(1), value(2)])]
    assert sorted(found) == [1, 2]
    with pytest.raises(TypeError):
        list(asyncio.as_completed(asyncio.sleep))  # type: ignore[arg-type]


def test_timeout_and_reschedule() -> None:
    @workflow
    async def flow() -> str:
        try:
            async with asyncio.timeout(10) as limit:
                await echo(1)
                limit.reschedule(asyncio.get_running_loop().time() + 100)
                await echo(2)
        except TimeoutError:
            return "late"
        return "in time"

    run = drive(flow)
    run.run_step(run.steps[0])
    run.pass_time(99)
    assert not run.ended
    run.pass_time(1)
    assert run.result == "late"
    assert run.types()[-6:] == [
        "wait_cancelled",
        "wait_created",
        "step_created",
        "wait_completed",
        "step_cancelled",
        "run_completed",
    ]
    check_replays(run)


def test_nested_timeouts_the_outer_one_first() -> None:
    @workflow
    async def flow() -> str:
        try:
            async with asyncio.timeout(5):
                try:
                    async with asyncio.timeout(10):
                        await echo(1)
                except TimeoutError:
                    return "inner"
        except TimeoutError:
            return "outer"
        return "none"

    run = drive(flow)
    run.pass_time(5)
    assert run.result == "outer"
    check_replays(run)


def test_task_group_gathers_results() -> None:
    @workflow
    async def flow() -> list[Any]:
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(echo(n)) for n in range(3)]
            tasks.append(group.create_task(twice("x")))
        return [task.result() for task in tasks]

    run = drive(flow).run()
    assert run.result == [0, 1, 2, "x"]
    check_replays(run)


def test_task_group_failing_cancels_in_one_order() -> None:
    @workflow
    async def flow() -> list[str]:
        try:
            async with asyncio.TaskGroup() as group:
                for n in range(20):
                    group.create_task(echo(n))
                group.create_task(boom("no"))
        except* ValueError as errors:
            found = [str(error) for error in errors.exceptions]
        return found

    run = drive(flow)
    calls = run.steps
    run.run_step(run.step("boom"))
    assert run.result == ["no"]
    cancelled = [e.correlation_id for e in run.log if e.type == "step_cancelled"]
    assert cancelled == [call.id for call in calls[:20]]
    check_replays(run)


def test_shield_keeps_the_operation() -> None:
    @workflow
    async def flow() -> Any:
        call = echo(1)
        try:
            await asyncio.wait_for(asyncio.shield(call), timeout=1)
        except TimeoutError:
            return ["late", await call]

    run = drive(flow)
    run.pass_time(1)
    assert run.count("step_cancelled") == 0
    run.run_step(run.steps[0])
    assert run.result == ["late", 1]
    check_replays(run)


def test_event_lock_semaphore_condition() -> None:
    @workflow
    async def flow() -> list[Any]:
        peak = running = 0
        order: list[int] = []
        ready = asyncio.Event()
        two, one = asyncio.Semaphore(2), asyncio.Lock()
        told = asyncio.Condition()

        async def work(n: int) -> None:
            nonlocal peak, running
            await ready.wait()
            async with two:
                running += 1
                peak = max(peak, running)
                await echo(n)
                running -= 1
            async with one:
                order.append(await echo(n))
            async with told:
                told.notify_all()

        tasks = [asyncio.create_task(work(n)) for n in range(5)]
        await echo("go")
        ready.set()
        async with told:
            await told.wait_for(lambda: len(order) == 5)
        await asyncio.gather(*tasks)
        return [peak, order]

    run = drive(flow).run()
    assert run.result == [2, [0, 1, 2, 3, 4]]
    check_replays(run)


def test_queue_between_tasks() -> None:
    @workflow
    async def flow() -> list[Any]:
        queue: asyncio.Queue[Any] = asyncio.Queue(maxsize=1)
        found: list[Any] = []

        async def produce() -> None:
            for n in range(3):
                await queue.put(await echo(n))
            await queue.put(None)

        async def consume() -> None:
            while (value := await queue.get()) is not None:
                found.append(await echo(value * 2))

        async with asyncio.TaskGroup() as group:
            group.create_task(produce())
            group.create_task(consume())
        return found

    run = drive(flow).run()
    assert run.result == [0, 2, 4]
    check_replays(run)


def test_async_generator_and_context_manager() -> None:
    @workflow
    async def flow() -> list[Any]:
        async def numbers() -> Any:
            for n in range(3):
                yield await echo(n)

        return [value async for value in numbers()]

    run = drive(flow).run()
    assert run.result == [0, 1, 2]
    check_replays(run)


def test_all_tasks_in_the_order_of_creation() -> None:
    @workflow
    async def flow() -> list[str]:
        for n in range(100):
            asyncio.create_task(echo(n), name=f"task {n}")  # noqa: RUF006
        await asyncio.sleep(0)
        me = asyncio.current_task()
        for task in asyncio.all_tasks():
            if task is not me:
                task.cancel()
        await echo("end")
        return []

    run = drive(flow)
    calls = run.steps
    cancelled = [e.correlation_id for e in run.log if e.type == "step_cancelled"]
    created = [e.correlation_id for e in run.log if e.type == "step_created"]
    assert cancelled == created[:100]
    assert [call.id for call in calls] == created[100:]
    check_replays(run)


def test_callbacks_and_futures_of_the_loop() -> None:
    @workflow
    async def flow() -> Any:
        loop = asyncio.get_running_loop()
        future = loop.create_future()
        loop.call_later(60, future.set_result, "called")
        loop.call_soon(lambda: None)
        return await future

    run = drive(flow)
    run.pass_time(60)
    assert run.result == "called"
    check_replays(run)


def test_call_at_is_never_early() -> None:
    """A loop that waits for a point in time would spin if its timer came early."""

    @workflow
    async def flow() -> int:
        loop = asyncio.get_running_loop()
        deadline = loop.time() + 1.00003
        rounds = 0
        while loop.time() < deadline:
            rounds += 1
            future = loop.create_future()
            loop.call_at(deadline, future.set_result, None)
            await future
        return rounds

    run = drive(flow)
    run.fire()
    assert run.result == 1


def test_wait_for_ever_creates_no_timer() -> None:
    @workflow
    async def flow() -> None:
        async with asyncio.timeout(None):
            await asyncio.sleep(float("inf"))

    run = drive(flow)
    assert run.types() == ["run_created", "run_started"]


@pytest.mark.parametrize(
    "call",
    [
        lambda: asyncio.to_thread(print),
        lambda: asyncio.open_connection("127.0.0.1", 1),
        lambda: asyncio.create_subprocess_exec("true"),
    ],
)
def test_what_needs_a_thread_or_a_file_is_refused(call: Any) -> None:
    from django_workflows.replay.execution import RunBlocked

    @workflow
    async def flow() -> None:
        await call()

    with pytest.raises(RunBlocked, match="@step"):
        drive(flow)


async def test_wait_for_and_all_tasks_elsewhere_are_unchanged() -> None:
    assert await asyncio.wait_for(asyncio.sleep(0, "value"), 5) == "value"
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(asyncio.Event().wait(), 0.001)
    assert asyncio.all_tasks() == {asyncio.current_task()}


def test_tasks_of_many_runs_do_not_collide() -> None:
    """asyncio keeps all tasks of a process in one set. Hashed by their small numbers
    there, each start would be compared with every other run's first task."""
    from asyncio import tasks

    @workflow
    async def flow() -> None:
        await asyncio.sleep(60)

    runs = [drive(flow) for _ in range(50)]
    own = {hash(run.execution.loop.tasks[0]) for run in runs}
    assert own == {1}
    known = getattr(tasks, "_scheduled_tasks", None) or tasks._all_tasks  # type: ignore[attr-defined]
    ours = [ref for ref in known.data if ref() in runs[0].execution.loop.tasks]
    assert ours
    assert len({hash(ref) for ref in known.data}) == len(known.data)
