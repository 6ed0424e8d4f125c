"""Arguments that come as JSON, by the signatures of workflows."""

from __future__ import annotations

import json
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import pytest

from django_workflows import workflow
from django_workflows.models import Run
from django_workflows.replay.arguments import (
    ArgumentsError,
    arguments_schema,
    check_arguments,
    unchecked_parameters,
)

if TYPE_CHECKING:
    from nowhere import Unknown  # type: ignore[import-not-found]


@workflow
async def shadowing(
    model_config: int, copy: Decimal, json: int = 0, _x: int = 1
) -> None:
    """Parameters that are named as pydantic's own methods and settings."""


@workflow
async def everything(a: int, /, b: int, *c: int, d: int = 4, **e: int) -> None: ...


@workflow
async def odd(run: Run, unknown: Unknown, function: len, plain, two=2) -> None:  # type: ignore[no-untyped-def,valid-type]
    """Annotations that no JSON value fits, and that cannot be found."""


@pytest.mark.parametrize(
    ("args", "kwargs", "passed"),
    [
        (["1", "2"], {}, ((1, 2), {})),
        (["1"], {"b": "2"}, ((1,), {"b": 2})),
        (["1", "2", "3", "4"], {"d": "5"}, ((1, 2, 3, 4), {"d": 5})),
        (["1", "2"], {"e": "3", "a": "4"}, ((1, 2), {"e": 3, "a": 4})),
    ],
)
def test_values_stay_where_they_were_given(
    args: list[Any], kwargs: dict[str, Any], passed: Any
) -> None:
    checked = check_arguments(everything, args, kwargs)
    assert checked == passed
    everything.signature.bind(*checked[0], **checked[1])


@pytest.mark.parametrize(
    ("args", "kwargs", "names"),
    [
        ([], {}, {"a", "b"}),
        ([1], {}, {"b"}),
        ([1, 2], {"b": 3}, {"b"}),
        ([1, "x", "y"], {"z": "x"}, {"b", "c", "e"}),
        ([1, 2], {"d": None}, {"d"}),
    ],
)
def test_all_that_is_wrong_is_told(
    args: list[Any], kwargs: dict[str, Any], names: set[str]
) -> None:
    with pytest.raises(ArgumentsError) as refused:
        check_arguments(everything, args, kwargs)
    assert set(refused.value.problems) == names
    assert all(name in str(refused.value) for name in names)


def test_parameters_may_have_any_name() -> None:
    given = {"model_config": "1", "copy": "2.5", "json": 3, "_x": 4}
    assert check_arguments(shadowing, [], given) == (
        (),
        {"model_config": 1, "copy": Decimal("2.5"), "json": 3, "_x": 4},
    )


def test_what_cannot_be_checked_is_refused_or_let_through() -> None:
    with pytest.raises(ArgumentsError) as refused:
        check_arguments(odd, [{}, {}, {}, {}], {})
    assert set(refused.value.problems) == {"run"}
    assert unchecked_parameters(odd) == ["unknown", "function"]
    assert json.dumps(arguments_schema(odd))


def test_the_schema_calls_parameters_as_callers_do() -> None:
    schema = arguments_schema(everything)
    assert set(schema["properties"]) == {"a", "b", "c", "d", "e"}
    assert schema["required"] == ["a", "b"]
    assert schema["properties"]["d"]["default"] == 4
    assert schema["properties"]["c"]["items"] == {"type": "integer"}
