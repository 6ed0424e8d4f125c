"""What cannot be stored is refused, with its place and a way out."""

from __future__ import annotations

import array
import asyncio
import enum
import io
import math
import threading
from collections import Counter, OrderedDict, UserDict, defaultdict, deque
from collections.abc import Callable
from datetime import datetime, tzinfo
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.http import HttpRequest
from django.utils.functional import SimpleLazyObject
from django.utils.safestring import mark_safe
from django.utils.translation import gettext_lazy

from django_workflows.core.serialization import dumps, dumps_call
from django_workflows.errors import SerializationError
from tests.app.models import Marker
from tests.core.serialization.shapes import Box, Key, Plain, Point, Text


def _refusal(value: Any) -> str:
    with pytest.raises(SerializationError) as caught:
        dumps(value)
    return str(caught.value)


def test_the_path_leads_to_the_value() -> None:
    with pytest.raises(SerializationError) as caught:
        dumps_call(({"items": [1, 2, 3, object()]},), {})
    assert str(caught.value).startswith(
        "cannot serialize object at args[0]['items'][3]: pass plain data, "
    )
    with pytest.raises(SerializationError, match=r"at kwargs\['x'\]\[0\]: "):
        dumps_call((1,), {"x": [Plain()]})
    with pytest.raises(SerializationError, match=r"at return value\.content: "):
        dumps(Box(Plain()), root="return value")


@pytest.mark.parametrize(
    ("wrap", "path"),
    [
        (lambda bad: [0, bad], "[1]"),
        (lambda bad: (bad,), "[0]"),
        (lambda bad: {"a": {1: bad}}, "['a'][1]"),
        (lambda bad: {(1, "x"): bad}, "[(1, 'x')]"),
        (lambda bad: deque([1, bad]), "[1]"),
        (lambda bad: OrderedDict(a=bad), "['a']"),
        (lambda bad: defaultdict(None, a=bad), "['a']"),
        (lambda bad: Counter({"a": bad}), "['a']"),
        (lambda bad: Box([bad]), ".content[0]"),
        (lambda bad: Point(1, bad), ".y"),
        (lambda bad: slice(1, bad), ".stop"),
        (lambda bad: {Key(bad)}, "{Key(name=<tests...}.name"),
    ],
)
def test_every_container_tells_the_way(wrap: Callable[[Any], Any], path: str) -> None:
    message = _refusal(wrap(Plain()))
    kind = "tests.core.serialization.shapes.Plain"
    expected = f"cannot serialize {kind} at value{path.split('<')[0]}"
    assert message.startswith(expected)
    assert message.split(": ")[0].endswith(path.split("...")[-1])


def test_long_and_broken_keys_are_cut_short() -> None:
    class Broken:
        def __repr__(self) -> str:
            raise RuntimeError

    assert len(_refusal({"x" * 1000: Plain()})) < 400
    assert "Broken" in _refusal({Broken(): 1})


def _function() -> None: ...


async def _coroutine_function() -> None: ...


class Zone(tzinfo):
    utcoffset = dst = tzname = None  # type: ignore[assignment]


class Strange(dict):  # type: ignore[type-arg]
    pass


class Stamp(datetime):
    pass


@pytest.mark.parametrize(
    ("value", "advice"),
    [
        (_function, "make it a @step"),
        (lambda: 1, "make it a @step"),
        (len, "make it a @step"),
        ("".join, "make it a @step"),
        (Plain, "dotted name"),
        (int, "dotted name"),
        ((str(i) for i in range(3)), "list of its items"),
        (iter([]), "list of its items"),
        (map(str, []), "list of its items"),
        ({}.keys(), "plain data"),
        (math, "import it"),
        (io.BytesIO(), "read it"),
        (memoryview(b""), "bytes"),
        (array.array("i"), "plain data"),
        (threading.Lock(), "plain data"),
        (Text("x"), "subclass of str"),
        (Strange(), "subclass of dict"),
        (UserDict(), "plain data"),
        (type("Number", (int,), {})(3), "subclass of int"),
        (Stamp(2024, 1, 1), "plain data"),
        (datetime(2024, 1, 1, tzinfo=Zone()), "plain data"),
        (mark_safe("x"), "subclass of str"),
        (gettext_lazy("x"), "str"),
        (HttpRequest(), "parts"),
        (Marker.objects, "inside a step"),
        (Marker.objects.all(), "list of primary keys"),
        (Marker.objects.raw("select 1"), "list of primary keys"),
        (Marker(), "save it first"),
        (Marker(pk=3), "save it first"),
        (SimpleLazyObject(Plain), "plain data"),
        (defaultdict(lambda: 1), "builtin collections"),
        (enum.Enum("Local", "A B").A, "top level"),  # type: ignore[attr-defined]
        (..., "plain data"),
        (NotImplemented, "plain data"),
        (User, "dotted name"),
    ],
    ids=lambda value: type(value).__name__,
)
def test_what_cannot_be_stored_is_refused_with_advice(value: Any, advice: str) -> None:
    assert advice in _refusal([value])


def test_coroutines_are_to_be_awaited() -> None:
    coroutine = _coroutine_function()
    assert "await it first" in _refusal(coroutine)
    coroutine.close()
    loop = asyncio.new_event_loop()
    assert "await it first" in _refusal(loop.create_future())
    loop.close()


@pytest.mark.parametrize("levels", [1_000, 100_000])
@pytest.mark.parametrize(
    "wrap",
    [
        lambda value: [value],
        lambda value: (value,),
        lambda value: {"a": value},
        lambda value: {1: value},
        lambda value: Box(value),
        lambda value: Point(value),
        lambda value: deque([value]),
    ],
)
def test_very_deep_values_are_refused(levels: int, wrap: Callable[[Any], Any]) -> None:
    value: Any = 1
    for _ in range(levels):
        value = wrap(value)
    assert "nested too deeply" in _refusal(value)
    with pytest.raises(SerializationError, match="nested too deeply"):
        dumps_call((value,), {})
    while not isinstance(value, int):
        # Level by level: dropping it whole would be too much for CPython itself.
        inner = value.content if isinstance(value, Box) else next(iter(value), value)
        value = value[inner] if isinstance(value, dict) else inner


def test_very_deep_causes_are_refused() -> None:
    error = ValueError()
    for _ in range(1_000):
        outer = ValueError()
        outer.__cause__ = error
        error = outer
    assert "nested too deeply" in _refusal(error)
