"""What is accepted at all can also be read again, with a deep stack below."""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any

import pytest

from django_workflows.core.serialization import canonical, dumps, loads, to_plain
from django_workflows.core.serialization.encode import MAX_DEPTH
from django_workflows.errors import SerializationError
from tests.core.serialization.shapes import Box, Key, Money, Point, describe

WRAPS: list[Callable[[Any], Any]] = [
    lambda value: [value],
    lambda value: (value, []),
    lambda value: {"a": value},
    lambda value: {1: value},
    lambda value: Box(value),
    lambda value: Point(value),
    lambda value: frozenset([value]),
    lambda value: Key(value),
    lambda value: ValueError(value),
    lambda value: ExceptionGroup("g", [ValueError(value)]),
    lambda value: Money(1, "EUR", value),
]


def _deepest(wrap: Callable[[Any], Any], shared: list[Any] | None) -> Any:
    value: Any = "x"
    for _ in range(MAX_DEPTH):
        outer = wrap(value)
        try:
            dumps(outer)
        except SerializationError:
            return value
        if shared is not None:
            shared.append(outer)
        value = outer
    raise AssertionError("there is no limit")


def _below(frames: int, function: Callable[[], Any]) -> Any:
    return function() if frames == 0 else _below(frames - 1, function)


@pytest.mark.parametrize("wrap", WRAPS)
def test_the_deepest_value_can_be_read(wrap: Callable[[Any], Any]) -> None:
    value = _deepest(wrap, None)
    data = dumps(value)

    def all_ways() -> None:
        assert dumps(value) == data
        loads(data)
        canonical(data)
        to_plain(data)

    _below(200, all_ways)


@pytest.mark.parametrize("wrap", WRAPS)
def test_the_deepest_value_can_be_read_with_every_level_shared(
    wrap: Callable[[Any], Any],
) -> None:
    shared: list[Any] = []
    _deepest(wrap, shared)
    # Two levels fewer, for the list around them.
    data = dumps(shared[-3::-1])

    def all_ways() -> None:
        assert describe(loads(data)[0]) is not None
        canonical(data)
        to_plain(data)

    _below(100, all_ways)


def test_a_hundred_levels_are_accepted() -> None:
    value: Any = {"leaf": 1}
    for _ in range(100):
        value = [{"a": value}] if _ < 50 else [value]
    assert loads(dumps(value)) == value


def test_a_stack_that_is_nearly_full_is_told_as_depth() -> None:
    value = _deepest(WRAPS[0], None)

    def dive(frames: int) -> None:
        _below(frames, lambda: dumps(value))

    with pytest.raises(SerializationError, match="nested too deeply"):
        dive(sys.getrecursionlimit() - 300)
