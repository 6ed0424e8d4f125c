"""What the shop sells, and the companies it deals with."""

from __future__ import annotations

from django.db import models


class Category(models.Model):
    """A group of products."""

    name = models.CharField(max_length=50)
    description = models.TextField(blank=True)

    class Meta:
        ordering = ["name"]
        verbose_name_plural = "categories"

    def __str__(self) -> str:
        return self.name


class Supplier(models.Model):
    """A company that the shop buys from."""

    name = models.CharField(max_length=100)
    contact = models.CharField(max_length=100, blank=True)
    city = models.CharField(max_length=50, blank=True)
    country = models.CharField(max_length=50, blank=True)
    phone = models.CharField(max_length=30, blank=True)

    class Meta:
        ordering = ["name"]

    def __str__(self) -> str:
        return self.name


class Shipper(models.Model):
    """A company that carries parcels to the customers."""

    name = models.CharField(max_length=100)
    phone = models.CharField(max_length=30, blank=True)

    class Meta:
        ordering = ["name"]

    def __str__(self) -> str:
        return self.name


class Customer(models.Model):
    """A company that orders from the shop; its id is Northwind's five letters."""

    id = models.CharField(max_length=5, primary_key=True)
    name = models.CharField(max_length=100)
    contact = models.CharField(max_length=100, blank=True)
    city = models.CharField(max_length=50, blank=True)
    country = models.CharField(max_length=50, blank=True)
    phone = models.CharField(max_length=30, blank=True)

    class Meta:
        ordering = ["name"]

    def __str__(self) -> str:
        return self.name


class Product(models.Model):
    """An article, with the number of units on the shelf.

    `stock` changes in the same transactions as the reservations and purchases that
    explain it; `opening_stock` is what it was before the first order, so that the
    balance can be proved.
    """

    name = models.CharField(max_length=100)
    category = models.ForeignKey(Category, models.PROTECT)
    supplier = models.ForeignKey(Supplier, models.PROTECT)
    unit = models.CharField(max_length=50)
    unit_price = models.DecimalField(max_digits=10, decimal_places=2)
    opening_stock = models.PositiveIntegerField()
    stock = models.IntegerField()
    reorder_level = models.PositiveIntegerField()
    discontinued = models.BooleanField()

    class Meta:
        ordering = ["name"]
        constraints = [
            models.CheckConstraint(
                condition=models.Q(stock__gte=0), name="shop_product_stock_not_negative"
            ),
        ]

    def __str__(self) -> str:
        return self.name
