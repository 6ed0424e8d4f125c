"""Workflows that are followed."""

from __future__ import annotations

import time
from typing import Any

from django_workflows import (
    create_hook,
    get_step_metadata,
    get_writable,
    step,
    workflow,
)


@workflow(name="push.answer")
async def answer(token: str) -> str:
    """Waits for a payload and returns it."""
    payload: str = await create_hook(token=token)
    return payload


@step(name="push.write", max_retries=0)
def write(values: list[Any], namespace: str = "", close: bool = False) -> None:
    """Writes what it is given."""
    out = get_writable(namespace)
    for value in values:
        out.write(value)
    if close:
        out.close()


has_failed: set[str] = set()
"""Reasons for which `fail` has failed in this process."""


@step(name="push.fail", max_retries=0)
def fail(reason: str) -> None:
    """Fails, the first time that it is given this reason."""
    if reason not in has_failed:
        has_failed.add(reason)
        raise ValueError(reason)


@workflow(name="push.obey")
async def obey(token: str) -> None:
    """Writes what its orders say, until it is given an empty one."""
    async for order in create_hook(token=token):
        if not order:
            return
        if "fail" in order:
            await fail(order["fail"])
        else:
            await write(**order)


@step(name="push.count", max_retries=3)
def count(end: int, pause: float, is_killed: bool) -> int:
    """Writes numbers, with a pause (in seconds) after each; returns the last one.

    If it is to be killed, its first attempt waits for that half-way.
    """
    out = get_writable()
    is_doomed = is_killed and get_step_metadata().attempt == 1
    for number in range(end):
        if is_doomed and number == end // 2:
            time.sleep(600)
        out.write(number)
        time.sleep(pause)
    return end


@workflow(name="push.counting")
async def counting(end: int, pause: float = 0.0, is_killed: bool = False) -> int:
    """Lets a step write numbers."""
    return await count(end, pause, is_killed)
