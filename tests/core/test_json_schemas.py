"""JSON schemas say what forms and programs have to know of a type."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from decimal import Decimal
from typing import Any

import pydantic
import pytest

from django_workflows.core.json_schemas import TolerantSchema


def described(annotation: Any) -> Any:
    adapter: pydantic.TypeAdapter[Any] = pydantic.TypeAdapter(annotation)
    return adapter.json_schema(schema_generator=TolerantSchema)


@pytest.mark.parametrize(
    ("annotation", "formats"),
    [
        (Decimal, [None, "decimal"]),
        (pydantic.condecimal(max_digits=5, decimal_places=2), [None, "decimal"]),
        (float | str, [None, None]),
    ],
)
def test_a_decimal_is_told_from_other_text(
    annotation: Any, formats: list[str | None]
) -> None:
    choices = described(annotation)["anyOf"]
    assert [choice["type"] for choice in choices] == ["number", "string"]
    assert [choice.get("format") for choice in choices] == formats


def test_a_decimal_that_is_written_is_text() -> None:
    adapter = pydantic.TypeAdapter(Decimal)
    written = adapter.json_schema(mode="serialization", schema_generator=TolerantSchema)
    assert (written["type"], written["format"]) == ("string", "decimal")


@pytest.mark.parametrize(
    ("annotation", "format_"),
    [
        (datetime, "date-time"),
        (pydantic.AwareDatetime, "date-time"),
        (pydantic.NaiveDatetime, "date-time-local"),
    ],
)
def test_a_time_without_a_zone_is_told_from_others(
    annotation: Any, format_: str
) -> None:
    assert described(annotation) == {"type": "string", "format": format_}


def test_what_has_no_schema_may_be_anything() -> None:
    assert described(Callable[[], None]) == {}
