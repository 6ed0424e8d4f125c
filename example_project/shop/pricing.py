"""What an order costs."""

from __future__ import annotations

from dataclasses import dataclass
from decimal import ROUND_HALF_UP, Decimal

from .models import Order, OrderLine


@dataclass(frozen=True)
class Quote:
    """The price of an order in cents, and the ids of its lines."""

    total: Decimal
    lines: list[int]


def line_total(unit_price: Decimal, quantity: int, discount: Decimal) -> Decimal:
    """Return the exact price of one line, before any rounding."""
    return unit_price * quantity * (1 - discount)


def in_cents(amount: Decimal) -> Decimal:
    """Round to whole cents, half a cent upwards."""
    return amount.quantize(Decimal("0.01"), ROUND_HALF_UP)


def price(order_id: int) -> Quote:
    """Write the totals of an order and its lines, and return them."""
    lines = list(OrderLine.objects.filter(order_id=order_id))
    for line in lines:
        line.total = line_total(line.unit_price, line.quantity, line.discount)
    OrderLine.objects.bulk_update(lines, ["total"])
    total = in_cents(sum((line.total or Decimal(0) for line in lines), Decimal(0)))
    Order.objects.filter(pk=order_id).update(total=total, status=Order.Status.PRICED)
    return Quote(total, [line.pk for line in lines])
