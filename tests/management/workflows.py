"""Workflows that the tests of the command line start."""

from __future__ import annotations

import asyncio
import time
from decimal import Decimal
from typing import Any

from django_workflows import (
    create_hook,
    get_writable,
    sleep,
    start_child,
    step,
    workflow,
)


@step(name="commands.pay", max_retries=1)
def pay(amount: Decimal, password: str = "") -> str:
    if amount < 0:
        raise ValueError(f"cannot pay {amount}")
    return f"paid {amount}"


@workflow(name="commands.order")
async def order(amount: Decimal, password: str = "") -> str:
    return await pay(amount, password)


@workflow(name="commands.napping")
async def napping(name: str = "") -> str:
    await sleep("1h")
    return name


@workflow(name="commands.busy")
async def busy() -> None:
    child = start_child(napping)
    with create_hook(token="secret-token", metadata={"for": "the boss"}) as hook:
        async with asyncio.timeout(30):
            await hook
    await child


@workflow(name="commands.approved")
async def approved(amounts: list[Decimal]) -> list[str]:
    first = await pay(amounts[0])
    with create_hook(token="approval") as hook:
        await hook
    return [first, *[await pay(amount) for amount in amounts[1:]]]


@workflow(name="commands.guarded")
async def guarded() -> None:
    time.sleep(1)


@step(name="commands.speak")
def speak(words: list[Any]) -> None:
    with get_writable() as stream:
        for word in words:
            stream.write(word)


@workflow(name="commands.speaking")
async def speaking(words: list[Any]) -> None:
    await speak(words)
