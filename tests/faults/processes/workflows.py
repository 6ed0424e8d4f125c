"""Workflows that run in real worker processes; their steps leave marks in a file."""

from __future__ import annotations

import asyncio
import faulthandler
import os
import signal
import time
from decimal import Decimal
from pathlib import Path

from django_workflows import get_step_metadata, sleep, step, workflow
from django_workflows.models import Step
from tests.app.models import Ledger
from tests.cluster.tasks import is_open, mark, wait_at_gate
from tests.faults.processes import timed as timed


@step(name="processes.quick")
def quick(key: str) -> str:
    """Leave a mark."""
    mark(key)
    return key


@step(name="processes.guarded")
def guarded(key: str) -> int:
    """Leave a mark, wait at the gate, leave another mark; says which attempt it was."""
    mark(f"{key}-begun")
    wait_at_gate(key)
    mark(f"{key}-ended")
    return get_step_metadata().attempt


@step(name="processes.guarded_booking", atomic=True)
def guarded_booking(key: str) -> int:
    """The same with a booking, which must not happen twice."""
    Ledger.objects.create(account=key, amount=Decimal(1))
    mark(f"{key}-begun")
    wait_at_gate(key)
    mark(f"{key}-ended")
    return get_step_metadata().attempt


@step(name="processes.book", atomic=True)
def book(account: str, amount: int) -> int:
    """Book exactly once."""
    Ledger.objects.create(account=account, amount=Decimal(amount))
    return amount


@step(name="processes.deadly")
def deadly(key: str) -> None:
    """Kill the process that runs it, whichever it is."""
    mark(f"{key}-deadly")
    os.kill(os.getpid(), signal.SIGKILL)


@step(name="processes.innocent")
def innocent(key: str, gate: str) -> str:
    """Leave a mark, and wait at the gate."""
    mark(f"{key}-begun")
    wait_at_gate(gate)
    return key


@step(name="processes.innocent_on_loop")
async def innocent_on_loop(key: str, gate: str) -> str:
    """The same, on the loop."""
    mark(f"{key}-begun")
    while not is_open(gate):
        await asyncio.sleep(0.02)
    return key


@workflow(name="processes.three")
async def three(key: str, atomic: bool) -> list[object]:
    """A step before the gate, one at the gate, one behind it."""
    first = await quick(f"{key}-first")
    middle = await (guarded_booking if atomic else guarded)(key)
    return [first, middle, await quick(f"{key}-last")]


@workflow(name="processes.chain")
async def chain(key: str, length: int) -> int:
    """One step after the other."""
    for number in range(length):
        await quick(f"{key}-{number}")
    return length


@workflow(name="processes.transfer")
async def transfer(account: str) -> int:
    """Two bookings beside each other, a pause, a third one."""
    one, two = await asyncio.gather(book(account, 1), book(account, 2))
    await sleep(0.05)
    await quick(account)
    return one + two + await book(account, 4)


@workflow(name="processes.kills")
async def kills(key: str) -> None:
    """Never gets beyond its step."""
    await deadly(key)


@workflow(name="processes.waits")
async def waits(key: str, gate: str) -> list[str]:
    """Has two long steps in flight."""
    one, two = innocent(f"{key}-thread", gate), innocent_on_loop(f"{key}-loop", gate)
    return [await one, await two]


@workflow(name="processes.spins")
async def spins(key: str) -> None:
    """Never comes to an end, and never awaits anything."""
    await quick(key)
    while True:
        pass


@workflow(name="processes.crashes")
async def crashes(key: str) -> None:
    """Workflow code that takes its worker down each time."""
    await quick(key)
    faulthandler._sigsegv()  # type: ignore[attr-defined]


@step(name="processes.narrow", max_concurrency=5)
def narrow(key: str, together: int) -> int:
    """Leave marks around a short while; returns how many were at work by the database.

    Does not end before so many have begun altogether: they have to be at once, then.
    """
    mark("narrow-begun")
    path = Path(os.environ["MARKS"])
    while path.read_text().count("narrow-begun") < together:
        time.sleep(0.005)
    seen = Step.objects.filter(name="processes.narrow", status="running").count()
    mark("narrow-ended")
    return seen


@workflow(name="processes.narrows")
async def narrows(key: str, together: int) -> int:
    """One step whose limit many share."""
    return await narrow(key, together)


@workflow(name="processes.one_of_few", max_concurrency=3)
async def one_of_few(key: str) -> str:
    """One of a few runs that may be open."""
    await quick("few-begun")
    return await quick("few-ended")
