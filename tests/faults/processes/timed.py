"""Steps that hang, for as long as their time-out lets them."""

from __future__ import annotations

import asyncio
import os
import time
from contextlib import suppress
from decimal import Decimal
from pathlib import Path
from typing import Any

from django_workflows import (
    StepCancelledError,
    StepTimeoutError,
    create_hook,
    get_step_metadata,
    step,
    workflow,
)
from tests.app.models import Ledger
from tests.cluster.tasks import is_open, mark

#: Longer than any test.
FOREVER = 600


def _marks(key: str) -> int:
    """How often it was marked."""
    lines = Path(os.environ["MARKS"]).read_text().splitlines()
    return sum(line.split()[0] == key for line in lines)


@step(name="timed.hangs")
def hangs(key: str, times: int) -> int:
    """Hang so many times. Attempts that are late before they do are not counted."""
    mark(key)
    if _marks(f"{key}-hangs") < times:
        mark(f"{key}-hangs")
        time.sleep(FOREVER)
    return get_step_metadata().attempt


@step(name="timed.hangs_on_loop")
async def hangs_on_loop(key: str, times: int) -> int:
    """The same on the loop, where it is noticed."""
    mark(key)
    if _marks(f"{key}-hangs") < times:
        mark(f"{key}-hangs")
        try:
            await asyncio.sleep(FOREVER)
        except asyncio.CancelledError:
            mark(f"{key}-cancelled")
            raise
    return get_step_metadata().attempt


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
    """Book; at the first attempt end as if nothing were, after it was too late."""
    metadata = get_step_metadata()
    Ledger.objects.create(account=key, amount=Decimal(metadata.attempt))
    if metadata.attempt == 1:
        with suppress(StepCancelledError):
            while True:
                time.sleep(0.05)
                metadata.heartbeat()
        time.sleep(0.5)
        mark(f"{key}-late")
    return metadata.attempt


def _is_told(told: Any, wanted: Any) -> bool:
    return told is not None and wanted in (None, told)


@step(name="timed.counts")
def counts(key: str, wanted: Any = None) -> list[Any]:
    """Tell how far it has got, hang; the next attempt says what it was told.

    One that is told something else than what is wanted hangs, too.
    """
    metadata = get_step_metadata()
    if not _is_told(metadata.heartbeat_details, wanted):
        for number in range(8):
            metadata.heartbeat({"i": number})
        mark(f"{key}-told")
        time.sleep(FOREVER)
    return [metadata.attempt, metadata.heartbeat_details]


@step(name="timed.counts_on_loop")
async def counts_on_loop(key: str, wanted: Any = None) -> list[Any]:
    """The same on the loop, which does not wait until they are stored."""
    metadata = get_step_metadata()
    if not _is_told(metadata.heartbeat_details, wanted):
        for number in range(8):
            metadata.heartbeat({"i": number})
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
        while not is_open(key):
            await asyncio.sleep(0.02)
        await asyncio.sleep(1)
        get_step_metadata().heartbeat("still here")
        await asyncio.sleep(1)
        mark(f"{key}-ended")
    except BaseException:
        mark(f"{key}-stopped")
        raise


@workflow(name="timed.leaves")
async def leaves(key: str, queue: str, how: str) -> str:
    """End while a step runs, in one way or another, when told to."""
    running = outlives.options(queue=queue)(key)
    await create_hook(token=key)
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
