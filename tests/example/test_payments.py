from __future__ import annotations

from decimal import Decimal

import pytest

from example_project.shop import payments
from example_project.shop.models import Charge, PaymentRequest

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(payments, "LATENCY", (0.0, 0.0))
    monkeypatch.setattr(payments, "UNAVAILABLE", 0.0)
    monkeypatch.setattr(payments, "ANSWER_LOST", 0.0)


def outcomes() -> list[str]:
    return list(PaymentRequest.objects.values_list("outcome", flat=True))


def test_charge_repeated_with_its_key_charges_once() -> None:
    first = payments.charge("step_1", 10248, Decimal("440.00"))
    assert payments.charge("step_1", 10248, Decimal("440.00")) == first
    assert Charge.objects.get().amount == Decimal("440.00")
    assert outcomes() == ["charged", "repeated"]


def test_charge_unavailable_takes_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(payments, "UNAVAILABLE", 1.0)
    with pytest.raises(payments.ProviderError):
        payments.charge("step_1", 10248, Decimal("440.00"))
    assert not Charge.objects.exists()


def test_charge_with_its_answer_lost_is_safe_to_repeat(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(payments, "ANSWER_LOST", 1.0)
    for _ in range(2):
        with pytest.raises(payments.ProviderError):
            payments.charge("step_1", 10248, Decimal("440.00"))
    assert Charge.objects.count() == 1


def test_charge_above_the_limit_is_declined() -> None:
    with pytest.raises(payments.CardDeclinedError, match=r"16,387\.50"):
        payments.charge("step_1", 10865, Decimal("16387.50"))
    assert outcomes() == ["declined"]
