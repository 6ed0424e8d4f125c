"""Exceptions as values."""

from __future__ import annotations

import json
from typing import Any

import pydantic
import pytest
from django.core.exceptions import ValidationError
from pydantic_core import PydanticCustomError

from django_workflows import errors
from django_workflows.core.serialization import canonical, dumps, loads
from django_workflows.errors import SerializationError
from tests.core.serialization.shapes import Address, Batch, Mute, Odd, Plain


def _caught(function: Any) -> Any:
    try:
        function()
    except Exception as error:
        return error
    raise AssertionError("it did not raise")


@pytest.mark.parametrize(
    "error",
    [
        ValueError(),
        ValueError("x", 1, [2]),
        KeyError("k"),
        OSError(2, "No such file", "name", None, "other"),
        FileNotFoundError(2, "No such file", "name"),
        UnicodeDecodeError("utf-8", b"\xff", 0, 1, "bad"),
        UnicodeEncodeError("ascii", "é", 0, 1, "bad"),
        ImportError("no", name="a", path="b"),
        SyntaxError("bad", ("f.py", 1, 2, "text")),
        StopIteration(3),
        SystemExit(4),
        KeyboardInterrupt(),
        json.JSONDecodeError("bad", "doc", 1),
        Odd(3, hint="h"),
        RecursionError("deep"),
    ],
    ids=lambda error: type(error).__name__,
)
def test_an_exception_comes_back_with_all_that_it_knows(error: BaseException) -> None:
    back = loads(dumps(error))
    assert type(back) is type(error)
    assert str(back) == str(error)
    assert back.args == error.args
    assert vars(back) == vars(error)
    for name in ("errno", "filename", "filename2", "start", "object", "name", "path"):
        assert getattr(back, name, None) == getattr(error, name, None)
    for name in ("value", "code", "lineno", "text", "slotted"):
        assert getattr(back, name, None) == getattr(error, name, None)


def test_causes_notes_and_their_suppression_come_back() -> None:
    error = ValueError("x")
    error.add_note("a note")
    error.__cause__ = KeyError("cause")
    back = loads(dumps(error))
    assert back.__notes__ == ["a note"]
    assert type(back.__cause__) is KeyError
    assert back.__suppress_context__
    error.__cause__ = None
    error.__suppress_context__ = True
    assert loads(dumps(error)).__suppress_context__
    assert not loads(dumps(ValueError())).__suppress_context__


def test_groups_come_back_nested() -> None:
    member = ValueError("m")
    member.__cause__ = OSError(1, "o")
    group = BaseExceptionGroup(
        "g", [ExceptionGroup("i", [member]), KeyboardInterrupt()]
    )
    group.add_note("n")
    back = loads(dumps(group))
    assert type(back) is BaseExceptionGroup
    assert (back.message, back.__notes__) == ("g", ["n"])
    inner, interrupt = back.exceptions
    assert type(inner) is ExceptionGroup
    assert type(interrupt) is KeyboardInterrupt
    assert type(inner.exceptions[0].__cause__) is PermissionError
    assert back.args == ("g", [inner, interrupt])


def test_a_subclass_of_a_group_comes_back() -> None:
    batch = Batch([ValueError("x")], 5)
    back = loads(dumps(batch))
    assert type(back) is Batch
    assert (back.message, back.code, len(back.exceptions)) == ("batch", 5, 1)
    assert back.args[1] == 5
    assert back.args[0][0] is back.exceptions[0]


def test_the_object_that_lacks_an_attribute_is_left_out() -> None:
    error = _caught(lambda: Plain().nothing)  # type: ignore[attr-defined]
    back = loads(dumps(error))
    assert type(back) is AttributeError
    assert (back.name, back.obj) == ("nothing", None)


def test_djangos_validation_errors_come_back() -> None:
    error = ValidationError({"name": ["too long", ValidationError("bad", code="c")]})
    assert loads(dumps(error)) == error
    single = ValidationError("no %(x)s", code="c", params={"x": 1})
    assert loads(dumps(single)).messages == ["no 1"]


