"""What the shop's own tables must show once every order is closed."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from decimal import Decimal
from typing import Any

from django.db.models import F, Q, QuerySet, Sum

from ..models import (
    Charge,
    Order,
    OrderLine,
    Product,
    Purchase,
    Reservation,
    Shipment,
)
from ..payments import CARD_LIMIT
from ..pricing import in_cents


@dataclass(frozen=True)
class Check:
    """One sentence of the proof: what was counted, expected and found."""

    name: str
    expected: Any
    found: Any
    #: What it is about; checks of one group stand together.
    group: str = ""

    @property
    def passed(self) -> bool:
        """Whether it holds."""
        return bool(self.expected == self.found)


def check_books(orders: int, value_of_lines: Decimal) -> Iterator[Check]:
    """Audit the shop after `orders` orders whose lines come to `value_of_lines`."""
    parts = {
        "Orders": _check_orders(orders, value_of_lines),
        "Stock": _check_stock(),
        "Money": _check_money(),
        "Given back": _check_cancellations(),
    }
    for group, checks in parts.items():
        yield from (replace(check, group=group) for check in checks)


def _check_orders(orders: int, value_of_lines: Decimal) -> Iterator[Check]:
    delivered = _orders(Order.Status.DELIVERED)
    closed = delivered.count() + _orders(Order.Status.CANCELLED).count()
    yield Check("orders delivered or cancelled", orders, closed)
    totals = OrderLine.objects.values_list("total", flat=True)
    value = sum((total or Decimal(0) for total in totals), Decimal(0))
    yield Check("value of all order lines", value_of_lines, in_cents(value))
    parcels = Shipment.objects.filter(
        order__in=delivered, shipper=F("order__shipper"), delivered_at__isnull=False
    )
    yield Check(
        "parcels of delivered orders, by the order's shipper / all",
        (delivered.count(), delivered.count()),
        (parcels.count(), Shipment.objects.count()),
    )


def _check_stock() -> Iterator[Check]:
    yield Check(
        "products whose stock balances: opening + bought - sold",
        Product.objects.count(),
        sum(_balances(product) for product in Product.objects.all()),
    )
    yield Check(
        "units shipped, as many as delivered orders have",
        _sum(OrderLine.objects.filter(order__status=Order.Status.DELIVERED)),
        _sum(
            Reservation.objects.filter(
                status=Reservation.Status.SHIPPED,
                line__order__status=Order.Status.DELIVERED,
            )
        ),
    )
    yield Check(
        "reservations left waiting or held",
        0,
        Reservation.objects.filter(
            status__in=[Reservation.Status.WAITING, Reservation.Status.HELD]
        ).count(),
    )
    yield Check(
        "purchases received",
        Purchase.objects.count(),
        Purchase.objects.filter(status=Purchase.Status.RECEIVED).count(),
    )


def _check_money() -> Iterator[Check]:
    delivered = dict(_orders(Order.Status.DELIVERED).values_list("pk", "total"))
    charges: dict[int, list[Decimal]] = {}
    for order, amount in Charge.objects.values_list("order_number", "amount"):
        charges.setdefault(order, []).append(amount)
    yield Check(
        "delivered orders charged exactly once, their total",
        len(delivered),
        sum(charges.get(order) == [total] for order, total in delivered.items()),
    )
    yield Check(
        "charges for orders that were not delivered",
        0,
        len(charges.keys() - delivered.keys()),
    )
    yield Check(
        "money taken, the total of delivered orders",
        sum((total or Decimal(0) for total in delivered.values()), Decimal(0)),
        sum((sum(amounts) for amounts in charges.values()), Decimal(0)),
    )


def _check_cancellations() -> Iterator[Check]:
    cancelled = _orders(Order.Status.CANCELLED)
    for_good_reason = (
        cancelled.filter(Q(lines__product__discontinued=True) | Q(total__gt=CARD_LIMIT))
        .exclude(reason="")
        .distinct()
    )
    yield Check(
        "cancelled orders that could not be fulfilled",
        cancelled.count(),
        for_good_reason.count(),
    )
    not_given_back = cancelled.filter(
        lines__reservation__status__in=[
            Reservation.Status.WAITING,
            Reservation.Status.HELD,
            Reservation.Status.SHIPPED,
        ]
    )
    yield Check(
        "cancelled orders whose reservations are all released",
        cancelled.count(),
        cancelled.exclude(pk__in=not_given_back.values("pk")).count(),
    )


def _orders(status: Order.Status) -> QuerySet[Order]:
    return Order.objects.filter(status=status)


def _balances(product: Product) -> bool:
    bought = _sum(
        Purchase.objects.filter(product=product, status=Purchase.Status.RECEIVED)
    )
    taken = _sum(
        Reservation.objects.filter(
            product=product,
            status__in=[Reservation.Status.HELD, Reservation.Status.SHIPPED],
        )
    )
    return product.opening_stock + bought - taken == product.stock


def _sum(rows: QuerySet[Any]) -> int:
    return int(rows.aggregate(sum=Sum("quantity"))["sum"] or 0)
