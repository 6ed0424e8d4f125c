"""When a failed step runs again, and after how long."""

from __future__ import annotations

import random as random_module
from dataclasses import dataclass
from typing import Any

from django_workflows.core.durations import Duration, to_seconds
from django_workflows.errors import (
    FatalError,
    ModelGoneError,
    SerializationError,
    StepError,
)

_NEVER_RETRIED = (FatalError, ModelGoneError, SerializationError)


@dataclass(frozen=True)
class RetryPolicy:
    """How often a failing step is tried, and how long to wait in between.

    Raises ``ValueError`` when made with numbers that make no sense (with a single
    attempt those of the waits do not matter), ``TypeError`` for a
    ``non_retryable_errors`` that holds no exception classes or names.
    """

    initial_interval: Duration = "1s"
    """Wait before the second attempt."""
    backoff_coefficient: float = 2.0
    """Each wait is this many times the one before it; at least 1."""
    maximum_interval: Duration | None = None
    """Longest wait, not less than the initial one; ``None`` means 100 times that."""
    maximum_attempts: int = 0
    """Attempts in all, the first included; 0 means without limit."""
    non_retryable_errors: tuple[type[BaseException] | str, ...] = ()
    """Exception classes, or their names, dotted or bare, that end the attempts."""
    jitter: float = 0.0
    """Each wait varies at random by this part of itself, up or down; 0 to 1."""

    def __post_init__(self) -> None:
        if type(self.maximum_attempts) is not int or self.maximum_attempts < 0:
            raise ValueError(
                "maximum_attempts must be a whole number, 0 for no limit: "
                f"{self.maximum_attempts!r}"
            )
        if self.maximum_attempts != 1:  # else there is nothing to wait for
            self._check_waits()
        given: Any = self.non_retryable_errors
        if isinstance(given, str | type):
            raise TypeError("non_retryable_errors takes a list or tuple")
        errors = tuple(given)
        for error in errors:
            is_class = isinstance(error, type) and issubclass(error, BaseException)
            if not is_class and not isinstance(error, str):
                raise TypeError(
                    "non_retryable_errors takes exception classes and their names, "
                    f"not {error!r}"
                )
        object.__setattr__(self, "non_retryable_errors", errors)

    def _check_waits(self) -> None:
        initial = to_seconds(self.initial_interval)
        longest = self.maximum_interval
        if longest is not None and to_seconds(longest) < initial:
            raise ValueError(
                f"maximum_interval {longest!r} is less than "
                f"initial_interval {self.initial_interval!r}"
            )
        if not 1 <= self.backoff_coefficient < float("inf"):
            raise ValueError(
                f"backoff_coefficient must be at least 1: {self.backoff_coefficient!r}"
            )
        if not 0 <= self.jitter <= 1:
            raise ValueError(f"jitter must be between 0 and 1: {self.jitter!r}")

    def allows(self, attempts_made: int) -> bool:
        """Whether another attempt may follow after ``attempts_made`` of them."""
        return not self.maximum_attempts or attempts_made < self.maximum_attempts

    def delay(self, attempts_made: int, random: random_module.Random) -> float:
        """Seconds to wait after the attempt number ``attempts_made`` has failed."""
        initial = to_seconds(self.initial_interval)
        longest = (
            100 * initial
            if self.maximum_interval is None
            else to_seconds(self.maximum_interval)
        )
        try:
            delay = initial * self.backoff_coefficient ** max(attempts_made - 1, 0)
        except OverflowError:
            delay = longest
        if self.jitter:
            delay = min(delay, longest) * (
                1 + random.uniform(-self.jitter, self.jitter)
            )
        return min(delay, longest)

    def is_retryable(self, error: BaseException) -> bool:
        """Whether ``error`` may be followed by another attempt at all."""
        if isinstance(error, _NEVER_RETRIED):
            return False
        names: set[str] | None = None
        for refused in self.non_retryable_errors:
            if isinstance(refused, type):
                if isinstance(error, refused):
                    return False
            else:
                names = names if names is not None else _names_of(error)
                if refused in names:
                    return False
        return True


def _names_of(error: BaseException) -> set[str]:
    names = set()
    for cls in type(error).__mro__[:-1]:
        names |= {
            cls.__name__,
            cls.__qualname__,
            f"{cls.__module__}.{cls.__qualname__}",
        }
    if isinstance(error, StepError) and error.type_name:
        names |= {error.type_name, error.type_name.rpartition(".")[2]}
    return names
