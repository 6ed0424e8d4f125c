from __future__ import annotations

import re
from dataclasses import FrozenInstanceError
from random import Random
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from django_workflows.core.retry import RetryPolicy
from django_workflows.core.serialization import dumps, loads
from django_workflows.errors import (
    FatalError,
    ModelGoneError,
    PayloadTooLargeError,
    RetryableError,
    SerializationError,
    StepError,
)


class Declined(ValueError):
    pass


def _delays(policy: RetryPolicy, count: int) -> list[float]:
    return [policy.delay(attempt, Random(1)) for attempt in range(1, count + 1)]


def test_a_bare_policy_has_the_documented_defaults() -> None:
    policy = RetryPolicy()
    assert policy.initial_interval == "1s"
    assert policy.backoff_coefficient == 2.0
    assert policy.maximum_interval is None
    assert policy.maximum_attempts == 0
    assert policy.non_retryable_errors == ()
    assert policy.jitter == 0.0


def test_the_waits_grow_up_to_the_maximum() -> None:
    assert _delays(RetryPolicy(), 9) == [1, 2, 4, 8, 16, 32, 64, 100, 100]
    policy = RetryPolicy("10s", 3, maximum_interval="1m")
    assert _delays(policy, 4) == [10, 30, 60, 60]
    assert _delays(RetryPolicy(5, 1), 3) == [5, 5, 5]
    assert _delays(RetryPolicy(0), 3) == [0, 0, 0]


def test_a_maximum_below_the_first_interval_is_refused() -> None:
    with pytest.raises(ValueError, match="maximum_interval '2s' is less than"):
        RetryPolicy("10s", maximum_interval="2s")


def test_a_single_attempt_needs_no_sensible_waits() -> None:
    policy = RetryPolicy(
        initial_interval=-1,
        backoff_coefficient=0,
        maximum_interval="never",
        jitter=7,
        maximum_attempts=1,
    )
    assert not policy.allows(1)


def test_very_many_attempts_wait_the_maximum() -> None:
    assert RetryPolicy().delay(100_000, Random(1)) == 100


@given(st.floats(0, 1), st.integers(1, 50), st.integers())
def test_jitter_stays_within_its_part(jitter: float, attempt: int, seed: int) -> None:
    plain = RetryPolicy().delay(attempt, Random(seed))
    delay = RetryPolicy(jitter=jitter).delay(attempt, Random(seed))
    assert plain * (1 - jitter) - 1e-9 <= delay <= min(plain * (1 + jitter), 100)
    assert delay == RetryPolicy(jitter=jitter).delay(attempt, Random(seed))


def test_attempts_are_counted_from_the_first() -> None:
    policy = RetryPolicy(maximum_attempts=3)
    assert [policy.allows(made) for made in (1, 2, 3, 4)] == [True, True, False, False]
    assert RetryPolicy().allows(10**6)
    assert not RetryPolicy(maximum_attempts=1).allows(1)


@pytest.mark.parametrize(
    "refused",
    [
        ValueError,
        Declined,
        "Declined",
        "ValueError",
        "builtins.ValueError",
        f"{__name__}.Declined",
        Exception,
    ],
)
def test_listed_errors_are_not_retried(refused: Any) -> None:
    policy = RetryPolicy(non_retryable_errors=[refused])  # type: ignore[arg-type]
    assert not policy.is_retryable(Declined())


def test_other_errors_are_retried() -> None:
    policy = RetryPolicy(non_retryable_errors=(KeyError, "Declined", "x.ValueError"))
    assert policy.is_retryable(ValueError())
    assert policy.is_retryable(RetryableError("m"))
    assert RetryPolicy().is_retryable(Declined())


def test_some_errors_are_never_retried() -> None:
    for error in (
        FatalError("m"),
        SerializationError("m"),
        PayloadTooLargeError("m"),
        ModelGoneError("m"),
    ):
        assert not RetryPolicy().is_retryable(error)


def test_the_stand_in_of_an_error_goes_by_its_original_name() -> None:
    error = StepError("m", type_name="shop.errors.Declined")
    assert not RetryPolicy(non_retryable_errors=("Declined",)).is_retryable(error)
    dotted = RetryPolicy(non_retryable_errors=("shop.errors.Declined",))
    assert not dotted.is_retryable(error)
    assert RetryPolicy(non_retryable_errors=("Other",)).is_retryable(error)


@pytest.mark.parametrize(
    "options",
    [
        {"initial_interval": "soon"},
        {"initial_interval": -1},
        {"maximum_interval": "never"},
        {"backoff_coefficient": 0.5},
        {"backoff_coefficient": float("nan")},
        {"backoff_coefficient": float("inf")},
        {"maximum_attempts": -1},
        {"maximum_attempts": 2.5},
        {"maximum_attempts": True},
        {"jitter": 1.5},
        {"jitter": -0.1},
        {"jitter": float("nan")},
    ],
)
def test_numbers_that_make_no_sense_are_refused(options: dict[str, Any]) -> None:
    (value,) = options.values()
    with pytest.raises(ValueError, match=re.escape(repr(value))):
        RetryPolicy(**options)


@pytest.mark.parametrize("errors", ["ValueError", ValueError, [int], [3], [None]])
def test_what_names_no_errors_is_refused(errors: Any) -> None:
    with pytest.raises(TypeError):
        RetryPolicy(non_retryable_errors=errors)


def test_a_policy_is_a_value() -> None:
    policy = RetryPolicy("2s", non_retryable_errors=("X",))
    assert policy == RetryPolicy("2s", non_retryable_errors=("X",))
    assert hash(policy) == hash(RetryPolicy("2s", non_retryable_errors=("X",)))
    assert loads(dumps(policy)) == policy
    with pytest.raises(FrozenInstanceError):
        policy.jitter = 1  # type: ignore[misc]