class Picky(pydantic.BaseModel):
    number: int
    even: int

    @pydantic.field_validator("even")
    @classmethod
    def _must_be_even(cls, value: int) -> int:
        if value == 1:
            raise ValueError("odd")
        raise PydanticCustomError("very_odd", "not {what}", {"what": "even"})


@pytest.mark.parametrize("even", [1, 3])
def test_pydantics_validation_errors_come_back(even: int) -> None:
    error = _caught(lambda: Picky.model_validate({"number": "x", "even": even}))
    error.add_note("n")
    back = loads(dumps(error))
    assert type(back) is pydantic.ValidationError
    assert str(back) == str(error)
    assert back.errors(include_context=False) == error.errors(include_context=False)
    assert back.__notes__ == ["n"]


def test_pydantics_validation_errors_need_not_hold_the_bad_input() -> None:
    error = _caught(lambda: Address.model_validate({"street": Plain()}))
    with pytest.raises(SerializationError, match=r"Plain at value\.input"):
        dumps(error)
    back = loads(dumps(error, lenient=True))
    assert back.errors()[0]["loc"] == ("street",)


def test_every_public_error_comes_back_with_its_attributes() -> None:
    extras: dict[str, Any] = {
        "step_id": "s", "step_name": "n", "attempts": 3, "traceback": "t", "kind": "k",
        "type_name": "a.B", "run_id": "r", "token": "x", "problems": ["p"],
        "retry_after": "5s",
    }  # fmt: skip
    classes = [
        cls
        for cls in vars(errors).values()
        if isinstance(cls, type) and issubclass(cls, errors.WorkflowError)
    ]
    assert len(classes) > 25
    for cls in classes:
        error = cls("message")
        for name, value in extras.items():
            if name in vars(error):
                setattr(error, name, value)
        back = loads(dumps(error))
        assert type(back) is cls
        assert str(back) == "message"
        assert vars(back) == vars(error)


def test_the_cause_of_a_failed_run_stays_one_object() -> None:
    error = errors.WorkflowRunFailedError("m", run_id="r", cause=ValueError("c"))
    back = loads(dumps(error))
    assert back.cause is back.__cause__
    assert back.run_id == "r"


def test_what_cannot_be_stored_is_refused_with_its_path() -> None:
    error = ValueError("x", {"a": Plain()})
    with pytest.raises(SerializationError, match=r"Plain at value\.args\[1\]\['a'\]: "):
        dumps(error)
    error = ValueError()
    error.socket = Plain()  # type: ignore[attr-defined]
    with pytest.raises(SerializationError, match=r"Plain at value\.socket: "):
        dumps(error)
    error = ValueError()
    error.__cause__ = ValueError(Plain())
    with pytest.raises(SerializationError, match=r"at value\.__cause__\.args\[0\]: "):
        dumps(error)
    group = ExceptionGroup("g", [ValueError(Plain())])
    with pytest.raises(SerializationError, match=r"at value\.exceptions\[0\]\.args\[0"):
        dumps(group)


def test_a_lenient_encoding_keeps_what_it_can() -> None:
    error = ValueError("x")
    error.socket, error.port = Plain(), 80  # type: ignore[attr-defined]
    error.__cause__ = ExceptionGroup("g", [KeyError(1), KeyError(Plain()), Mute()])
    back = loads(dumps(error, lenient=True))
    assert vars(back) == {"port": 80}
    first, second, third = back.__cause__.exceptions
    assert type(first) is KeyError
    assert type(second) is errors.StepError
    assert second.type_name == "KeyError"
    assert type(third) is Mute
    with pytest.raises(SerializationError):
        dumps(ValueError(Plain()), lenient=True)


def test_tracebacks_do_not_count_when_errors_are_compared() -> None:
    one = errors.StepError("m", type_name="T", traceback="line 1")
    other = errors.StepError("m", type_name="T", traceback="line 2")
    assert canonical(dumps([one])) == canonical(dumps([other]))
    assert dumps([one]) != dumps([other])
