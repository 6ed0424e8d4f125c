"""Looking after customers: actions for the definitions, and the events that start them.

The processes themselves are data, in `definitions/`; `manage.py load_definitions`
registers them. What happens in which order can be changed there, without this code.
"""

from __future__ import annotations

from decimal import Decimal
from typing import Any

from django.core.mail import send_mail as send_by_django
from django.db.models.signals import post_save
from django.dispatch import receiver

from django_workflows.definitions import action, handle_event

from .models import Customer, Order, OrderLine
from .workflows import fulfil_order

# --- the actions --------------------------------------------------------------------


@action("quote_order")
def quote_order(params: dict[str, Any]) -> dict[str, Decimal]:
    """What an order comes to."""
    lines = OrderLine.objects.filter(order=params["order"])
    prices = (line.unit_price * line.quantity * (1 - line.discount) for line in lines)
    return {"total": sum(prices, Decimal())}


@action("fulfil_order")
def begin_fulfilment(params: dict[str, Any]) -> str:
    """Start the workflow that fulfils an order; its key makes it one run per order."""
    order_id = params["order"]
    run = fulfil_order.options(key=f"order-{order_id}").start(order_id)
    return str(run.pk)


@action("send_mail")
def send_mail(params: dict[str, str]) -> None:
    """Send a mail to a customer, or to one of the shop's own departments."""
    send_by_django(
        params["subject"],
        params["text"],
        "shop@northwind.example",
        [f"{params['to'].lower()}@northwind.example"],
    )


@action("count_orders")
def count_orders(params: dict[str, Any]) -> int:
    """How many orders a customer has placed."""
    return Order.objects.filter(customer=params["id"]).count()


# --- the events ---------------------------------------------------------------------


@receiver(post_save, sender=Customer)
def customer_was_saved(
    sender: type[Customer], instance: Customer, created: bool, **kwargs: Any
) -> None:
    if created and not kwargs["raw"]:
        data = {"id": instance.pk, "name": instance.name}
        handle_event("Customer.created", data, f"customer-{instance.pk}")


@receiver(post_save, sender=Order)
def order_was_saved(
    sender: type[Order], instance: Order, created: bool, **kwargs: Any
) -> None:
    if created and not kwargs["raw"]:
        data = {"order": instance.pk, "customer": instance.customer_id}
        handle_event("Order.placed", data, f"order-{instance.pk}")
