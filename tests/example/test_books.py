"""The proof at the demo's end: silent on a sound shop, loud on each kind of damage."""

from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal

import pytest
from django.db.models import F

from example_project.shop import payments, pricing, shipping, stock
from example_project.shop.demo.books import check_books
from example_project.shop.models import (
    Charge,
    Order,
    OrderLine,
    Product,
    Reservation,
    Shipment,
)

from .conftest import MakeOrder, MakeProduct


@pytest.fixture
def shop(
    make_product: MakeProduct,
    make_order: MakeOrder,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Order 1 was delivered, after a restock; order 2 was cancelled."""
    monkeypatch.setattr(payments, "LATENCY", (0.0, 0.0))
    monkeypatch.setattr(payments, "UNAVAILABLE", 0.0)
    monkeypatch.setattr(payments, "ANSWER_LOST", 0.0)
    plenty, short, gone = (
        make_product(100),
        make_product(1),
        make_product(0, discontinued=True),
    )
    delivered = make_order((plenty, 10), (short, 5))
    quote = pricing.price(delivered.pk)
    answers = [stock.reserve(line) for line in quote.lines]
    purchase = answers[1].opened_purchase
    assert purchase is not None
    stock.order_from_supplier(purchase)
    stock.receive(purchase)
    payments.charge("step_1", delivered.pk, quote.total)
    shipping.ship(delivered.pk)
    shipping.deliver(delivered.pk)

    cancelled = make_order((plenty, 10), (gone, 1))
    quote = pricing.price(cancelled.pk)
    assert [stock.reserve(line).status for line in quote.lines] == ["held", "sold out"]
    stock.release(quote.lines[0])
    shipping.cancel(cancelled.pk, "sold out")


def failed(orders: int = 2, value: str = "421.20") -> list[str]:
    checks = list(check_books(orders, Decimal(value)))
    assert len(checks) == 12
    return [check.name for check in checks if not check.passed]


def test_books_of_a_sound_shop(shop: None) -> None:
    assert failed() == []


def test_books_miss_an_order(shop: None) -> None:
    assert failed(orders=3) == ["orders delivered or cancelled"]


def test_books_miss_a_cent(shop: None) -> None:
    assert failed(value="421.21") == ["value of all order lines"]


def forget_units() -> None:
    Product.objects.filter(opening_stock=100).update(stock=F("stock") - 1)


def leave_units_held() -> None:
    Reservation.objects.filter(status="released").update(status="held")


def charge_twice() -> None:
    charge = Charge.objects.get()
    Charge.objects.create(
        idempotency_key="step_2", order_number=1, amount=charge.amount
    )


def charge_nothing() -> None:
    Charge.objects.all().delete()


def charge_the_cancelled_order() -> None:
    Charge.objects.create(idempotency_key="step_2", order_number=2, amount=1)


def lose_the_parcel() -> None:
    Shipment.objects.update(delivered_at=None)


def cancel_for_no_reason() -> None:
    OrderLine.objects.filter(order=2, product__discontinued=True).delete()


def forget_to_price() -> None:
    OrderLine.objects.filter(order=2).update(total=None)


def leave_an_order_open() -> None:
    Order.objects.filter(pk=2).update(status="priced")


@pytest.mark.parametrize(
    ("damage", "reported"),
    [
        (forget_units, "products whose stock balances: opening + bought - sold"),
        (leave_units_held, "cancelled orders whose reservations are all released"),
        (leave_units_held, "reservations left waiting or held"),
        (charge_twice, "delivered orders charged exactly once, their total"),
        (charge_twice, "money taken, the total of delivered orders"),
        (charge_nothing, "delivered orders charged exactly once, their total"),
        (charge_the_cancelled_order, "charges for orders that were not delivered"),
        (
            lose_the_parcel,
            "parcels of delivered orders, by the order's shipper / all",
        ),
        (cancel_for_no_reason, "cancelled orders that could not be fulfilled"),
        (forget_to_price, "value of all order lines"),
        (leave_an_order_open, "orders delivered or cancelled"),
    ],
)
def test_books_report_damage(
    shop: None, damage: Callable[[], None], reported: str
) -> None:
    damage()
    assert reported in failed()
