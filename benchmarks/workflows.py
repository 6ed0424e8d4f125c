"""The workflows that are measured. Their steps do as good as nothing.

Every step returns a small dict with the wall clock of its execution. Steps are
async functions unless ``BENCHMARKS_STEPS`` is ``sync``.
"""

from __future__ import annotations

import asyncio
import os
import time
from pathlib import Path
from typing import Any

from django_workflows import create_hook, get_writable, sleep, step, workflow

SLEEP_SECONDS = 5.0


def _stamp(number: int) -> dict[str, Any]:
    return {"i": number, "t": time.time()}


async def _astamp(number: int) -> dict[str, Any]:
    return _stamp(number)


def _place(number: int) -> dict[str, Any]:
    return {"i": number, "pid": os.getpid()}


async def _aplace(number: int) -> dict[str, Any]:
    return _place(number)


SYNC = os.environ.get("BENCHMARKS_STEPS") == "sync"
if SYNC:
    stamp = step(name="benchmarks.stamp")(_stamp)
    place = step(name="benchmarks.place")(_place)
else:
    stamp = step(name="benchmarks.stamp")(_astamp)
    place = step(name="benchmarks.place")(_aplace)


@step(name="benchmarks.paced", rate_limit="100/s")
async def paced_stamp() -> float:
    """When it began, by the wall clock."""
    return time.time()


@step(name="benchmarks.narrow", max_concurrency=5)
async def narrow_stamp(seconds: float) -> tuple[float, float]:
    """Takes a while; when it began and ended."""
    began = time.time()
    await asyncio.sleep(seconds)
    return began, time.time()


@workflow
async def paced() -> float:
    """One step of which 100 may start per second."""
    return await paced_stamp()


@workflow
async def narrow(seconds: float) -> tuple[float, float]:
    """One step of which five may run at once."""
    return await narrow_stamp(seconds)


@workflow
async def seq10() -> dict[str, Any]:
    """Ten steps, one after the other."""
    last: dict[str, Any] = {}
    for number in range(10):
        last = await stamp(number)
    return last


@workflow
async def looked_at(steps: int) -> None:
    """Steps in sequence, for people to look at."""
    for number in range(steps):
        await stamp(number)


@workflow
async def seq10_placed() -> list[int]:
    """`seq10` that tells in which process each of its steps ran."""
    return [(await place(number))["pid"] for number in range(10)]


@workflow
async def fan100() -> int:
    """A hundred steps at the same time."""
    return len(await asyncio.gather(*[stamp(number) for number in range(100)]))


@workflow
async def hop() -> dict[str, Any]:
    """One step, which tells when it ran."""
    stamped: dict[str, Any] = await stamp(0)
    return stamped


@workflow
async def hook(token: str) -> Any:
    """Waits for one payload and returns it."""
    return await create_hook(token=token)


@workflow
async def sleeper() -> bool:
    """Sleeps for `SLEEP_SECONDS`."""
    await sleep(SLEEP_SECONDS)
    return True


@workflow
async def long(steps: int) -> list[float]:
    """Many steps one after the other; the times of 1, 100, n - 99 and n."""
    times = [(await stamp(number))["t"] for number in range(steps)]
    return [times[0], times[99], times[-100], times[-1]]


@workflow
async def recorded(steps: int, token: str) -> float:
    """Makes a long history, waits for a hook, and tells when it went on."""
    for number in range(steps):
        await stamp(number)
    await create_hook(token=token)
    resumed: float = (await stamp(steps))["t"]
    return resumed


@step(max_retries=0)
def spin(folder: str, limit: float) -> None:
    """Keep the interpreter busy until ``folder/stop`` exists, or `limit` seconds.

    Writes its process id to ``folder/pid`` first.
    """
    Path(folder, "pid").write_text(str(os.getpid()))
    stop = Path(folder, "stop")
    deadline = time.monotonic() + limit
    while not stop.exists() and time.monotonic() < deadline:
        sum(number * number for number in range(20_000))


@workflow
async def busy(folder: str, limit: float) -> None:
    """One CPU-bound step."""
    await spin(folder, limit)


def _write(count: int, text: str) -> None:
    with get_writable() as out:
        for _ in range(count):
            out.write(text)


async def _awrite(count: int, text: str) -> None:
    async with get_writable() as out:
        for _ in range(count):
            await out.awrite(text)


async def _awrite_slowly(count: int, seconds: float) -> None:
    async with get_writable() as out:
        for _ in range(count):
            await out.awrite(time.time())
            await asyncio.sleep(seconds)


write = step(name="benchmarks.write")(_write if SYNC else _awrite)
write_slowly = step(name="benchmarks.write_slowly")(_awrite_slowly)


@workflow
async def written(count: int, text: str) -> None:
    """A stream of so many equal chunks."""
    await write(count, text)


@workflow
async def written_slowly(count: int, seconds: float) -> None:
    """A stream of so many times at which they were written, so many seconds apart."""
    await write_slowly(count, seconds)


@workflow
async def written_when_told(token: str, count: int, seconds: float) -> None:
    """The same, once a payload has come."""
    await create_hook(token)
    await write_slowly(count, seconds)
