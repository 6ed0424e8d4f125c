"""Arguments by the names of parameters of every kind."""

from __future__ import annotations

from datetime import date
from typing import Any

import pytest

from django_workflows import workflow
from django_workflows.replay.arguments import ArgumentsError
from django_workflows.replay.named_arguments import (
    argument_as_json,
    call_with,
    check_named_arguments,
    named_arguments,
)


@workflow(name="named.all")
async def every_kind(
    a: int,
    b: Any = (1, 2),
    /,
    c: str = "c",
    *d: date,
    e: bool = False,
    **f: int,
) -> None:
    """Has parameters of all kinds."""


DAY = date(2026, 1, 2)


@pytest.mark.parametrize(
    ("values", "args", "kwargs"),
    [
        ({"a": 1}, (1,), {}),
        ({"a": 1, "b": []}, (1, []), {}),
        ({"a": 1, "c": "x"}, (1,), {"c": "x"}),
        ({"a": 1, "d": []}, (1,), {}),
        ({"a": 1, "d": [DAY]}, (1, (1, 2), "c", DAY), {}),
        ({"a": 1, "c": "x", "d": [DAY], "e": True}, (1, (1, 2), "x", DAY), {"e": True}),
        ({"a": 1, "f": {"g": 2}}, (1,), {"g": 2}),
        # A name that only what stands before the slash can have twice.
        ({"a": 1, "f": {"a": 2}}, (1,), {"a": 2}),
    ],
)
def test_a_call_gives_each_parameter_its_value(
    values: dict[str, Any], args: tuple[Any, ...], kwargs: dict[str, Any]
) -> None:
    assert call_with(every_kind, values) == (args, kwargs)
    every_kind.signature.bind(*args, **kwargs)


@pytest.mark.parametrize(
    ("args", "kwargs", "named"),
    [
        ((1,), {}, {"a": 1}),
        ((1, 2, "x", DAY), {}, {"a": 1, "b": 2, "c": "x", "d": [DAY]}),
        ((1,), {"e": True, "g": 2}, {"a": 1, "e": True, "f": {"g": 2}}),
    ],
)
def test_a_call_has_names(
    args: tuple[Any, ...], kwargs: dict[str, Any], named: dict[str, Any]
) -> None:
    assert named_arguments(every_kind, args, kwargs) == named


def test_a_call_that_does_not_fit_has_none() -> None:
    with pytest.raises(TypeError, match="missing a required argument: 'a'"):
        named_arguments(every_kind, (), {})


def test_json_becomes_what_the_annotations_name() -> None:
    given = {"a": "1", "d": ["2026-01-02"], "e": "yes", "f": {"g": "2"}}
    checked = check_named_arguments(every_kind, given)
    assert checked == {"a": 1, "d": [DAY], "e": True, "f": {"g": 2}}


def test_what_is_wrong_is_told_by_parameter_but_for_those_that_are_skipped() -> None:
    with pytest.raises(ArgumentsError) as caught:
        check_named_arguments(every_kind, {"d": ["x"], "e": "?"})
    assert caught.value.problems.keys() == {"a", "d", "e"}
    checked = check_named_arguments(every_kind, {"c": "x", "e": "?"}, ["a", "d", "e"])
    assert checked == {"c": "x"}


def test_a_value_as_json() -> None:
    assert argument_as_json(every_kind, "d", [DAY]) == ["2026-01-02"]
    assert argument_as_json(every_kind, "b", (1, DAY)) == [1, "2026-01-02"]
    # Also if it is not of the type that it should have.
    assert argument_as_json(every_kind, "a", "one") == "one"
    with pytest.raises(ValueError, match="Unable to serialize"):
        argument_as_json(every_kind, "b", object())
