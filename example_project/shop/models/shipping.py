"""Parcels on their way."""

from __future__ import annotations

from django.db import models

from .catalogue import Shipper
from .orders import Order


class Shipment(models.Model):
    """The parcel of one order, handed to its shipper."""

    order = models.OneToOneField(Order, models.CASCADE)
    shipper = models.ForeignKey(Shipper, models.PROTECT)
    freight = models.DecimalField(max_digits=10, decimal_places=2)
    shipped_at = models.DateTimeField(auto_now_add=True)
    delivered_at = models.DateTimeField(null=True)

    class Meta:
        ordering = ["id"]

    def __str__(self) -> str:
        return f"Parcel of {self.order} by {self.shipper}"
