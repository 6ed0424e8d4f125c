"""The payment provider's own books.

A provider is another company: its rows are written in transactions of their own, and
nothing ties them to the shop's but the order number on the invoice.
"""

from __future__ import annotations

from django.db import models


class Charge(models.Model):
    """Money taken, once per idempotency key."""

    idempotency_key = models.CharField(max_length=100, unique=True)
    order_number = models.BigIntegerField(db_index=True)
    amount = models.DecimalField(max_digits=12, decimal_places=2)
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        ordering = ["id"]

    def __str__(self) -> str:
        return f"{self.amount} for order {self.order_number}"


class PaymentRequest(models.Model):
    """One call that reached the provider, and what the caller got to hear."""

    class Outcome(models.TextChoices):
        CHARGED = "charged"
        REPEATED = "repeated"
        UNAVAILABLE = "unavailable"
        ANSWER_LOST = "answer lost"
        DECLINED = "declined"

    idempotency_key = models.CharField(max_length=100)
    outcome = models.CharField(max_length=20, choices=Outcome)
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        ordering = ["id"]

    def __str__(self) -> str:
        return f"{self.idempotency_key}: {self.outcome}"
