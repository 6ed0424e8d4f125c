"""Units set aside for orders, and units bought from suppliers."""

from __future__ import annotations

from django.db import models
from django.db.models import Q

from .catalogue import Product
from .orders import OrderLine


class Purchase(models.Model):
    """One order of one product from its supplier, for the lines that wait for it.

    At most one purchase per product is open for more lines to join; the database
    itself sees to that.
    """

    class Status(models.TextChoices):
        OPEN = "open"
        ORDERED = "ordered"
        RECEIVED = "received"

    product = models.ForeignKey(Product, models.PROTECT)
    status = models.CharField(max_length=10, choices=Status, default=Status.OPEN)
    #: Units ordered; known when the order goes out.
    quantity = models.PositiveIntegerField(null=True)
    created_at = models.DateTimeField(auto_now_add=True)
    received_at = models.DateTimeField(null=True)

    class Meta:
        ordering = ["id"]
        constraints = [
            models.UniqueConstraint(
                fields=["product"],
                condition=Q(status="open"),
                name="shop_purchase_one_open_per_product",
            ),
        ]

    def __str__(self) -> str:
        return f"Purchase {self.pk} of {self.product}"


class Reservation(models.Model):
    """The units of one order line: waiting for a purchase, set aside, or gone.

    Stock is on the shelf (`Product.stock`) or in a reservation that is held or
    shipped; a waiting one has nothing yet, a released one has given it back.
    """

    class Status(models.TextChoices):
        WAITING = "waiting"
        HELD = "held"
        RELEASED = "released"
        SHIPPED = "shipped"

    line = models.OneToOneField(OrderLine, models.CASCADE)
    product = models.ForeignKey(Product, models.PROTECT)
    quantity = models.PositiveIntegerField()
    status = models.CharField(max_length=10, choices=Status, db_index=True)
    purchase = models.ForeignKey(Purchase, models.PROTECT, null=True)

    class Meta:
        ordering = ["id"]

    def __str__(self) -> str:
        return f"{self.quantity} of {self.product}, {self.status}"
