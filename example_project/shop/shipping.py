"""Sending orders out, and closing them."""

from __future__ import annotations

from django.utils import timezone

from .models import Order, Reservation, Shipment

#: The days that a parcel takes, by the shipper's id: Speedy Express needs one.
TRANSIT_TIMES = (3, 1, 2)


def ship(order_id: int) -> int:
    """Hand an order to its shipper; return the days until it is delivered."""
    order = Order.objects.get(pk=order_id)
    Reservation.objects.filter(
        line__order=order, status=Reservation.Status.HELD
    ).update(status=Reservation.Status.SHIPPED)
    Shipment.objects.create(
        order=order, shipper_id=order.shipper_id, freight=order.freight
    )
    order.status = Order.Status.SHIPPED
    order.save(update_fields=["status"])
    return TRANSIT_TIMES[order.shipper_id % len(TRANSIT_TIMES)]


def deliver(order_id: int) -> None:
    """Note that the customer has the parcel."""
    Shipment.objects.filter(order_id=order_id).update(delivered_at=timezone.now())
    Order.objects.filter(pk=order_id).update(status=Order.Status.DELIVERED)


def cancel(order_id: int, reason: str) -> None:
    """Close an order that cannot be fulfilled."""
    Order.objects.filter(pk=order_id).update(
        status=Order.Status.CANCELLED, reason=reason[:200]
    )
