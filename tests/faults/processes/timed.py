"""Steps that hang, for as long as their time-out lets them."""

from __future__ import annotations

import asyncio
import time
from contextlib import suppress
from decimal import Decimal
from typing import Any

from django_workflows import (
    StepCancelledError,
    StepTimeoutError,
    get_step_metadata,
    sleep,
    step,
    workflow,
)
from tests.app.models import Ledger
from tests.cluster.tasks import mark

#: Longer than any test.
FOREVER = 60


@step(name="timed.hangs")
def hangs(key: str, attempts: int) -> int:
    """Hang in the first attempts."""
    attempt = get_step_metadata().attempt
    mark(f"{key}-{attempt}")
    if attempt <= attempts:
        time.sleep(FOREVER)
    return attempt


@step(name="timed.hangs_on_loop")
async def hangs_on_loop(key: str, attempts: int) -> int:
    """The same on the loop, where it is noticed."""
    attempt = get_step_metadata().attempt
    mark(f"{key}-{attempt}")
    if attempt <= attempts:
        try:
            await asyncio.sleep(FOREVER)
        except asyncio.CancelledError:
            mark(f"{key}-cancelled")
            raise
    return attempt


@step(name="timed.blocks_the_loop")
async def blocks_the_loop(key: str) -> int:
    """Never await anything in the first attempt: nobody else on the loop can go on."""
    attempt = get_step_metadata().attempt
    mark(f"{key}-{attempt}")
    if attempt == 1:
        time.sleep(FOREVER)
    return attempt


@step(name="timed.books_slowly", atomic=True)
def books_slowly(key: str) -> int:
    """Book, and take too long at the first attempt."""
    attempt = get_step_metadata().attempt
    Ledger.objects.create(account=key, amount=Decimal(attempt))
    mark(f"{key}-{attempt}")
    if attempt == 1:
        time.sleep(3)
    mark(f"{key}-{attempt}-ended")
    return attempt


@step(name="timed.counts")
def counts(key: str) -> list[Any]:
    """Tell how far it has got, hang; the next attempt says what it was told."""
    metadata = get_step_metadata()
    if metadata.attempt == 1:
        for number in range(8):
            metadata.heartbeat({"i": number})
        mark(f"{key}-told")
        time.sleep(FOREVER)
    return [metadata.attempt, metadata.heartbeat_details]


@step(name="timed.counts_on_loop")
async def counts_on_loop(key: str) -> list[Any]:
    """The same on the loop."""
    metadata = get_step_metadata()
    if metadata.attempt == 1:
        for number in range(8):
            metadata.heartbeat({"i": number})
        await asyncio.sleep(1.5)  # an event loop does not wait until they are stored
        mark(f"{key}-told")
        await asyncio.sleep(FOREVER)
    return [metadata.attempt, metadata.heartbeat_details]


@step(name="timed.listens")
def listens(key: str) -> None:
    """Give heartbeats until told to stop."""
    metadata = get_step_metadata()
    mark(f"{key}-begun")
    end = time.monotonic() + FOREVER
    while time.monotonic() < end:
        time.sleep(0.05)
        try:
            metadata.heartbeat()
        except StepCancelledError:
            mark(f"{key}-stopped")
            raise


@step(name="timed.listens_on_loop")
async def listens_on_loop(key: str) -> None:
    """Wait to be cancelled."""
    mark(f"{key}-begun")
    try:
        await asyncio.sleep(FOREVER)
    except asyncio.CancelledError:
        mark(f"{key}-stopped")
        raise


@step(name="timed.outlives")
async def outlives(key: str) -> None:
    """Go on for a while after the run has ended."""
    mark(f"{key}-begun")
    try:
        await asyncio.sleep(3)
        get_step_metadata().heartbeat("still here")
        await asyncio.sleep(1)
        mark(f"{key}-ended")
    except BaseException:
        mark(f"{key}-stopped")
        raise


@workflow(name="timed.leaves")
async def leaves(key: str, queue: str, how: str) -> str:
    """End while a step runs, in one way or another."""
    running = outlives.options(queue=queue)(key)
    await sleep(1.5)
    if how == "time-out":
        with suppress(TimeoutError):
            async with asyncio.timeout(0.1):
                await running
    if how == "error":
        raise ValueError(how)
    return how


STEPS = {
    each.name.removeprefix("timed."): each
    for each in (
        hangs,
        hangs_on_loop,
        blocks_the_loop,
        books_slowly,
        counts,
        counts_on_loop,
        listens,
        listens_on_loop,
    )
}


@workflow(name="timed.calls")
async def calls(name: str, options: dict[str, Any], *args: Any) -> Any:
    """One step, by its name and with options."""
    try:
        return await STEPS[name].options(**options)(*args)
    except StepTimeoutError as error:
        return error.kind


@workflow(name="timed.calls_many")
async def calls_many(keys: list[str], timeout: float) -> list[Any]:
    """Many steps that hang in their only attempt."""
    found = await asyncio.gather(
        *(hangs.options(timeout=timeout, max_retries=0)(key, 1) for key in keys),
        return_exceptions=True,
    )
    return [type(each).__name__ for each in found]
