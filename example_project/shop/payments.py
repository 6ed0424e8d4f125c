"""A payment provider as they are: slow, at times unavailable, and at times worse.

A request may fail before anything happened, or after the money was taken, and the
caller cannot tell which. What makes it safe to ask again is the idempotency key: the
provider charges once per key and answers every repetition with the first charge.
"""

from __future__ import annotations

import random
import time
from decimal import Decimal

from .models import Charge, PaymentRequest

#: The largest amount that a customer's card allows.
CARD_LIMIT = Decimal(10_000)

#: How often a request fails before the provider did anything, and after it charged.
UNAVAILABLE = 0.2
ANSWER_LOST = 0.1

#: Seconds that the provider takes to answer, at least and at most.
LATENCY = (0.02, 0.10)

_Outcome = PaymentRequest.Outcome


class CardDeclinedError(Exception):
    """The customer's card does not allow the amount; asking again is no use."""


class ProviderError(Exception):
    """No answer, or none that says whether the money was taken: ask again."""


def charge(idempotency_key: str, order_number: int, amount: Decimal) -> int:
    """Take `amount` for an order; return the number of the charge.

    Raises `CardDeclinedError`, or `ProviderError` when the provider fails.
    """
    time.sleep(random.uniform(*LATENCY))
    if amount > CARD_LIMIT:
        _note(idempotency_key, _Outcome.DECLINED)
        raise CardDeclinedError(f"the card does not allow {amount:,}")
    if random.random() < UNAVAILABLE:
        _note(idempotency_key, _Outcome.UNAVAILABLE)
        raise ProviderError("503 the payment provider is unavailable")
    booked, created = Charge.objects.get_or_create(
        idempotency_key=idempotency_key,
        defaults={"order_number": order_number, "amount": amount},
    )
    if random.random() < ANSWER_LOST:
        _note(idempotency_key, _Outcome.ANSWER_LOST)
        raise ProviderError("the connection broke before the answer came")
    _note(idempotency_key, _Outcome.CHARGED if created else _Outcome.REPEATED)
    return booked.pk


def _note(idempotency_key: str, outcome: PaymentRequest.Outcome) -> None:
    PaymentRequest.objects.create(idempotency_key=idempotency_key, outcome=outcome)
