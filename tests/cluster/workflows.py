"""Workflows whose steps leave marks, across processes."""

from __future__ import annotations

import asyncio
import os
import time

from django_workflows import sleep, step, workflow
from tests.cluster import tasks


@step
def mark(key: str) -> str:
    """Mark the key."""
    tasks.mark(key)
    return key


@step
def held(key: str, gate: str) -> str:
    """Mark the beginning, wait at the gate, and mark the end."""
    tasks.held(key, gate)
    return key


@workflow
async def hop(key: str) -> str:
    """Run one step."""
    return await mark(key)


@step
def place(key: str) -> int:
    """Mark the key; returns the process."""
    tasks.mark(key)
    return os.getpid()


@workflow(queue="one")
async def travel(key: str) -> list[int]:
    """Run one step in the run's queue and one in another."""
    there = place.options(queue="two")
    return [await place(f"{key}-1"), await there(f"{key}-2")]


@workflow
async def narrow(key: str, gate: str) -> None:
    """Run a long step that no other may run beside."""
    await held.options(max_concurrency=1)(key, gate)


@workflow
async def nap(key: str, seconds: float) -> str:
    """Sleep, then run one step."""
    await sleep(seconds)
    return await mark(key)


@workflow
async def haul(key: str, gate: str) -> str:
    """Run a long step and a short one."""
    await held(f"{key}-1", gate)
    return await mark(f"{key}-2")


@step(timeout=0.5, max_retries=0)
def hang(key: str) -> None:
    """Mark the key, and do not come back in time."""
    tasks.mark(key)
    time.sleep(120)


@workflow
async def hangs(count: int) -> list[str]:
    """Many steps that take too long."""
    found = await asyncio.gather(
        *(hang(f"hang{number}") for number in range(count)), return_exceptions=True
    )
    return [type(error).__name__ for error in found]
