"""A small shop with one product of each kind."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from datetime import date
from decimal import Decimal

import pytest

from example_project.shop.models import (
    Category,
    Customer,
    Order,
    OrderLine,
    Product,
    Shipper,
    Supplier,
)

MakeProduct = Callable[..., Product]
MakeOrder = Callable[..., Order]


@pytest.fixture
def make_product(db: None) -> MakeProduct:
    """Make a product with so many units on the shelf."""
    category = Category.objects.create(name="Beverages")
    supplier = Supplier.objects.create(name="Exotic Liquids")

    def make(stock: int, *, discontinued: bool = False) -> Product:
        return Product.objects.create(
            name="Chai",
            category=category,
            supplier=supplier,
            unit="box",
            unit_price=Decimal("18.00"),
            opening_stock=stock,
            stock=stock,
            reorder_level=10,
            discontinued=discontinued,
        )

    return make


@pytest.fixture
def make_order(db: None) -> MakeOrder:
    """Make an order of so many units of each product."""
    customer = Customer.objects.create(id="ALFKI", name="Alfreds Futterkiste")
    shipper = Shipper.objects.create(name="Speedy Express")
    numbers = itertools.count(1)

    def make(*lines: tuple[Product, int]) -> Order:
        order = Order.objects.create(
            id=next(numbers),
            customer=customer,
            shipper=shipper,
            ordered_on=date(2012, 7, 4),
            required_on=date(2012, 8, 1),
            freight=Decimal("32.38"),
        )
        for product, quantity in lines:
            OrderLine.objects.create(
                order=order,
                product=product,
                unit_price=product.unit_price,
                quantity=quantity,
                discount=Decimal("0.10"),
            )
        return order

    return make
