from __future__ import annotations

from decimal import Decimal

import pytest

from example_project.shop import northwind, pricing
from example_project.shop.models import Category, Order, OrderLine, Product


def test_value_of_lines_of_all_orders() -> None:
    assert northwind.value_of_lines() == Decimal("1265793.04")


@pytest.mark.django_db
def test_load_everything() -> None:
    assert northwind.load() == 830
    assert Order.objects.count() == 830
    assert OrderLine.objects.count() == 2155
    assert Product.objects.count() == 77
    chai = Product.objects.get(name="Chai")
    assert (chai.stock, chai.opening_stock, chai.discontinued) == (39, 39, False)


@pytest.mark.django_db
def test_load_some_orders_brings_their_lines_only() -> None:
    assert northwind.load(3) == 3
    lines = set(OrderLine.objects.values_list("order_id", flat=True))
    assert lines == {10248, 10249, 10250}


@pytest.mark.django_db
def test_load_leaves_sequences_behind_the_loaded_ids() -> None:
    northwind.load(1)
    assert Category.objects.create(name="Toys").pk > 8


@pytest.mark.django_db
def test_price_rounds_the_order_once() -> None:
    northwind.load(5)
    quotes = [pricing.price(order.pk) for order in Order.objects.all()]
    # 10250: 77.00 + 1,261.40 + 214.20, the latter two with 15 % off
    assert quotes[2].total == Decimal("1552.60")
    assert quotes[2].lines == sorted(quotes[2].lines)
    exact = sum(
        (line.total or Decimal(0) for line in OrderLine.objects.all()), Decimal(0)
    )
    assert pricing.in_cents(exact) == northwind.value_of_lines(5)
    assert Order.objects.get(pk=10250).total == Decimal("1552.60")


def test_in_cents_rounds_half_up() -> None:
    assert pricing.in_cents(Decimal("1.005")) == Decimal("1.01")
    assert pricing.in_cents(Decimal("1.0049")) == Decimal("1.00")
