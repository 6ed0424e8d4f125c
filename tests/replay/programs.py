"""Workflows made of asyncio's shapes over all operations, and their answers.

A program is nested tuples: a shape and its parts. This module needs neither pytest nor
hypothesis, so that any interpreter at hand can run it.
"""

from __future__ import annotations

import asyncio
import random as random_module
from collections.abc import Coroutine
from typing import Any, TypeAlias

from django_workflows.errors import HookDisposedError
from django_workflows.replay.api import (
    create_hook,
    first_success,
    now,
    patched,
    race,
    random,
    sleep,
    start_child,
    uuid4,
)
from django_workflows.replay.children import ChildHandle
from django_workflows.replay.definitions import step, workflow
from django_workflows.replay.hooks import Hook
from django_workflows.replay.operations import Operation, StepCall
from tests.replay.driver import Driver

Program: TypeAlias = tuple[Any, ...]
TOKENS = ("door a", "door b", "taken")
KEYS = ("key a", "key b", "taken")
CHANGES = ("one", "two")


class Deployed:
    """Which code is deployed: with or without the changes of a program."""

    asks = False


deployed = Deployed()


@step
def work(label: str) -> Any:
    """A step whose answer the driver of the test makes up."""
    raise NotImplementedError


@workflow
async def offspring(label: str) -> Any:
    """A child whose end the driver of the test makes up."""
    raise NotImplementedError


class Interpreter:
    """Runs a program in workflow code. Each part of a program has one of its own, whose
    place in the program is in the labels of its steps: so the order in which parts
    start does not show in them."""

    def __init__(self, place: str = "") -> None:
        self.place = place
        self.calls = 0
        self.parts = 0
        self.tasks: list[asyncio.Task[Any]] = []

    def call(self) -> Any:
        self.calls += 1
        return work(f"{self.place}#{self.calls}")

    def run(self, program: Program) -> Coroutine[Any, Any, Any]:
        self.parts += 1
        return Interpreter(f"{self.place}.{self.parts}").act(program)

    async def act(self, program: Program) -> Any:
        kind, *rest = program
        result = await getattr(self, f"do_{kind}")(*rest)
        return [kind, result]

    def all(self, parts: tuple[Program, ...]) -> list[Any]:
        return [self.run(part) for part in parts]

    # -- leaves -------------------------------------------------------------------

    async def do_step(self) -> Any:
        return await self.call()

    async def do_fail(self) -> Any:
        await self.call()
        raise ValueError("failed by itself")

    async def do_sleep(self, delay: float) -> Any:
        await sleep(delay)
        return now().isoformat()

    async def do_asyncio_sleep(self, delay: float) -> Any:
        return await asyncio.sleep(delay, "slept")

    async def do_door(self, token: str) -> Any:
        return await create_hook(token)

    async def do_child(self) -> Any:
        self.calls += 1
        handle = start_child(offspring, f"{self.place}#{self.calls}")
        return [handle.run_id, await handle]

    async def do_keyed_child(self, key: str) -> Any:
        handle = start_child(offspring.options(key=key), key)
        return [await handle, handle.run_id]

    async def do_cancelled_child(self) -> Any:
        self.calls += 1
        handle = start_child(offspring, f"{self.place}#{self.calls}")
        await self.call()
        handle.cancel()
        return await handle

    async def do_chance(self) -> Any:
        if random().random() < 0.5:
            return [str(uuid4()), await self.call()]
        return random().randint(1, 6)

    async def do_changed(self, change: str) -> Any:
        if deployed.asks and patched(change):
            return await work(f"{self.place} new")
        return await work(f"{self.place} old")

    async def do_background(self) -> Any:
        self.tasks.append(asyncio.create_task(self.quiet()))

    async def quiet(self) -> Any:
        try:
            return await self.call()
        except ValueError:
            return await self.call()

    # -- shapes -------------------------------------------------------------------

    async def do_sequence(self, parts: tuple[Program, ...]) -> Any:
        return [await self.run(part) for part in parts]

    async def do_gather(self, parts: tuple[Program, ...]) -> Any:
        return await asyncio.gather(*self.all(parts))

    async def do_gather_all(self, parts: tuple[Program, ...]) -> Any:
        found = await asyncio.gather(*self.all(parts), return_exceptions=True)
        return [str(value) for value in found]

    async def do_race(self, parts: tuple[Program, ...]) -> Any:
        return await race(*self.all(parts))

    async def do_first_success(self, parts: tuple[Program, ...]) -> Any:
        return await first_success(*self.all(parts))

    async def do_group(self, parts: tuple[Program, ...]) -> Any:
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(part) for part in self.all(parts)]
        return [task.result() for task in tasks]

    async def do_as_completed(self, parts: tuple[Program, ...]) -> Any:
        found = []
        for each in asyncio.as_completed(self.all(parts)):
            found.append([await each, await self.call()])
        return found

    async def do_wait_first(self, parts: tuple[Program, ...]) -> Any:
        tasks = {asyncio.create_task(part) for part in self.all(parts)}
        done, rest = await asyncio.wait(
            tasks, timeout=2, return_when=asyncio.FIRST_COMPLETED
        )
        for task in rest:
            task.cancel()
        await self.call()
        ended = await asyncio.gather(*rest, return_exceptions=True)
        return [len(ended), [str(t.exception() or t.result()) for t in done]]

    async def do_eager(self, parts: tuple[Program, ...]) -> Any:
        calls = [self.call() for _ in parts]
        first = [await self.run(part) for part in parts]
        return [first, [await call for call in {*calls, *calls[:1]}]]

    async def do_queue(self, parts: tuple[Program, ...]) -> Any:
        queue: asyncio.Queue[Any] = asyncio.Queue(1)

        async def put() -> None:
            for part in parts:
                await queue.put(await self.run(part))

        task = asyncio.create_task(put())
        got = asyncio.create_task(queue.get())
        await asyncio.wait([task, got], return_when=asyncio.FIRST_COMPLETED)
        got.cancel()
        task.cancel()
        return None

    async def do_timeout(self, delay: float, part: Program) -> Any:
        try:
            async with asyncio.timeout(delay):
                return await self.run(part)
        except TimeoutError:
            return await self.call()

    async def do_wait_for(self, delay: float, part: Program) -> Any:
        return await asyncio.wait_for(self.run(part), delay)

    async def do_caught(self, part: Program, other: Program) -> Any:
        try:
            return await self.run(part)
        except Exception as error:
            return [type(error).__name__, await self.run(other)]

    async def do_finally(self, part: Program, other: Program) -> Any:
        try:
            return await self.run(part)
        finally:
            await self.run(other)

    async def do_shield(self, part: Program) -> Any:
        return await asyncio.shield(self.run(part))

    async def do_cancelled(self, part: Program, other: Program) -> Any:
        task = asyncio.create_task(self.run(part))
        found = await self.run(other)
        task.cancel()
        try:
            return [found, await task]
        except asyncio.CancelledError:
            return [found, await self.call()]

    async def do_hook(self, token: str, part: Program) -> Any:
        found = []
        with create_hook(token) as hook:
            if await hook.get_conflict() is not None:
                return "held"
            reader = asyncio.create_task(self.read(hook))
            found.append(await self.run(part))
        found.append(await reader)
        try:
            await hook
        except HookDisposedError:
            return found

    async def read(self, hook: Any) -> Any:
        return [[payload, await self.call()] async for payload in hook]

    async def do_generator(self, parts: tuple[Program, ...]) -> Any:
        async def each() -> Any:
            try:
                for part in parts:
                    yield await self.run(part)
            finally:
                await self.call()

        async for value in each():
            return value  # left hanging: closed with the run
        return None

    async def do_semaphore(self, parts: tuple[Program, ...]) -> Any:
        permits = asyncio.Semaphore(2)

        async def one(part: Program) -> Any:
            async with permits:
                return await self.run(part)

        return await asyncio.gather(*(one(part) for part in parts))


