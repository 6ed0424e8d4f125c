"""Values as people and the HTTP API see them."""

from __future__ import annotations

import json
import math
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from fractions import Fraction
from typing import Any
from uuid import UUID
from zoneinfo import ZoneInfo

import pytest

from django_workflows.core.serialization import dumps, dumps_call, to_plain
from django_workflows.errors import SerializationError
from tests.core.serialization.shapes import (
    Address,
    Box,
    Colour,
    Money,
    Node,
    Point,
    Right,
)


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        ({"a": [1, 2.5, None, True, "x"]}, {"a": [1, 2.5, None, True, "x"]}),
        ({"$": 1}, {"$": 1}),
        (b"\x00", {"data": "AA==", "encoding": "base64"}),
        (Decimal("1.10"), "1.10"),
        (math.nan, "NaN"),
        ([math.inf, -math.inf], ["Infinity", "-Infinity"]),
        (date(2024, 1, 2), "2024-01-02"),
        (datetime(2024, 1, 2, tzinfo=UTC), "2024-01-02T00:00:00+00:00"),
        (
            datetime(2024, 1, 2, tzinfo=ZoneInfo("Europe/Berlin")),
            "2024-01-02T00:00:00+01:00",
        ),
        (timedelta(days=1, seconds=1.5), "PT86401.5S"),
        (timedelta(days=12345, microseconds=-1), "PT1066607999.999999S"),
        (timedelta(microseconds=-10), "-PT0.00001S"),
        ({3, 1}, [1, 3]),
        ((1, (2,)), [1, [2]]),
        ({1: "a", (1, 2): "b", None: "c"}, {"1": "a", "(1, 2)": "b", "None": "c"}),
        (UUID(int=1), "00000000-0000-0000-0000-000000000001"),
        (Colour.RED, "r"),
        (Right.READ | Right.OWN, 5),
        (Box([1]), {"content": [1], "label": "box", "lid": []}),
        (Address(street="S"), {"street": "S", "number": None}),
        (Point(1, {2}), {"x": 1, "y": [2]}),
        (Money(1, "EUR"), {"amount": 1, "in": ["EUR", None]}),
        (Fraction(1, 3), "1/3"),
        (-(1 << 2001), -(1 << 2001)),
        (10**700, hex(10**700)),
        ("\ud800x\0", "\\ud800x\0"),
        ({"\udfff": 1}, {"\\udfff": 1}),
        (OSError(2, "No"), {"type": "FileNotFoundError", "message": "[Errno 2] No"}),
    ],
    ids=lambda value: type(value).__name__,
)
def test_a_value_is_shown_as_plain_data(value: Any, shown: Any) -> None:
    assert to_plain(dumps(value)) == shown
    json.dumps(shown, allow_nan=False, ensure_ascii=False).encode()


def test_exceptions_are_shown_with_their_members() -> None:
    error = ExceptionGroup("g", [KeyError("k")])
    assert to_plain(dumps(error)) == {
        "type": "ExceptionGroup",
        "message": "g (1 sub-exception)",
        "exceptions": [{"type": "KeyError", "message": "'k'"}],
    }


def test_what_an_exception_holds_can_be_referred_to() -> None:
    shared = [1]
    error = ValueError(shared)
    assert to_plain(dumps([error, shared]))[1] == [1]


def test_a_call_is_shown_as_its_two_parts() -> None:
    assert to_plain(dumps_call(((1,),), {"a": {2}})) == [[[1]], {"a": [2]}]


def test_shared_values_are_shown_wherever_they_are() -> None:
    shared = [1]
    assert to_plain(dumps([shared, shared])) == [[1], [1]]


def test_cycles_are_cut() -> None:
    node = Node("a")
    node.links = (node,)
    assert to_plain(dumps(node)) == {"name": "a", "links": ["[circular]"]}


def test_values_shared_again_and_again_are_not_shown_for_ever() -> None:
    value: list[Any] = []
    for _ in range(60):
        value = [value, value]
    assert "[shared]" in str(to_plain(dumps(value)))[-2000:]


def test_classes_that_are_gone_are_shown_all_the_same() -> None:
    data = dumps(Box(1)).replace(b":Box", b":Gone")
    assert to_plain(data)["content"] == 1


def test_an_exception_that_is_gone_is_shown_by_its_first_text() -> None:
    data = dumps(KeyError("k")).replace(b":KeyError", b":GoneError")
    assert to_plain(data) == {"type": "GoneError", "message": "k"}


def test_an_enum_that_is_gone_is_shown_by_its_name() -> None:
    assert to_plain(dumps(Colour.RED).replace(b":Colour", b":Gone")) == "RED"


def test_unknown_tags_are_shown_by_their_value() -> None:
    assert to_plain(b'{"$":"future","v":[1]}') == [1]


@pytest.mark.parametrize("data", [b"", b'{"$":"dict","v":1}', b'{"$":"model"}'])
def test_damaged_data_are_told_so(data: bytes) -> None:
    with pytest.raises(SerializationError):
        to_plain(data)


def test_cycles_through_tuples_are_cut() -> None:
    items: list[Any] = [1]
    items.append((items,))
    assert to_plain(dumps(items[1])) == [[1, "[circular]"]]
