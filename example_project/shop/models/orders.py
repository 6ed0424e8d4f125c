"""What the customers want."""

from __future__ import annotations

from django.core.validators import MaxValueValidator, MinValueValidator
from django.db import models

from .catalogue import Customer, Product, Shipper


class Order(models.Model):
    """One customer's order; its workflow moves `status` along."""

    class Status(models.TextChoices):
        PLACED = "placed"
        PRICED = "priced"
        SHIPPED = "shipped"
        DELIVERED = "delivered"
        CANCELLED = "cancelled"

    customer = models.ForeignKey(Customer, models.PROTECT)
    shipper = models.ForeignKey(Shipper, models.PROTECT)
    ordered_on = models.DateField()
    required_on = models.DateField()
    freight = models.DecimalField(max_digits=10, decimal_places=2)
    ship_name = models.CharField(max_length=100)
    ship_address = models.CharField(max_length=100)
    ship_city = models.CharField(max_length=50)
    ship_country = models.CharField(max_length=50)
    status = models.CharField(
        max_length=10, choices=Status, default=Status.PLACED, db_index=True
    )
    #: What the customer pays, in whole cents; known once the order is priced.
    total = models.DecimalField(max_digits=12, decimal_places=2, null=True)
    #: Why the order could not be fulfilled; empty unless it was cancelled.
    reason = models.CharField(max_length=200, blank=True)

    class Meta:
        ordering = ["id"]

    def __str__(self) -> str:
        return f"Order {self.pk}"


class OrderLine(models.Model):
    """One product of an order."""

    order = models.ForeignKey(Order, models.CASCADE, related_name="lines")
    product = models.ForeignKey(Product, models.PROTECT)
    unit_price = models.DecimalField(max_digits=10, decimal_places=2)
    quantity = models.PositiveIntegerField()
    discount = models.DecimalField(
        max_digits=3,
        decimal_places=2,
        validators=[MinValueValidator(0), MaxValueValidator(1)],
    )
    #: Exact: prices and discounts have two places each, so the product has four.
    total = models.DecimalField(max_digits=14, decimal_places=4, null=True)

    class Meta:
        ordering = ["id"]
        constraints = [
            models.UniqueConstraint(
                fields=["order", "product"], name="shop_orderline_order_product"
            ),
        ]

    def __str__(self) -> str:
        return f"{self.quantity} of {self.product} for {self.order}"
