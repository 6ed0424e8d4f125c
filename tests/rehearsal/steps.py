"""The steps of the rehearsed project, the same in all states of its code."""

from __future__ import annotations

from django_workflows import RetryPolicy, create_hook, sleep, step
from tests.cluster.tasks import is_open, mark, wait_at_gate

PATIENT = RetryPolicy(initial_interval="500ms", backoff_coefficient=1.0)


#: What waits there goes on once it is open.
GATE = "orders"


@step
def pack(number: int, slowly: bool = False) -> str:
    mark(f"pack-{number}-begun")
    if slowly:
        wait_at_gate(GATE)
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
    wait_at_gate(GATE)


@step(retry=PATIENT)
def flaky(number: int) -> None:
    mark(f"flaky-{number}-begun")
    if not is_open(GATE):
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
