from __future__ import annotations

import asyncio
from typing import Any

import pytest

from django_workflows.core.failures import Failure, capture, rebuild
from django_workflows.core.serialization import dumps
from django_workflows.errors import SerializationError, StepError
from tests.core.serialization import shapes
from tests.core.serialization.shapes import Batch, Mute, Odd, Plain


def _raised(error: BaseException, cause: BaseException | None = None) -> BaseException:
    try:
        raise error from cause
    except BaseException as caught:
        return caught


class Lying(Exception):
    """Raises whenever it is looked at."""

    @property
    def __cause__(self) -> Any:  # type: ignore[override]
        raise RuntimeError("no")


class Hungry(Exception):
    def __init__(self) -> None:
        self.food = "x" * 2_000_000


def test_the_view_tells_what_people_need() -> None:
    error = _raised(ValueError("bad"), KeyError("deep"))
    failure = Failure.of(capture(error))
    assert failure.type_name == "ValueError"
    assert failure.message == "bad"
    assert str(failure) == "ValueError: bad"
    assert failure.causes == (("KeyError", "'deep'"),)
    assert "in _raised" in failure.traceback
    assert "KeyError: 'deep'" in failure.traceback


def test_what_was_being_handled_counts_as_a_cause() -> None:
    error = ValueError("v")
    error.__context__ = KeyError("k")
    assert Failure.of(capture(error)).causes == (("KeyError", "'k'"),)
    error.__suppress_context__ = True
    assert Failure.of(capture(error)).causes == ()


def test_the_original_type_comes_back() -> None:
    for error in (
        ValueError("x", 1),
        FileNotFoundError(2, "gone", "f"),
        Odd(3, hint="h"),
        Batch([ValueError("m")], 4),
        asyncio.CancelledError("why"),
        SystemExit(3),
    ):
        back = rebuild(capture(_raised(error)))
        assert type(back) is type(error)
        assert str(back) == str(error)
    assert back is not error


def test_each_rebuild_makes_a_new_exception() -> None:
    data = capture(ValueError("x"))
    assert rebuild(data) is not rebuild(data)


def test_attributes_that_cannot_be_stored_are_left_out() -> None:
    error = ValueError("x")
    error.request = Plain()  # type: ignore[attr-defined]
    error.status = 404  # type: ignore[attr-defined]
    error.__cause__ = KeyError(Plain())
    back = rebuild(capture(error))
    assert vars(back) == {"status": 404}
    assert isinstance(back.__cause__, StepError)
    assert back.__cause__.type_name == "KeyError"


def test_what_cannot_be_rebuilt_becomes_a_step_error() -> None:
    class Local(Exception):
        pass

    for error in (Local("m"), ValueError(Plain())):
        back = rebuild(capture(_raised(error)))
        assert type(back) is StepError
        assert str(back) == str(error)
        assert back.type_name.endswith(type(error).__qualname__)
        assert "in _raised" in back.traceback


def test_a_class_that_is_gone_becomes_a_step_error(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    data = capture(Odd(3, hint="h"))
    monkeypatch.delattr(shapes, "Odd")
    back = rebuild(data)
    assert type(back) is StepError
    assert back.type_name == f"{shapes.__name__}.Odd"
    assert str(back) == "odd 3"


def test_capturing_never_raises() -> None:
    circle = ValueError("circle")
    circle.__cause__ = circle
    deep: BaseException = ValueError()
    for _ in range(3_000):
        outer = ValueError()
        outer.__cause__ = deep
        deep = outer
    for error in (
        Mute(),
        ValueError(Mute()),
        _raised(ValueError("\ud800 \x00"), Mute()),
        circle,
        deep,
        Lying("x"),
        ExceptionGroup("g", [Mute(), ValueError(Plain())]),
        ValueError("x" * 10_000_000),
        KeyboardInterrupt(),
    ):
        data = capture(error)
        assert isinstance(rebuild(data), BaseException)
        assert Failure.of(data).type_name
        assert len(data) < 1_000_000


def test_very_large_exceptions_keep_their_text_only() -> None:
    failure = Failure.of(capture(Hungry()))
    assert failure.encoded is None
    assert failure.type_name.endswith("Hungry")
    long = Failure.of(capture(ValueError("a" + "x" * 200_000 + "z")))
    assert len(long.message) < 70_000
    assert long.message.startswith("ax")
    assert long.message.endswith("xz")
    assert "134,466 characters left out" in long.message


@pytest.mark.parametrize("limit", [3_000, 100_000])
def test_a_failure_fits_into_a_payload(settings: Any, limit: int) -> None:
    settings.WORKFLOWS = {"MAX_PAYLOAD_BYTES": limit}
    error: BaseException = ValueError("x" * 200_000)
    for _ in range(10):
        error = _raised(KeyError("\ud800é" * 100_000), error)
    data = capture(error)
    assert len(data) <= limit
    assert Failure.of(data).type_name == "KeyError"
    assert type(rebuild(data)) is StepError


def test_data_that_are_no_failure_are_refused() -> None:
    values: list[Any] = [None, [], {"type": "x"}]
    for value in values:
        with pytest.raises(SerializationError):
            Failure.of(dumps(value))
