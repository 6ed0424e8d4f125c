"""`manage.py load_northwind`: fill the shop's tables, without running a demo."""

from __future__ import annotations

from typing import Any

from django.core.management.base import BaseCommand

from ... import northwind
from ...models import Product


class Command(BaseCommand):
    help = (
        "Load the products, customers and orders of Northwind, unless they are there."
    )

    def handle(self, *args: Any, **options: Any) -> None:
        if Product.objects.exists():
            self.stdout.write("Northwind is loaded already.")
            return
        orders = northwind.load()
        self.stdout.write(
            f"Loaded {Product.objects.count()} products, {orders} orders."
        )
