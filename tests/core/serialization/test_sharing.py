"""What was one object is one object again, also in cycles."""

from __future__ import annotations

from collections import OrderedDict, defaultdict, deque
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from django_workflows.core.serialization import (
    canonical,
    dumps,
    dumps_call,
    loads,
    loads_call,
    to_plain,
)
from tests.core.serialization.shapes import (
    Box,
    Colour,
    Key,
    Money,
    Node,
    Plain,
    Point,
)


@pytest.mark.parametrize(
    "shared",
    [
        [],
        {},
        {1: 2},
        {1, 2},
        frozenset(range(40)),
        ([],),
        tuple(range(40)),
        bytearray(b"x"),
        deque([1]),
        OrderedDict(a=1),
        defaultdict(list),
        Box([1]),
        Key([1]),
        Point([1], 2),
        ValueError("x"),
        ExceptionGroup("g", [ValueError("x")]),
        Money(1, "EUR"),
    ],
    ids=lambda value: type(value).__name__,
)
def test_a_shared_value_stays_one(shared: Any) -> None:
    first, second, box = loads(dumps([shared, shared, Box(shared)]))
    assert first is second is box.content
    assert type(first) is type(shared)


def test_equal_values_stay_two() -> None:
    first, second = loads(dumps([[1], [1]]))
    assert first == second
    assert first is not second


def test_a_value_shared_by_two_arguments_stays_one() -> None:
    shared = [1]
    args, kwargs = loads_call(dumps_call((shared, 3), {"x": shared}))
    assert args[0] is kwargs["x"]


def test_short_constant_tuples_are_written_as_values() -> None:
    """Which equal constants are one object is up to the compiler."""
    one = (1, "a")
    other = (*one[:1], "a")
    assert dumps([one, one]) == dumps([one, other])


def test_cycles_through_every_kind_of_container() -> None:
    items: list[Any] = []
    items.append(items)
    back = loads(dumps(items))
    assert back[0] is back

    mapping: dict[str, Any] = {}
    mapping["me"] = [mapping]
    back = loads(dumps(mapping))
    assert back["me"][0] is back

    pairs: dict[Any, Any] = {1: None}
    pairs[2] = pairs
    back = loads(dumps(pairs))
    assert back[2] is back

    queue: deque[Any] = deque()
    queue.append(queue)
    back = loads(dumps(queue))
    assert back[0] is back

    node = Node("a")
    node.links = {node}
    back = loads(dumps(node))
    assert back.links == {back}

    members: set[Any] = set()
    members.add(Node("b", members))
    back = loads(dumps(members))
    assert next(iter(back)).links is back

    error = ValueError()
    error.args = (error,)
    error.__cause__ = error
    back = loads(dumps(error))
    assert back.args[0] is back.__cause__ is back


@pytest.mark.parametrize("kind", ["tuple", "frozenset", "namedtuple", "group"])
@pytest.mark.parametrize("outside", [True, False])
def test_cycles_through_immutable_values(kind: str, outside: bool) -> None:
    node = Node("a")
    immutable: Any
    if kind == "tuple":
        immutable = (node,)
    elif kind == "frozenset":
        immutable = frozenset({node})
    elif kind == "namedtuple":
        immutable = Point(node)
    else:
        error = ValueError("x")
        error.node = node  # type: ignore[attr-defined]
        immutable = ExceptionGroup("g", [error])
    node.links = immutable
    back = loads(dumps(immutable if outside else node))
    if not outside:
        assert back.links is not None
        back = back.links
    inner = back.exceptions[0].node if kind == "group" else next(iter(back))
    assert inner.links is back
    assert type(back) is type(immutable)


def test_a_hashed_member_is_complete_before_it_is_hashed() -> None:
    key = Key("a", Key("b"))
    back = loads(dumps([key, {key: 1}, {key}, frozenset([key]), {(key,): 2}]))
    assert back[1][back[0]] == 1
    assert back[0] in back[2]
    assert next(iter(back[3])) is back[0]


def test_what_is_shared_inside_of_a_set_stays_one() -> None:
    shared = Node("s")
    first, second = Node("1", shared), Node("2", shared)
    back = loads(dumps({first, second}))
    assert len({id(node.links) for node in back}) == 1


def test_nested_sets_take_no_exponential_time() -> None:
    value: Any = frozenset([Key(1)])
    for _ in range(60):
        value = frozenset([value, Key(2)])
    assert loads(dumps(value)) == value


def test_values_made_while_encoding_are_not_taken_for_each_other() -> None:
    """Their ids may repeat, as each is dropped before the next one is made."""
    value = [Money(index, "EUR", note=[index]) for index in range(200)]
    assert loads(dumps(value)) == value


def test_a_value_dropped_by_a_lenient_encoder_is_written_where_it_comes_next() -> None:
    shared: list[Any] = [1]
    error = ValueError("x", shared)
    error.bad = [[shared], [2], Plain()]  # type: ignore[attr-defined]
    error.also_bad = {"a": (late := [3]), "b": Plain()}  # type: ignore[attr-defined]
    error.good = [shared, late, late]  # type: ignore[attr-defined]
    back = loads(dumps(error, lenient=True))
    assert not hasattr(back, "bad")
    assert not hasattr(back, "also_bad")
    assert back.good == [[1], [3], [3]]
    assert back.good[0] is back.args[1]
    assert back.good[1] is back.good[2]


@given(st.data())
def test_any_graph_comes_back_in_the_same_shape(data: st.DataObject) -> None:
    count = data.draw(st.integers(1, 6))
    nodes: list[Any] = [
        data.draw(st.sampled_from([list, dict, Node, deque, set])) for _ in range(count)
    ]
    nodes = [Node(str(i)) if kind is Node else kind() for i, kind in enumerate(nodes)]
    index = st.integers(0, count - 1)
    for source, target in data.draw(st.lists(st.tuples(index, index), max_size=12)):
        _link(nodes[source], nodes[target], data.draw(st.booleans()))
    assert _shape(loads(dumps(nodes))) == _shape(nodes)
    canonical(dumps(nodes))
    to_plain(dumps(nodes))


def _link(source: Any, target: Any, wrapped: bool) -> None:
    content = (target, Colour.RED) if wrapped else target
    if isinstance(source, dict):
        source[len(source)] = content
    elif isinstance(source, Node):
        source.links = content
    elif isinstance(source, set):
        if isinstance(target, Node):
            source.add(content)
    else:
        source.append(content)


def _shape(root: Any) -> list[Any]:
    """The graph as numbered objects, sets apart from their order."""
    numbers: dict[int, int] = {}
    described: list[Any] = []

    def number(value: Any) -> Any:
        if isinstance(value, Colour | int | str | None):
            return value
        if isinstance(value, tuple):
            return tuple(map(number, value))
        if id(value) not in numbers:
            numbers[id(value)] = len(numbers)
            place = len(described)
            described.append(None)
            kind = type(value).__name__
            if isinstance(value, set):
                members = sorted(value, key=_name)
                described[place] = (kind, [number(member) for member in members])
            elif isinstance(value, dict):
                described[place] = (kind, [number(item) for item in value.values()])
            elif isinstance(value, Node):
                described[place] = (kind, value.name, number(value.links))
            else:
                described[place] = (kind, [number(item) for item in value])
        return f"#{numbers[id(value)]}"

    number(root)
    return described


def _name(member: Any) -> str:
    return f"({member[0].name}" if isinstance(member, tuple) else str(member.name)
