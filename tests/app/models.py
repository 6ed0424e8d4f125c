"""Tables for what steps do: how often, and what was committed with what."""

from __future__ import annotations

from decimal import Decimal

from django.db import models

from django_workflows.models import Run


class Ledger(models.Model):
    """One booking; the rows of an account must add up to what was asked for."""

    account = models.CharField(max_length=100, db_index=True)
    amount = models.DecimalField(max_digits=12, decimal_places=2, default=Decimal(0))
    created_at = models.DateTimeField(auto_now_add=True)

    def __str__(self) -> str:
        return f"{self.account}: {self.amount}"


class Marker(models.Model):
    """A trace left by a step body: that it ran, when and where."""

    name = models.CharField(max_length=200, db_index=True)
    value = models.TextField(default="")
    attempt = models.PositiveIntegerField(default=0)
    process = models.PositiveIntegerField(default=0)
    created_at = models.DateTimeField(auto_now_add=True)

    def __str__(self) -> str:
        return f"{self.name}={self.value}"


class Receipt(models.Model):
    """A row of the project that refers to a run, and does not let go of it."""

    run = models.ForeignKey(Run, on_delete=models.PROTECT)

    def __str__(self) -> str:
        return f"receipt of {self.run_id}"