@workflow
async def interpret(program: Program) -> Any:
    """The workflow of all programs."""
    return await Interpreter().act(program)


LONGEST = 60  # deliveries; then a run is left as it is


def deliver_something(run: Driver, chance: random_module.Random) -> bool:
    """Answer what a run waits for, in any order. False if there is nothing."""
    execution = run.execution
    if run.ended:
        return False
    choices: list[Operation | None] = [*run.steps, *execution.hooks.values()]
    choices += run.children
    if execution.timers.first() is not None:
        choices += [None, None]
    if not choices:
        return False
    luck = chance.random()
    if luck < 0.02:
        run.cancel("by chance")
    elif luck < 0.04:
        run.wake()
    else:
        chosen = chance.choice(choices)
        if chosen is None:
            run.fire()
        elif isinstance(chosen, StepCall):
            run.now_us += chance.randrange(200_000)
            if chance.random() < 0.25:
                run.fail(chosen, ValueError(f"no {chosen.args!r}"))
            else:
                run.complete(chosen, [chosen.args.decode(), chance.randrange(1000)])
        elif isinstance(chosen, ChildHandle):
            end_child(run, chosen, chance)
        elif isinstance(chosen, Hook):
            run.send(chosen.token, chance.randrange(1000))
    return True


def end_child(run: Driver, handle: ChildHandle, chance: random_module.Random) -> None:
    how = chance.choice(["completed", "completed", "failed", "cancelled", "timed_out"])
    if how == "completed":
        run.complete_child(handle, [handle.run_id, chance.randrange(1000)])
    elif how == "failed":
        run.fail_child(handle, ValueError(handle.run_id))
    else:
        run.end_child(handle, how)


def drive_randomly(
    program: Program, seed: int, drop: random_module.Random | None = None
) -> Driver:
    """One life of a run; with `drop`, a life full of crashes."""
    chance = random_module.Random(seed)
    held, taken = {TOKENS[2]: "wrun_other"}, {KEYS[2]: "wrun_other"}
    run = Driver(interpret, program, tokens=held, keys=taken).begin()
    for _ in range(LONGEST):
        if not deliver_something(run, chance):
            break
        if drop and drop.random() < 0.3:
            run.drop()
    return run
