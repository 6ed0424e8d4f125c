"""Enums, named tuples, dataclasses and pydantic models."""

from __future__ import annotations

import dataclasses
from datetime import datetime, timedelta
from typing import Any

import pydantic
import pytest

from django_workflows.core.serialization import dumps, loads
from django_workflows.errors import SerializationError, UnknownCodeError
from tests.core.serialization import shapes
from tests.core.serialization.shapes import (
    Address,
    Box,
    Colour,
    Crate,
    Customer,
    Frozen,
    Ids,
    Key,
    Point,
)


def test_a_dataclass_comes_back_without_running_its_code() -> None:
    crate = Crate({"a"}, weight=2.5)
    crate.opened = 3
    crate.lid.append(1)
    assert crate.size == 7
    back = loads(dumps(crate))
    assert back == crate
    assert back.opened == 3  # __post_init__ would have made it 0
    assert "size" not in vars(back)  # a cached property is no part of the value


def test_a_frozen_dataclass_with_slots_comes_back() -> None:
    assert loads(dumps(Key("a", [1]))) == Key("a", [1])


def test_a_field_without_a_value_stays_without() -> None:
    key = object.__new__(Key)
    object.__setattr__(key, "name", 1)
    with pytest.raises(AttributeError):
        _ = key.part
    assert loads(dumps(key)).name == 1


def test_pydantic_models_come_back_exactly() -> None:
    customer = Customer(
        fullName="A", home=Address(street="S"), anything={1: (2,)}, more=[b"x"]
    )
    customer._secret = 9
    back = loads(dumps(customer))
    assert back == customer
    assert back.model_fields_set == customer.model_fields_set
    assert back.home.model_fields_set == {"street"}
    assert back.model_extra == {"more": [b"x"]}
    assert back._secret == 9
    assert back.anything == {1: (2,)}
    assert loads(dumps(Ids([1, 2]))) == Ids([1, 2])
    assert loads(dumps({Frozen(value=1): 2})) == {Frozen(value=1): 2}


def test_a_pydantic_model_is_not_validated_again() -> None:
    address = Address.model_construct(street=3, number="x")  # type: ignore[arg-type]
    back = loads(dumps(address))
    assert (back.street, back.number) == (3, "x")


def _now(monkeypatch: pytest.MonkeyPatch, name: str, cls: type) -> None:
    """Let ``cls`` be today's class of the name ``name``."""
    cls.__module__, cls.__qualname__ = shapes.__name__, name
    monkeypatch.setattr(shapes, name, cls)


def test_a_new_field_gets_its_default(monkeypatch: pytest.MonkeyPatch) -> None:
    box, address, point = dumps(Box(1)), dumps(Address(street="S")), dumps(Point(1))

    @dataclasses.dataclass
    class NewBox:
        content: Any
        fresh: int = 5
        made: list[int] = dataclasses.field(default_factory=lambda: [1])

    class NewAddress(pydantic.BaseModel):
        street: str
        number: int | None = None
        town: list[str] = pydantic.Field(default_factory=lambda: ["T"])

    from typing import NamedTuple

    class NewPoint(NamedTuple):
        x: int
        y: int
        z: int = 9

    _now(monkeypatch, "Box", NewBox)
    _now(monkeypatch, "Address", NewAddress)
    _now(monkeypatch, "Point", NewPoint)
    back = loads(box)
    assert (back.fresh, back.made, back.content) == (5, [1], 1)
    assert loads(address).town == ["T"]
    assert loads(point) == (1, 0, 9)


def test_a_new_field_without_a_default_is_named(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    data = dumps(Box(1))

    @dataclasses.dataclass
    class NewBox:
        must: int

    _now(monkeypatch, "Box", NewBox)
    with pytest.raises(SerializationError, match=r"Box has a new field 'must' without"):
        loads(data)


def test_a_field_that_is_gone_hinders_nobody(monkeypatch: pytest.MonkeyPatch) -> None:
    key, point = dumps(Key(1, 2)), dumps(Point(1, 2))

    @dataclasses.dataclass(frozen=True, slots=True)
    class NewKey:
        name: int

    from typing import NamedTuple

    class NewPoint(NamedTuple):
        y: int

    _now(monkeypatch, "Key", NewKey)
    _now(monkeypatch, "Point", NewPoint)
    assert loads(key).name == 1
    assert loads(point) == (2,)


def test_what_is_gone_altogether_is_unknown_code(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    data, member = dumps(Box(1)), dumps(Colour.RED)
    monkeypatch.delattr(shapes, "Box")
    with pytest.raises(UnknownCodeError, match=r"shapes:Box"):
        loads(data)
    with pytest.raises(UnknownCodeError, match="'GREEN'"):
        loads(member.replace(b"RED", b"GREEN"))
    with pytest.raises(UnknownCodeError, match="cannot be imported"):
        loads(member.replace(b"tests.core", b"tests.nowhere"))


def test_a_local_class_is_refused() -> None:
    @dataclasses.dataclass
    class Local:
        pass

    with pytest.raises(SerializationError, match=r"at value\[0\]: its class cannot be"):
        dumps([Local()])


def test_a_named_tuple_with_attributes_is_refused() -> None:
    class Extended(Point):
        note: int

    point = Extended(1)
    point.note = 2
    with pytest.raises(SerializationError):
        dumps(point)


def test_times_with_the_offsets_that_pydantic_makes_keep_them() -> None:
    read = pydantic.TypeAdapter(list[datetime]).validate_json
    there = read('["2024-01-02T03:04:05Z", "2024-01-02T03:04:05+02:00"]')
    back = loads(dumps(there))
    assert back == there
    assert [time.utcoffset() for time in back] == [timedelta(0), timedelta(hours=2)]
    # From now on they are plain ones.
    assert dumps(back) == dumps(there)
