"""How an order is fulfilled, and how goods are bought.

The steps do one thing each, by the plain functions of this app; they are given ids and
plain values, and return them. `atomic=True` makes a step's rows and its completion one
transaction: it takes effect exactly once, whatever is killed when.
"""

from __future__ import annotations

import asyncio
from decimal import Decimal

from django_workflows import (
    RetryPolicy,
    create_hook,
    get_step_metadata,
    resume_hook,
    saga,
    sleep,
    step,
    workflow,
)

from . import payments, pricing, shipping, stock

#: Seconds that stand for one day in the demo's small world.
DAY = 1.5

#: The days between asking a supplier and getting the goods, by the supplier's id.
LEAD_TIMES = (1, 2, 3)


class SoldOutError(Exception):
    """A product is short and will not be made any more."""


# --- the order ----------------------------------------------------------------------


@workflow
async def fulfil_order(order_id: int) -> str:
    """Price, reserve, charge, ship and deliver one order; return how it ended.

    What cannot be fulfilled gives back all it had taken, in reverse order. Charging is
    the point of no return: after it nothing can fail for good.
    """
    quote = await price_order(order_id)
    restocked = create_hook(token=restock_token(order_id))
    try:
        async with saga() as order:
            for line in quote.lines:
                order.compensate(release_line, line)
            answers = await asyncio.gather(*(reserve_line(n) for n in quote.lines))
            if "sold out" in answers:
                raise SoldOutError("a discontinued product is sold out")
            outcome = zip(quote.lines, answers, strict=True)
            waiting = {line for line, answer in outcome if answer == "waiting"}
            while waiting:
                waiting.remove(await restocked)
            await charge_order(order_id, quote.total)
    except (SoldOutError, payments.CardDeclinedError) as error:
        await cancel_order(order_id, str(error))
        return "cancelled"
    days = await ship_order(order_id)
    await sleep(days * DAY)
    await deliver_order(order_id)
    return "delivered"


@step(atomic=True)
def price_order(order_id: int) -> pricing.Quote:
    """Work out what the order costs."""
    return pricing.price(order_id)


@step(atomic=True)
def reserve_line(line_id: int) -> str:
    """Set a line's units aside: "held", "waiting" for a restock or "sold out".

    The first line that has to wait starts the purchase, in the same transaction; its
    key makes it one run per purchase.
    """
    answer = stock.reserve(line_id)
    if answer.opened_purchase is not None:
        buy_stock.options(key=f"purchase-{answer.opened_purchase}").start(
            answer.opened_purchase
        )
    return answer.status


@step(
    retry=RetryPolicy(
        initial_interval="200ms",
        maximum_interval="2s",
        maximum_attempts=20,
        non_retryable_errors=(payments.CardDeclinedError,),
    )
)
def charge_order(order_id: int, amount: Decimal) -> int:
    """Charge the customer once, however often the provider has to be asked."""
    key = get_step_metadata().step_id
    return payments.charge(key, order_id, amount)


@step(atomic=True)
def ship_order(order_id: int) -> int:
    """Hand the order to its shipper; return the days until it is delivered."""
    return shipping.ship(order_id)


@step(atomic=True)
def deliver_order(order_id: int) -> None:
    """Note that the parcel has arrived."""
    shipping.deliver(order_id)


@step(atomic=True)
def release_line(line_id: int) -> None:
    """Undo `reserve_line`; nothing happens where nothing is reserved."""
    stock.release(line_id)


@step(atomic=True)
def cancel_order(order_id: int, reason: str) -> None:
    """Close the order as cancelled."""
    shipping.cancel(order_id, reason)


def restock_token(order_id: int) -> str:
    """Return the token of the hook on which an order waits for its lines."""
    return f"restock-{order_id}"


# --- the purchase -------------------------------------------------------------------


@workflow
async def buy_stock(purchase_id: int) -> int:
    """Buy one product for the orders that wait for it; return how many were served."""
    # Orders that come up short in the next moments share this purchase.
    await sleep(DAY / 2)
    days = await order_from_supplier(purchase_id)
    await sleep(days * DAY)
    served: int = await receive_goods(purchase_id)
    return served


@step(atomic=True)
def order_from_supplier(purchase_id: int) -> int:
    """Send the order to the supplier; return the days until the goods arrive."""
    supplier_id = stock.order_from_supplier(purchase_id)
    return LEAD_TIMES[supplier_id % len(LEAD_TIMES)]


@step(atomic=True)
def receive_goods(purchase_id: int) -> int:
    """Put the goods away, serve the waiting lines and tell their orders."""
    deliveries = stock.receive(purchase_id)
    for delivery in deliveries:
        # An order with a waiting line is open, and so is its hook: had it given up,
        # its line would not wait any more.
        resume_hook(restock_token(delivery.order_id), delivery.line_id)
    return len(deliveries)
