"""The steps of the rehearsed project, the same in all states of its code."""

from __future__ import annotations

import os
import time
from pathlib import Path

from django_workflows import RetryPolicy, create_hook, sleep, step
from tests.cluster.tasks import mark

PATIENT = RetryPolicy(initial_interval="500ms", backoff_coefficient=1.0)


def gate() -> Path:
    """A file; what waits for it goes on once it is there."""
    return Path(os.environ["MARKS"]).with_name("gate")


def wait_at_gate() -> None:
    deadline = time.monotonic() + 60
    while not gate().exists():
        if time.monotonic() > deadline:
            raise TimeoutError("the gate stays shut")
        time.sleep(0.01)


@step
def pack(number: int, slowly: bool = False) -> str:
    mark(f"pack-{number}-begun")
    if slowly:
        wait_at_gate()
    mark(f"pack-{number}")
    return "packed"


@step
def insure(number: int) -> str:
    mark(f"insure-{number}")
    return "insured"


@step
def ship(number: int) -> str:
    mark(f"ship-{number}")
    return "shipped"


@step
def guarded(number: int) -> None:
    mark(f"guarded-{number}-begun")
    wait_at_gate()


@step(retry=PATIENT)
def flaky(number: int) -> None:
    mark(f"flaky-{number}-begun")
    if not gate().exists():
        raise ConnectionError("not yet")


async def settle(number: int, waits: str) -> None:
    """Suspend in one way or another."""
    if waits == "asleep":
        await sleep("1h")
    elif waits == "on a hook":
        await create_hook(token=f"order-{number}")
    elif waits == "in a step":
        await guarded(number)
    elif waits == "retrying":
        await flaky(number)
