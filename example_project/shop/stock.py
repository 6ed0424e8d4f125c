"""Setting units aside for orders, and buying more of them.

Each function is one transaction on one product and holds that product's row from its
first statement on, so that units can be neither sold twice nor lost between two
orders. None of them checks whether it ran before: they are called by atomic steps,
which take effect exactly once, and the unique constraints would report any doubt.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from django.db.models import F, Sum
from django.utils import timezone

from .models import OrderLine, Product, Purchase, Reservation


@dataclass(frozen=True)
class Answer:
    """How a line fared, and the id of the purchase that had to be opened for it."""

    status: Literal["held", "waiting", "sold out"]
    opened_purchase: int | None = None


@dataclass(frozen=True)
class Delivery:
    """A line that got its units from a purchase."""

    order_id: int
    line_id: int


def reserve(line_id: int) -> Answer:
    """Set a line's units aside, or have it wait for the product's next purchase.

    A discontinued product that is short is sold out: nothing is reserved.
    """
    line = OrderLine.objects.get(pk=line_id)
    product = _lock(line.product_id)
    reservation = Reservation(line=line, product=product, quantity=line.quantity)
    if product.stock >= line.quantity:
        _add_to_stock(product, -line.quantity)
        reservation.status = Reservation.Status.HELD
        reservation.save(force_insert=True)
        return Answer("held")
    if product.discontinued:
        return Answer("sold out")
    purchase, opened = Purchase.objects.get_or_create(
        product=product, status=Purchase.Status.OPEN
    )
    reservation.status = Reservation.Status.WAITING
    reservation.purchase = purchase
    reservation.save(force_insert=True)
    return Answer("waiting", purchase.pk if opened else None)


def release(line_id: int) -> None:
    """Give a line's units back, whether it holds them or still waits for them.

    Nothing happens if it has none: it was sold out, or never got so far.
    """
    line = OrderLine.objects.get(pk=line_id)
    product = _lock(line.product_id)
    reservation = Reservation.objects.filter(line=line).first()
    if reservation is None:
        return
    if reservation.status == Reservation.Status.HELD:
        _add_to_stock(product, reservation.quantity)
    reservation.status = Reservation.Status.RELEASED
    reservation.save(update_fields=["status"])


def order_from_supplier(purchase_id: int) -> int:
    """Close a purchase to further lines and fix its quantity; return the supplier.

    It covers the lines that wait for it, and fills the shelf a little.
    """
    purchase = Purchase.objects.select_related("product").get(pk=purchase_id)
    product = _lock(purchase.product_id)
    waiting = Reservation.objects.filter(
        purchase=purchase, status=Reservation.Status.WAITING
    )
    wanted = waiting.aggregate(sum=Sum("quantity"))["sum"] or 0
    purchase.quantity = wanted + max(product.reorder_level, 10)
    purchase.status = Purchase.Status.ORDERED
    purchase.save(update_fields=["quantity", "status"])
    return product.supplier_id


def receive(purchase_id: int) -> list[Delivery]:
    """Put a purchase's units on the shelf and serve the lines that wait for them."""
    purchase = Purchase.objects.get(pk=purchase_id)
    product = _lock(purchase.product_id)
    assert purchase.quantity is not None, "received before it was ordered"
    waiting = list(
        Reservation.objects.filter(
            purchase=purchase, status=Reservation.Status.WAITING
        ).select_related("line")
    )
    served = sum(reservation.quantity for reservation in waiting)
    _add_to_stock(product, purchase.quantity - served)
    for reservation in waiting:
        reservation.status = Reservation.Status.HELD
    Reservation.objects.bulk_update(waiting, ["status"])
    purchase.status = Purchase.Status.RECEIVED
    purchase.received_at = timezone.now()
    purchase.save(update_fields=["status", "received_at"])
    return [
        Delivery(reservation.line.order_id, reservation.line_id)
        for reservation in waiting
    ]


def _lock(product_id: int) -> Product:
    return Product.objects.select_for_update().get(pk=product_id)


def _add_to_stock(product: Product, units: int) -> None:
    Product.objects.filter(pk=product.pk).update(stock=F("stock") + units)
