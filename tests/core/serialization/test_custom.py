"""Types with an encoding of their own."""

from __future__ import annotations

import sys
import types
from collections.abc import Iterator
from typing import Any

import pytest

from django_workflows.core.serialization import (
    dumps,
    loads,
    register_type,
    to_plain,
)
from django_workflows.core.serialization.custom import _registrations
from django_workflows.core.serialization.registry import encoders
from django_workflows.errors import (
    FatalError,
    SerializationError,
    UnknownCodeError,
)
from tests.core.serialization.shapes import Money


class Celsius:
    def __init__(self, degrees: Any) -> None:
        self.degrees = degrees

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Celsius) and other.degrees == self.degrees

    def __hash__(self) -> int:
        return hash(self.degrees)


class Warmer(Celsius):
    pass


@pytest.fixture(autouse=True)
def _forget() -> Iterator[None]:
    known, names = dict(encoders), dict(_registrations)
    yield
    encoders.clear()
    encoders.update(known)
    _registrations.clear()
    _registrations.update(names)


def _register(name: str | None = "celsius") -> None:
    register_type(Celsius, encode=lambda c: c.degrees, decode=Celsius, name=name)


def test_a_registered_type_comes_back() -> None:
    _register()
    value = [Celsius((1, {2})), {Celsius(3): Celsius([4])}]
    assert loads(dumps(value)) == value
    assert to_plain(dumps(Celsius((1, 2)))) == [1, 2]


def test_decode_gets_the_decoded_data() -> None:
    got: list[Any] = []

    def decode(data: Any) -> Celsius:
        got.append(data)
        return Celsius(data)

    register_type(Celsius, encode=lambda c: c.degrees, decode=decode)
    shared = [1]
    back = loads(dumps([shared, Celsius({"a": (shared, {2})})]))
    assert got == [{"a": ([1], {2})}]
    assert back[1].degrees["a"][0] is back[0]


def test_the_name_is_what_is_stored() -> None:
    _register("temperature")
    assert dumps(Celsius(3)) == b'{"$":"type","t":"temperature","v":3}'
    register_type(Celsius, encode=lambda c: [c.degrees], decode=lambda d: Celsius(d[0]))
    assert loads(b'{"$":"type","t":"temperature","v":3}') == Celsius(3)
    assert b"test_custom:Celsius" in dumps(Celsius(3))


def test_a_taken_name_is_refused() -> None:
    _register()
    _register()
    with pytest.raises(ValueError, match="'celsius' is taken by"):
        register_type(Warmer, encode=str, decode=Warmer, name="celsius")


def test_a_subclass_is_not_taken_for_its_base() -> None:
    _register()
    with pytest.raises(SerializationError, match="Warmer"):
        dumps(Warmer(3))


def test_an_unregistered_name_is_unknown_code() -> None:
    _register()
    data = dumps(Celsius(3))
    del _registrations["celsius"]
    with pytest.raises(UnknownCodeError, match="'celsius', which nothing in this"):
        loads(data)


def test_the_module_of_a_type_is_imported_to_register_it(
    tmp_path: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "late_types.py").write_text(
        "from django_workflows.core.serialization import register_type\n"
        "class Late:\n"
        "    pass\n"
        "register_type(Late, encode=lambda late: None, decode=lambda data: Late())\n"
    )
    monkeypatch.syspath_prepend(str(tmp_path))
    back = loads(b'{"$":"type","t":"late_types:Late","v":null}')
    assert type(back).__name__ == "Late"
    with pytest.raises(UnknownCodeError):
        loads(b'{"$":"type","t":"late_types:Nothing","v":null}')
    with pytest.raises(UnknownCodeError):
        loads(b'{"$":"type","t":"no_such_module:Late","v":null}')
    monkeypatch.delitem(sys.modules, "late_types")


def test_errors_of_the_functions_are_told_as_theirs() -> None:
    def fail(value: Any) -> Any:
        raise ZeroDivisionError("oops")

    register_type(Celsius, encode=fail, decode=fail, name="celsius")
    with pytest.raises(SerializationError, match=r"\[0\]: .*encoding failed.*oops"):
        dumps([Celsius(1)])
    with pytest.raises(SerializationError, match="decode function of the type 'cels"):
        loads(b'{"$":"type","t":"celsius","v":1}')


def test_errors_of_the_package_pass_through_decode() -> None:
    def fail(value: Any) -> Any:
        raise FatalError("m")

    register_type(Celsius, encode=lambda c: 1, decode=fail, name="celsius")
    with pytest.raises(FatalError):
        loads(dumps(Celsius(1)))


def test_the_path_goes_on_inside_of_the_encoded_data() -> None:
    _register()
    with pytest.raises(SerializationError, match=r"object at value\[0\]\['a'\]: "):
        dumps([Celsius({"a": object()})])


def test_a_cycle_that_could_not_be_rebuilt_is_refused() -> None:
    _register()
    inside: list[Any] = []
    celsius = Celsius(inside)
    inside.append(celsius)
    with pytest.raises(SerializationError, match="leads back to it"):
        dumps(celsius)


def test_a_class_may_bring_the_two_methods() -> None:
    value = {Money(1, "EUR"): [Money(2, "USD", {"x"})]}
    assert loads(dumps(value)) == value


def test_a_subclass_inherits_the_methods() -> None:
    back = loads(dumps(Coins(5, "EUR")))
    assert type(back) is Coins


class Coins(Money):
    @classmethod
    def __workflow_decode__(cls, data: Any) -> Coins:
        return cls(data["amount"], *data["in"])


class Half:
    def __workflow_encode__(self) -> Any:
        return 1


def test_half_a_protocol_is_refused() -> None:
    with pytest.raises(SerializationError, match="no __workflow_decode__"):
        dumps(Half())


def test_a_class_without_the_method_any_more_is_unknown_code() -> None:
    data = dumps(Money(1, "EUR")).replace(b":Money", b":Plain")
    with pytest.raises(UnknownCodeError, match="no __workflow_decode__ any more"):
        loads(data)


def test_what_a_payload_holds_is_not_told_when_it_cannot_be_read() -> None:
    """The text gets into a column and into logs; what is behind it is the cause."""
    data = dumps(Money(1, "EUR")).replace(b'"in":', b'"at":')
    with pytest.raises(SerializationError, match="failed with KeyError") as caught:
        loads(data)
    assert "'in'" not in str(caught.value)
    assert str(caught.value.__cause__) == "'in'"
    with pytest.raises(SerializationError, match="damaged payload: ") as caught:
        loads(b'{"$":"int","v":"hush"}')
    assert "hush" not in str(caught.value)


def test_only_the_module_of_the_class_is_asked() -> None:
    """A class that merely calls itself like another is refused, not confused."""
    fake = types.new_class("Money", (Money,))
    fake.__module__ = Money.__module__
    with pytest.raises(SerializationError, match="cannot be imported"):
        dumps(fake(1, "EUR"))
