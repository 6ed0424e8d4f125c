"""The shop's workflows, run by the testing kit: no cluster, no waiting."""

from __future__ import annotations

from decimal import Decimal
from types import SimpleNamespace
from unittest.mock import call

import pytest

from django_workflows.models import Event, Run
from django_workflows.testing import WorkflowTester
from example_project.shop import payments
from example_project.shop.models import (
    Charge,
    Order,
    PaymentRequest,
    Product,
    Purchase,
    Reservation,
    Shipment,
)
from example_project.shop.workflows import (
    DAY,
    LEAD_TIMES,
    buy_stock,
    charge_order,
    fulfil_order,
    release_line,
    ship_order,
)

from .conftest import MakeOrder, MakeProduct

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def reliable_provider(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(payments, "LATENCY", (0.0, 0.0))
    monkeypatch.setattr(payments, "UNAVAILABLE", 0.0)
    monkeypatch.setattr(payments, "ANSWER_LOST", 0.0)


def on_shelf(product: Product) -> int:
    return Product.objects.get(pk=product.pk).stock


def reservations_of(order: Order) -> list[str]:
    rows = Reservation.objects.filter(line__order=order)
    return list(rows.values_list("status", flat=True))


def run_of(order: Order, workflows: WorkflowTester) -> Run:
    run = workflows.start(fulfil_order, order.pk)
    workflows.run_until_idle()
    return run


# --- what ends well -----------------------------------------------------------------


def test_order_in_stock_is_delivered(
    workflows: WorkflowTester, make_product: MakeProduct, make_order: MakeOrder
) -> None:
    chai, chang = make_product(20), make_product(5)
    order = make_order((chai, 10), (chang, 5))
    assert workflows.run(fulfil_order, order.pk) == "delivered"
    order.refresh_from_db()
    assert order.status == Order.Status.DELIVERED
    assert order.total == Decimal("243.00")  # 15 units of 18.00, less a tenth
    assert (on_shelf(chai), on_shelf(chang)) == (10, 0)
    assert reservations_of(order) == ["shipped", "shipped"]
    assert Charge.objects.get().amount == Decimal("243.00")
    assert Shipment.objects.get().delivered_at is not None


def test_order_on_its_way_waits_for_the_delivery(
    workflows: WorkflowTester, make_product: MakeProduct, make_order: MakeOrder
) -> None:
    order = make_order((make_product(20), 1))
    run = run_of(order, workflows)
    order.refresh_from_db()
    run.refresh_from_db()
    assert (order.status, run.is_closed) == (Order.Status.SHIPPED, False)
    workflows.advance(3 * DAY)
    assert run.result() == "delivered"


def test_log_begins_at_one_without_gaps(
    workflows: WorkflowTester, make_product: MakeProduct, make_order: MakeOrder
) -> None:
    run = run_of(make_order((make_product(20), 1)), workflows)
    workflows.advance(3 * DAY)
    run.refresh_from_db()
    numbers = [event.seq for event in run.history()]
    assert numbers == list(range(1, run.last_seq + 1))
    workflows.assert_replays(run)


# --- short stock --------------------------------------------------------------------


def test_short_stock_waits_for_a_restock(
    workflows: WorkflowTester, make_product: MakeProduct, make_order: MakeOrder
) -> None:
    product = make_product(4)
    order = make_order((product, 10))
    run = run_of(order, workflows)
    assert reservations_of(order) == ["waiting"]
    workflows.advance(10 * DAY)
    assert run.result() == "delivered"
    purchase = Purchase.objects.get()
    assert (purchase.status, purchase.quantity) == (Purchase.Status.RECEIVED, 20)
    assert on_shelf(product) == 4 + 20 - 10


def test_short_orders_share_one_purchase(
    workflows: WorkflowTester, make_product: MakeProduct, make_order: MakeOrder
) -> None:
    product = make_product(0)
    orders = [make_order((product, units)) for units in (7, 8, 9)]
    runs = [workflows.start(fulfil_order, order.pk) for order in orders]
    workflows.run_until_idle()
    assert Run.objects.for_workflow(buy_stock).count() == 1
    workflows.advance(10 * DAY)
    assert [run.result() for run in runs] == ["delivered"] * 3
    assert Run.objects.for_workflow(buy_stock).get().result() == 3
    assert on_shelf(product) == 10


def test_order_with_two_short_lines_waits_for_both(
    workflows: WorkflowTester, make_product: MakeProduct, make_order: MakeOrder
) -> None:
    order = make_order((make_product(0), 1), (make_product(0), 2))
    slow, quick = order.lines.all()
    run = run_of(order, workflows)
    supplier = slow.product.supplier
    days = LEAD_TIMES[supplier.pk % len(LEAD_TIMES)]
    workflows.advance((0.5 + days) * DAY - 0.1)
    assert not Charge.objects.exists()
    workflows.advance(10 * DAY)
    assert run.result() == "delivered"
    assert quick.product_id != slow.product_id
    assert Run.objects.for_workflow(buy_stock).count() == 2


# --- what cannot be fulfilled -------------------------------------------------------


def test_discontinued_product_cancels_and_gives_back(
    workflows: WorkflowTester, make_product: MakeProduct, make_order: MakeOrder
) -> None:
    plenty, gone = make_product(20), make_product(3, discontinued=True)
    order = make_order((plenty, 10), (gone, 5))
    assert workflows.run(fulfil_order, order.pk) == "cancelled"
    order.refresh_from_db()
    assert order.status == Order.Status.CANCELLED
    assert order.reason == "a discontinued product is sold out"
    assert (on_shelf(plenty), on_shelf(gone)) == (20, 3)
    assert reservations_of(order) == ["released"]
    assert not PaymentRequest.objects.exists()


def test_discontinued_product_leaves_the_purchase_to_others(
    workflows: WorkflowTester, make_product: MakeProduct, make_order: MakeOrder
) -> None:
    short, gone = make_product(0), make_product(0, discontinued=True)
    cancelled = make_order((short, 5), (gone, 1))
    waiting = make_order((short, 2))
    runs = [workflows.start(fulfil_order, o.pk) for o in (cancelled, waiting)]
    workflows.run_until_idle()
    workflows.advance(10 * DAY)
    assert [run.result() for run in runs] == ["cancelled", "delivered"]
    assert on_shelf(short) == 10


def test_declined_card_gives_back_in_reverse_order(
    workflows: WorkflowTester, make_product: MakeProduct, make_order: MakeOrder
) -> None:
    first, second = make_product(1000), make_product(1000)
    order = make_order((first, 400), (second, 500))
    lines = [line.pk for line in order.lines.all()]
    release = workflows.mock_step(release_line, side_effect=release_line.func)
    assert workflows.run(fulfil_order, order.pk) == "cancelled"
    assert release.call_args_list == [call(lines[1]), call(lines[0])]
    order.refresh_from_db()
    assert order.reason == "the card does not allow 14,580.00"
    assert (on_shelf(first), on_shelf(second)) == (1000, 1000)
    assert not Charge.objects.exists()
    assert PaymentRequest.objects.count() == 1  # asking again would be no use


# --- a provider as they are ---------------------------------------------------------


def test_payment_is_retried_with_one_key(
    workflows: WorkflowTester,
    make_product: MakeProduct,
    make_order: MakeOrder,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    fails, works = 0.0, 0.9
    fates = iter([fails, works, fails, works, works])
    dice = SimpleNamespace(random=lambda: next(fates), uniform=lambda low, high: low)
    monkeypatch.setattr(payments, "random", dice)
    monkeypatch.setattr(payments, "UNAVAILABLE", 0.5)
    monkeypatch.setattr(payments, "ANSWER_LOST", 0.5)
    order = make_order((make_product(20), 1))
    assert workflows.run(fulfil_order, order.pk) == "delivered"
    assert list(PaymentRequest.objects.values_list("outcome", flat=True)) == [
        "unavailable",
        "answer lost",
        "repeated",
    ]
    assert PaymentRequest.objects.values("idempotency_key").distinct().count() == 1
    assert Charge.objects.count() == 1


def test_payment_is_not_retried_before_its_time(
    workflows: WorkflowTester, make_product: MakeProduct, make_order: MakeOrder
) -> None:
    down = payments.ProviderError("503")
    charge = workflows.mock_step(charge_order, side_effect=[down, down, 1])
    run = run_of(make_order((make_product(20), 1)), workflows)
    assert charge.call_count == 1
    workflows.advance("200ms")
    assert charge.call_count == 2
    workflows.advance("300ms")
    assert charge.call_count == 2
    workflows.advance(5 * DAY)
    assert charge.call_count == 3
    assert run.result() == "delivered"


# --- crashes ------------------------------------------------------------------------


def test_crash_while_waiting_changes_nothing(
    workflows: WorkflowTester, make_product: MakeProduct, make_order: MakeOrder
) -> None:
    product = make_product(4)
    run = run_of(make_order((product, 10)), workflows)
    for _ in range(12):
        workflows.crash()
        workflows.advance(DAY / 2)
    workflows.advance(5 * DAY)
    assert run.result() == "delivered"
    assert on_shelf(product) == 14
    assert Charge.objects.count() == Purchase.objects.count() == 1
    workflows.assert_replays(run)


def test_crash_in_the_middle_leaves_the_log_whole(
    workflows: WorkflowTester, make_product: MakeProduct, make_order: MakeOrder
) -> None:
    run = run_of(make_order((make_product(20), 1)), workflows)
    before = Event.objects.filter(run=run, seq__isnull=False).count()
    workflows.crash()
    workflows.run_until_idle()
    run.refresh_from_db()
    assert run.last_seq == before
    workflows.advance(3 * DAY)
    assert run.result() == "delivered"


def test_crash_after_the_money_was_taken_does_not_take_it_twice(
    workflows: WorkflowTester, make_product: MakeProduct, make_order: MakeOrder
) -> None:
    workflows.mock_step(ship_order, side_effect=KeyboardInterrupt)
    order = make_order((make_product(20), 1))
    workflows.start(fulfil_order, order.pk)
    with pytest.raises(KeyboardInterrupt):
        workflows.run_until_idle()
    workflows.crash()
    workflows.mock_step(ship_order, return_value=1)
    workflows.run_until_idle()
    workflows.advance(DAY)
    assert Charge.objects.count() == PaymentRequest.objects.count() == 1
    assert Run.objects.for_workflow(fulfil_order).get().result() == "delivered"
