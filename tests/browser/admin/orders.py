"""A shop whose runs are in all the states that runs can be in."""

from __future__ import annotations

import time
from dataclasses import dataclass
from datetime import date
from decimal import Decimal

from django_workflows import (
    FatalError,
    RetryPolicy,
    continue_as_new,
    create_hook,
    define_hook,
    get_step_metadata,
    get_writable,
    sleep,
    start_child,
    step,
    workflow,
)
from django_workflows.models import Run
from django_workflows.testing import WorkflowTester


@dataclass
class Approval:
    """What the manager says about a large order."""

    approved: bool
    note: str = ""
    limit: Decimal = Decimal("500.00")


Decision = define_hook(schema=Approval)


@step(name="shop.reserve")
def reserve(order: int) -> str:
    return f"hold-{order}"


@step(name="shop.charge", retry=RetryPolicy(maximum_attempts=3))
def charge(order: int, amount: Decimal) -> str:
    """Answered by the card company at the second attempt."""
    if get_step_metadata().attempt == 1:
        raise ConnectionError("the card company does not answer")
    if amount > 1000:
        raise ValueError(f"order {order}: {amount} is over the limit of the card")
    return f"receipt-{order}"


@step(name="shop.label")
def print_label(order: int, carton: int) -> str:
    if carton > 9:
        raise FatalError(f"order {order} is too large: no label for carton {carton}")
    get_writable().write(f"Order {order}, carton {carton}")
    return f"label-{order}-{carton}"


@step(name="shop.tell")
def tell(order: int, text: str) -> None:
    """Send a mail to the customer."""


@workflow(name="shop.ship")
async def ship(order: int, cartons: int) -> list[str]:
    """Pack an order and hand it to the carrier."""
    return [await print_label(order, carton) for carton in range(1, cartons + 1)]


@workflow(name="shop.fulfil", timeout="30d")
async def fulfil(order: int, amount: Decimal, cartons: int = 2) -> dict[str, object]:
    """Fulfil an order: reserve, ask, charge, ship, and ask how it was."""
    hold = await reserve(order)
    if amount >= 500:
        with Decision.create(token=f"approval:{order}", metadata={"order": order}) as h:
            decision = await h
        if not decision.approved:
            await tell(order, "We cannot send your order.")
            return {"declined": decision.note}
    receipt = await charge(order, amount)
    labels = await start_child(ship, order, cartons)
    await sleep("3d")
    await tell(order, "How was everything?")
    return {"hold": hold, "receipt": receipt, "labels": labels}


@workflow(name="shop.count_stock")
async def count_stock(day: date) -> None:
    """Count every day, for ever."""
    await reserve(day.toordinal())
    if day.day < 2:
        continue_as_new(day.replace(day=2))
    await create_hook(token=f"stock:{day}")


@workflow(name="shop.stamp")
async def stamp(order: int) -> float:
    """Reads a clock, which workflow code must not."""
    await reserve(order)
    return time.time()


def runs_in_all_states(workflows: WorkflowTester) -> dict[str, Run]:
    """Start them, and let happen what makes them differ.

    Names are statuses, or what tells apart the open ones: "waiting" (for a hook with a
    schema), "sleeping" and "blocked". "pending" has a delay of a day.
    """
    small, large = Decimal("99.90"), Decimal("750.00")

    def order(number: int, amount: Decimal) -> Run:
        options = fulfil.options(key=f"order-{number}", attributes={"order": number})
        run: Run = options.start(number, amount)
        return run

    runs = {
        "completed": order(10248, small),
        "failed": order(10249, Decimal("1840.00")),
        "cancelled": order(10250, large),
        "terminated": order(10251, large),
        "timed_out": fulfil.options(timeout="1h").start(10252, large),
        "continued_as_new": count_stock.start(date(2026, 11, 1)),
    }
    workflows.run_until_idle()
    Decision.resume("approval:10249", {"approved": True, "note": "a good customer"})
    workflows.advance("4d")
    runs["cancelled"].cancel(reason="the customer called")
    runs["terminated"].terminate(reason="a test order")
    runs |= {
        "blocked": stamp.start(10253),
        "paused": order(10254, small),
        "sleeping": order(10255, small),
        "waiting": order(10256, large),
        "pending": fulfil.options(delay="1d").start(10257, small),
    }
    workflows.run_until_idle()
    workflows.advance("5s")
    runs["paused"].pause()
    workflows.run_until_idle()
    for run in runs.values():
        run.refresh_from_db()
    return runs
