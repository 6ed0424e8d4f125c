"""The form for comparing."""

from __future__ import annotations

from collections import Counter, OrderedDict
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from django_workflows.core.serialization import canonical, dumps, dumps_call
from tests.core.serialization.shapes import Box, Key, Node


def _reversed(value: Any) -> Any:
    """The same value with every dict built backwards."""
    if isinstance(value, dict):
        return {key: _reversed(value[key]) for key in reversed(value)}
    if isinstance(value, list):
        return [_reversed(item) for item in value]
    if isinstance(value, tuple):
        return tuple(_reversed(item) for item in value)
    return value


trees = st.recursive(
    st.integers() | st.text(max_size=3) | st.none(),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.tuples(inner)
        | st.dictionaries(st.text(max_size=3), inner, max_size=4)
        | st.dictionaries(st.integers() | st.text(max_size=3), inner, max_size=4)
    ),
)


@given(trees)
def test_the_order_of_dict_items_does_not_count(value: Any) -> None:
    assert canonical(dumps(value)) == canonical(dumps(_reversed(value)))


@given(trees, trees)
def test_different_values_stay_different(first: Any, second: Any) -> None:
    same = canonical(dumps(first)) == canonical(dumps(second))
    assert same == (first == second and _types(first) == _types(second))


def _types(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _types(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [type(value), *map(_types, value)]
    return type(value)


@pytest.mark.parametrize(
    ("first", "second"),
    [
        ({"a": 1, "b": {"c": 2, "d": 3}}, {"b": {"d": 3, "c": 2}, "a": 1}),
        ({1: "a", None: "b"}, {None: "b", 1: "a"}),
        (Counter("ab"), Counter("ba")),
        (Box({"a": 1, "b": 2}), Box({"b": 2, "a": 1})),
        ({Key(1, (1,)): 1, Key(2): 2}, {Key(2): 2, Key(1, (1,)): 1}),
    ],
)
def test_order_that_means_nothing_is_gone(first: Any, second: Any) -> None:
    assert canonical(dumps(first)) == canonical(dumps(second))
    assert canonical(dumps_call((first,), {})) == canonical(dumps_call((second,), {}))


def test_order_that_means_something_stays() -> None:
    for first, second in [
        ([1, 2], [2, 1]),
        (OrderedDict(a=1, b=2), OrderedDict(b=2, a=1)),
        ((1, 2), [1, 2]),
        (1, 1.0),
        ({"a": 1}, OrderedDict(a=1)),
    ]:
        assert canonical(dumps(first)) != canonical(dumps(second))


def test_keyword_arguments_may_come_in_any_order() -> None:
    assert canonical(dumps_call((), {"a": 1, "b": 2})) == canonical(
        dumps_call((), {"b": 2, "a": 1})
    )


def test_shared_values_are_numbered_in_the_new_order() -> None:
    one, two = [1], [2]
    first = {"a": one, "b": one, "c": two, "d": two}
    second = {"d": two, "c": two, "b": one, "a": one}
    assert canonical(dumps(first)) == canonical(dumps(second))
    unshared = {"a": [1], "b": [1], "c": [2], "d": [2]}
    assert canonical(dumps(first)) != canonical(dumps(unshared))


def test_cycles_come_to_an_end() -> None:
    node = Node("a")
    node.links = {node, frozenset([node])}
    assert canonical(dumps(node)) == canonical(dumps(node))


def test_data_without_dicts_are_taken_as_they_are() -> None:
    data = dumps_call((3, "x", [1.5]), {})
    assert canonical(data) is data


def test_cycles_through_tuples_come_to_an_end() -> None:
    node = Node("a")
    node.links = ({"x": 1, "y": 2}, node)
    other = Node("a")
    other.links = ({"y": 2, "x": 1}, other)
    assert canonical(dumps(node.links)) == canonical(dumps(other.links))
    assert canonical(dumps(node.links)) != canonical(dumps(node))
