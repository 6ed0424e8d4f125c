from __future__ import annotations

import pytest
from django.db import IntegrityError, transaction

from example_project.shop import stock
from example_project.shop.models import Order, Product, Purchase, Reservation

from .conftest import MakeOrder, MakeProduct


def line_of(order: Order) -> int:
    return order.lines.get().pk


def on_shelf(product: Product) -> int:
    return Product.objects.get(pk=product.pk).stock


def test_reserve_takes_units_from_the_shelf(
    make_product: MakeProduct, make_order: MakeOrder
) -> None:
    product = make_product(20)
    line = line_of(make_order((product, 12)))
    assert stock.reserve(line) == stock.Answer("held")
    assert on_shelf(product) == 8
    stock.release(line)
    assert on_shelf(product) == 20
    assert Reservation.objects.get().status == Reservation.Status.RELEASED


def test_reserve_twice_is_an_error_not_a_double(
    make_product: MakeProduct, make_order: MakeOrder
) -> None:
    product = make_product(40)
    line = line_of(make_order((product, 12)))
    stock.reserve(line)
    with pytest.raises(IntegrityError), transaction.atomic():
        stock.reserve(line)
    assert on_shelf(product) == 28


def test_reserve_discontinued_and_short_reserves_nothing(
    make_product: MakeProduct, make_order: MakeOrder
) -> None:
    product = make_product(5, discontinued=True)
    line = line_of(make_order((product, 6)))
    assert stock.reserve(line) == stock.Answer("sold out")
    assert not Reservation.objects.exists()
    assert on_shelf(product) == 5


def test_lines_that_are_short_share_one_open_purchase(
    make_product: MakeProduct, make_order: MakeOrder
) -> None:
    product = make_product(5)
    first, second = (line_of(make_order((product, 6))) for _ in range(2))
    purchase = stock.reserve(first).opened_purchase
    assert purchase is not None
    assert stock.reserve(second) == stock.Answer("waiting", None)
    assert stock.order_from_supplier(purchase) == product.supplier_id
    assert Purchase.objects.get().quantity == 12 + product.reorder_level


def test_receive_serves_the_waiting_lines_and_fills_the_shelf(
    make_product: MakeProduct, make_order: MakeOrder
) -> None:
    product = make_product(5)
    orders = [make_order((product, 6)) for _ in range(2)]
    purchase = stock.reserve(line_of(orders[0])).opened_purchase
    assert purchase is not None
    stock.reserve(line_of(orders[1]))
    stock.order_from_supplier(purchase)
    assert stock.receive(purchase) == [
        stock.Delivery(order.pk, line_of(order)) for order in orders
    ]
    assert on_shelf(product) == 5 + product.reorder_level
    assert set(Reservation.objects.values_list("status", flat=True)) == {"held"}


def test_line_short_after_the_order_went_out_opens_another_purchase(
    make_product: MakeProduct, make_order: MakeOrder
) -> None:
    product = make_product(0)
    first = stock.reserve(line_of(make_order((product, 6)))).opened_purchase
    assert first is not None
    stock.order_from_supplier(first)
    second = stock.reserve(line_of(make_order((product, 1)))).opened_purchase
    assert second not in {None, first}


def test_released_line_is_not_served(
    make_product: MakeProduct, make_order: MakeOrder
) -> None:
    product = make_product(0)
    line = line_of(make_order((product, 6)))
    purchase = stock.reserve(line).opened_purchase
    assert purchase is not None
    stock.order_from_supplier(purchase)
    stock.release(line)
    assert stock.receive(purchase) == []
    assert on_shelf(product) == 6 + product.reorder_level
