"""What operators do with data, and no more than data: nothing of it is called."""

from __future__ import annotations

import operator
from collections.abc import Callable, Mapping
from datetime import date, datetime, time, timedelta
from decimal import Decimal, DecimalException
from enum import Enum
from fractions import Fraction
from typing import Any
from uuid import UUID

from django_workflows.core.expressions.errors import ExpressionError

#: Bits of a whole number, characters or items of what an operator makes.
MOST_BITS = 4096
MOST_ITEMS = 100_000

_NUMBERS = (int, float, Decimal, Fraction)
_SCALARS = (*_NUMBERS, str, bytes, bool, type(None), UUID)
_TIMES = (date, datetime, time, timedelta)
_COLLECTIONS = (list, tuple, dict, set, frozenset)
_COMPARABLE = frozenset((*_SCALARS, *_TIMES, *_COLLECTIONS))


def plain(value: Any) -> Any:
    """The value to work with: of members of an enum, theirs."""
    return plain(value.value) if isinstance(value, Enum) else value


def is_true(value: Any) -> bool:
    """As Python sees it: null, 0, false and what is empty are not."""
    value = plain(value)
    return bool(value) if type(value) in _COMPARABLE else True


def describe(value: Any) -> str:
    """What a value is called in a message."""
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, Mapping):
        return "an object"
    return {
        int: "a number",
        float: "a number",
        str: "a text",
        list: "a list",
        tuple: "a list",
    }.get(type(value), type(value).__name__)


def is_number(value: Any) -> bool:
    return type(value) in _NUMBERS


def _equal(left: Any, right: Any) -> bool:
    left, right = plain(left), plain(right)
    if type(left) not in _COMPARABLE or type(right) not in _COMPARABLE:
        return left is right
    return bool(left == right)


def _identical(left: Any, right: Any) -> bool:
    """JavaScript's ===: true is not 1."""
    left, right = plain(left), plain(right)
    return isinstance(left, bool) == isinstance(right, bool) and _equal(left, right)


def _contains(container: Any, item: Any) -> bool:
    """`item in container`: of a list's items, an object's keys, or within a text."""
    container, item = plain(container), plain(item)
    if type(container) is str:
        if type(item) is not str:
            raise ExpressionError(f"{describe(item)} cannot be in a text")
        return item in container
    if isinstance(container, Mapping):
        return type(item) in _SCALARS and item in container
    if type(container) in (list, tuple, set, frozenset):
        return any(_equal(item, each) for each in container)
    raise ExpressionError(f"nothing can be in {describe(container)}")


def _ordering(symbol: str, compare: Callable[[Any, Any], Any]) -> Callable[..., bool]:
    def ordered(left: Any, right: Any) -> bool:
        left, right = plain(left), plain(right)
        kinds = type(left), type(right)
        both_numbers = all(is_number(value) for value in (left, right))
        if not both_numbers and (kinds[0] is not kinds[1] or kinds[0] not in _ORDERED):
            raise _impossible(symbol, left, right)
        try:
            return bool(compare(left, right))
        except (
            ArithmeticError,
            TypeError,
        ):  # NaN of Decimal, times with and without zone
            raise _impossible(symbol, left, right) from None

    return ordered


_ORDERED = frozenset((str, bytes, *_TIMES))


def _impossible(symbol: str, left: Any, right: Any) -> ExpressionError:
    return ExpressionError(
        f"{describe(left)} {symbol} {describe(right)} is not possible"
    )


COMPARISONS: dict[str, Callable[[Any, Any], bool]] = {
    "==": _equal,
    "!=": lambda left, right: not _equal(left, right),
    "===": _identical,
    "!==": lambda left, right: not _identical(left, right),
    "in": lambda item, container: _contains(container, item),
    "not in": lambda item, container: not _contains(container, item),
    "<": _ordering("<", operator.lt),
    "<=": _ordering("<=", operator.le),
    ">": _ordering(">", operator.gt),
    ">=": _ordering(">=", operator.ge),
}


def _arithmetic(symbol: str, compute: Callable[[Any, Any], Any]) -> Callable[..., Any]:
    def computed(left: Any, right: Any) -> Any:
        left, right = _alike(plain(left), plain(right))
        if not _fit(symbol, left, right):
            raise _impossible(symbol, left, right)
        if symbol == "**":
            _check_power(left, right)
        try:
            result = compute(left, right)
        except ZeroDivisionError:
            raise ExpressionError("division by zero") from None
        except (ArithmeticError, DecimalException, TypeError, ValueError):
            raise _impossible(symbol, left, right) from None
        return _bounded(symbol, left, right, result)

    return computed


def _alike(left: Any, right: Any) -> tuple[Any, Any]:
    """Beside a Decimal a float is meant as it is written."""
    if isinstance(left, Decimal) and isinstance(right, float):
        return left, Decimal(repr(right))
    if isinstance(left, float) and isinstance(right, Decimal):
        return Decimal(repr(left)), right
    return left, right


def _fit(symbol: str, left: Any, right: Any) -> bool:
    if is_number(left) and is_number(right):
        return True
    if symbol == "+" and type(left) is type(right) and type(left) in (str, list):
        if len(left) + len(right) > MOST_ITEMS:
            raise ExpressionError(f"longer than {MOST_ITEMS}")
        return True
    return symbol in "+-" and type(left) in _TIMES and type(right) in _TIMES


def _bounded(symbol: str, left: Any, right: Any, result: Any) -> Any:
    if isinstance(result, complex):
        raise _impossible(symbol, left, right)
    if isinstance(result, int) and result.bit_length() > MOST_BITS:
        raise ExpressionError("the number is too large")
    if isinstance(result, Fraction):
        _bounded(symbol, left, right, result.numerator)
        _bounded(symbol, left, right, result.denominator)
    return result


def _check_power(base: Any, exponent: Any) -> None:
    """What is too large is not computed first."""
    if isinstance(base, int | Fraction) and isinstance(exponent, int | Fraction):
        bits = max(int(base.numerator).bit_length(), base.denominator.bit_length())
        times = abs(int(exponent.numerator)) // exponent.denominator
        if times * bits > 2 * MOST_BITS:
            raise ExpressionError("the number is too large")


ARITHMETIC: dict[str, Callable[[Any, Any], Any]] = {
    "+": _arithmetic("+", operator.add),
    "-": _arithmetic("-", operator.sub),
    "*": _arithmetic("*", operator.mul),
    "/": _arithmetic("/", operator.truediv),
    "//": _arithmetic("//", operator.floordiv),
    "%": _arithmetic("%", operator.mod),
    "**": _arithmetic("**", operator.pow),
}


def negative(value: Any) -> Any:
    value = plain(value)
    if not (is_number(value) or type(value) is timedelta):
        raise ExpressionError(f"-{describe(value)} is not possible")
    return -value


def positive(value: Any) -> Any:
    value = plain(value)
    if not is_number(value):
        raise ExpressionError(f"+{describe(value)} is not possible")
    return value
