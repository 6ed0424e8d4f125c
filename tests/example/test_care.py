"""The shop's processes that are stored as data, from the change that starts them on."""

from __future__ import annotations

import json
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
from django.core import mail
from django.core.management import CommandError, call_command

from django_workflows import definitions
from django_workflows.testing import WorkflowTester
from example_project.shop.management.commands import load_definitions
from example_project.shop.models import Customer, Order
from example_project.shop.workflows import charge_order

from .conftest import MakeOrder, MakeProduct

pytestmark = pytest.mark.django_db


def load() -> str:
    told = StringIO()
    call_command("load_definitions", stdout=told)
    return told.getvalue()


def mails() -> list[tuple[str, str]]:
    return [(sent.to[0].partition("@")[0], str(sent.subject)) for sent in mail.outbox]


def execution(of: str) -> dict[str, Any]:
    [found] = definitions.list_executions(workflow_id=of)
    return found


def test_loading_twice_keeps_the_versions() -> None:
    assert load() == load() == "onboarding: version 1\norder-care: version 1\n"


@pytest.mark.parametrize(("has_ordered", "last"), [(False, "tips"), (True, "orders")])
def test_new_customer_is_welcomed(
    workflows: WorkflowTester, make_order: MakeOrder, has_ordered: bool, last: str
) -> None:
    load()
    customer = Customer.objects.create(id="NORTS", name="North/South")
    workflows.run_until_idle()
    assert mails() == [("norts", "Welcome, North/South")]
    if has_ordered:
        Order.objects.filter(pk=make_order().pk).update(customer=customer)
    workflows.advance("3d")
    assert execution("onboarding")["completedSteps"][-1] == last


@pytest.mark.parametrize(("units", "is_large"), [(1, False), (700, True)])
def test_order_is_looked_after(
    workflows: WorkflowTester,
    make_product: MakeProduct,
    make_order: MakeOrder,
    units: int,
    is_large: bool,
) -> None:
    load()
    workflows.mock_step(charge_order, return_value=1)
    order = make_order((make_product(stock=1000), units))
    workflows.run_until_idle()
    expected = [("alfki", f"Your order {order.pk}")]
    if is_large:
        expected.insert(0, ("sales", "A large order"))
    assert mails() == expected
    workflows.advance("14d")
    assert mails()[-1] == ("alfki", f"How was order {order.pk}?")
    assert execution("order-care")["status"] == "completed"
    order.refresh_from_db()
    assert order.status == Order.Status.DELIVERED


def test_definition_that_is_wrong_is_refused_with_all_problems(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    steps = [{"id": "a", "action": "nope", "wait": "soon"}]
    (tmp_path / "bad.json").write_text(json.dumps({"id": "bad", "steps": steps}))
    monkeypatch.setattr(load_definitions, "FOLDER", tmp_path)
    with pytest.raises(CommandError, match=r"(?s)bad\.json.*nope.*soon"):
        load()
