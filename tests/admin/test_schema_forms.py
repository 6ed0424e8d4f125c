"""Forms from JSON schemas: whatever the schema, and nothing that is typed gets lost."""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta, timezone
from decimal import Decimal
from enum import Enum, IntEnum
from typing import Any, Literal, NamedTuple, Optional
from uuid import UUID

import pydantic
import pytest
from django.http import QueryDict
from django.utils import translation
from django.utils.timezone import override as timezone_override
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.strategies import SearchStrategy
from typing_extensions import TypedDict

from django_workflows.admin.forms.schema_forms import SchemaForm, form_for
from django_workflows.core.json_schemas import TolerantSchema
from tests.admin.browsing import what_a_browser_sends


class Colour(Enum):
    RED = "red"
    OLIVE = "dark green"


class Level(IntEnum):
    LOW = 1
    HIGH = 2


class Item(pydantic.BaseModel):
    """Something that is sold."""

    name: str
    price: Decimal
    sizes: list[int] = []
    inside: Optional[Item] = None  # noqa: UP045


@dataclass
class Address:
    street: str
    since: date


class Place(NamedTuple):
    x: int
    y: int


class Note(TypedDict, total=False):
    text: str


# What a form can give back: text without what browsers change.
texts = st.text(
    st.characters(exclude_characters="\0\r", exclude_categories=["Cs"]), min_size=1
)
moments = st.datetimes(
    timezones=st.sampled_from([UTC, timezone(timedelta(hours=-9, minutes=-30))])
)
decimals = st.decimals(allow_nan=False, allow_infinity=False)
items = st.builds(Item, name=texts, price=decimals, sizes=st.lists(st.integers()))
plain = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | texts,
    lambda inner: st.lists(inner) | st.dictionaries(texts, inner),
    max_leaves=5,
).filter(lambda value: "Infinity" not in json.dumps(value))

KINDS: dict[Any, SearchStrategy[Any]] = {
    bool: st.booleans(),
    int: st.integers(),
    float: st.floats(allow_nan=False, allow_infinity=False),
    str: texts,
    Decimal: decimals,
    date: st.dates(),
    time: st.times(),
    datetime: moments,
    pydantic.NaiveDatetime: st.datetimes(),
    timedelta: st.timedeltas(),
    UUID: st.uuids(),
    Colour: st.sampled_from(Colour),
    Level: st.sampled_from(Level),
    Literal["a", "b c"]: st.sampled_from(["a", "b c"]),
    Literal[1, "1", True]: st.sampled_from([1, "1", True]),
    Literal["only"]: st.just("only"),
    list[int]: st.lists(st.integers()),
    set[str]: st.sets(texts),
    tuple[int, date]: st.tuples(st.integers(), st.dates()),
    dict[str, Decimal]: st.dictionaries(texts, decimals),
    dict[int, bool]: st.dictionaries(st.integers(), st.booleans()),
    int | str: st.integers() | texts,
    float | str: st.floats(allow_nan=False, allow_infinity=False) | texts,
    Literal["x"] | int: st.just("x") | st.integers(),
    Item: items,
    list[Item]: st.lists(items, max_size=3),
    Address: st.builds(Address, street=texts, since=st.dates()),
    Place: st.builds(Place, st.integers(), st.integers()),
    Note: st.just({}) | st.fixed_dictionaries({"text": texts}),
    Any: plain,
}


@st.composite
def values_of_types(draw: st.DrawFn) -> tuple[Any, Any]:
    """A type, with or without None, and a value of it."""
    kind = draw(st.sampled_from(list(KINDS)))
    value = draw(KINDS[kind])
    if kind is not Any and draw(st.booleans()):
        return kind | None, draw(st.none() | st.just(value))
    return kind, value


def model_of(annotation: Any, default: Any = ...) -> type[pydantic.BaseModel]:
    return pydantic.create_model("Given", value=(annotation, default))


def schema_of(model: type[pydantic.BaseModel]) -> dict[str, Any]:
    return model.model_json_schema(schema_generator=TolerantSchema)


def sent(values: dict[str, list[str]]) -> QueryDict:
    data = QueryDict(mutable=True)
    for name, listed in values.items():
        data.setlist(name, listed)
    return data


def written(form_class: type[SchemaForm], value: Any) -> SchemaForm:
    """The form with a JSON value typed into its field."""
    field: Any = form_class.base_fields["value"]
    is_null = value is None and form_class.parts["value"].is_nullable
    return form_class(initial={"value": "" if is_null else field.written(value)})


@given(values_of_types())
def test_a_form_gives_back_what_is_written_in_it(typed: tuple[Any, Any]) -> None:
    annotation, value = typed
    model = model_of(annotation)
    form_class = form_for(schema_of(model))
    assert list(form_class.base_fields) == ["value"]
    as_json = json.loads(model(value=value).model_dump_json())["value"]
    page = written(form_class, as_json).as_div()
    form = form_class(sent(what_a_browser_sends(page)))
    assert form.is_valid(), form.errors
    back = model.model_validate_json(json.dumps(form.value())).value  # type: ignore[attr-defined]
    assert back == value
    assert type(back) is type(value)


@given(values_of_types())
def test_a_default_that_nobody_touches_stays_the_default(
    typed: tuple[Any, Any],
) -> None:
    annotation, value = typed
    form_class = form_for(schema_of(model_of(annotation, value)))
    form = form_class(sent(what_a_browser_sends(form_class().as_div())))
    assert form.is_valid(), form.errors
    model = model_of(annotation, value)
    back = model.model_validate_json(json.dumps(form.value())).value  # type: ignore[attr-defined]
    assert back == value


TYPES = ["object", "string", "integer", "number", "boolean", "null", "array"]
FORMATS = ["date", "date-time", "time", "duration", "decimal"]
POINTERS = ["#/$defs/a", "#/$defs/properties", "#"]
UNIONS = ["anyOf", "oneOf", "allOf", "$ref", "enum", "const", "items"]
TEXTS = ["title", "description", "default", "minimum", "maxLength", "a"]
OBJECTS = ["properties", "required", "additionalProperties", "$defs"]
WORDS = TYPES + FORMATS + POINTERS
KEYWORDS = ["type", "format", *UNIONS, *TEXTS, *OBJECTS]
odd_values: SearchStrategy[Any] = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.sampled_from(WORDS),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from(KEYWORDS), inner, max_size=4)
    ),
    max_leaves=15,
)
odd_objects = st.fixed_dictionaries(
    {
        "type": st.just("object"),
        "properties": st.dictionaries(
            st.sampled_from(["a", "data", "clean", "is_valid", "value"]), odd_values
        ),
        "$defs": odd_values,
        "required": odd_values,
    }
)


@given(odd_values | odd_objects, st.text(max_size=5))
def test_there_is_a_form_for_the_oddest_schema(schema: Any, text: str) -> None:
    form_class = form_for(schema)
    form_class().as_div()
    names = form_class.base_fields
    for data in (
        {"no": "field"},
        dict.fromkeys(names, text),
        dict.fromkeys(names, "1"),
    ):
        form = form_class(data)
        if form.is_valid():
            json.dumps(form.value())
        form.as_div()


@pytest.mark.parametrize(
    ("annotation", "typed", "expected"),
    [
        (timedelta, "1h30m", timedelta(minutes=90)),
        (timedelta, "PT5M", timedelta(minutes=5)),
        (timedelta, "-P1D", timedelta(days=-1)),
        (datetime, "2026-03-01 10:30", datetime(2026, 3, 1, 10, 30, tzinfo=UTC)),
        (
            datetime,
            "2026-03-01T10:30+02:00",
            datetime(2026, 3, 1, 8, 30, tzinfo=UTC),
        ),
        (pydantic.NaiveDatetime, "2026-03-01 10:30", datetime(2026, 3, 1, 10, 30)),
        (time, "10:30", time(10, 30)),
        (time, "10:30:00+01:00", time(10, 30, tzinfo=timezone(timedelta(hours=1)))),
        (Decimal, "0.1" + 30 * "0", Decimal("0.1" + 30 * "0")),
        (Decimal, " 1.50 ", Decimal("1.50")),
        (int, " 7 ", 7),
        (str, " as it is ", " as it is "),
        (str, "two\r\nlines", "two\nlines"),
        (Any, '{"a": [1, null]}', {"a": [1, None]}),
        (Any, "null", None),
        (int | None, "", None),
    ],
)
def test_what_people_type(annotation: Any, typed: str, expected: Any) -> None:
    model = model_of(annotation)
    form = form_for(schema_of(model))({"value": typed})
    assert form.is_valid(), form.errors
    back = model.model_validate_json(json.dumps(form.value())).value  # type: ignore[attr-defined]
    assert back == expected
    assert type(back) is type(expected)


def test_dates_are_read_as_people_write_them() -> None:
    form_class = form_for(schema_of(model_of(date)))
    with translation.override("de"):
        form = form_class({"value": "31.12.2026"})
        assert form.is_valid()
    assert form.value() == {"value": "2026-12-31"}


def test_points_in_time_are_shown_and_read_in_the_current_time_zone() -> None:
    instant = "2026-07-01T08:30:00.000001+00:00"
    with timezone_override("Europe/Berlin"):
        form_class = form_for(schema_of(model_of(datetime)))
        page = written(form_class, instant).as_div()
        sent_back = what_a_browser_sends(page)
        assert sent_back == {"value_0": ["2026-07-01"], "value_1": ["10:30:00.000001"]}
        form = form_class(sent(sent_back))
        assert form.is_valid()
        missing = form_class({"value": "2026-03-29 02:30"})
        assert list(missing.errors) == ["value"]
        assert "Europe/Berlin" in form.fields["value"].help_text
    given_back = datetime.fromisoformat(form.value()["value"])
    assert given_back == datetime.fromisoformat(instant)


@pytest.mark.parametrize(
    ("annotation", "typed"),
    [
        (int, "seven"),
        (int, "1.5"),
        (float, "NaN"),
        (float, "1e999"),
        (date, "31.31."),
        (datetime, "tomorrow"),
        (timedelta, "a while"),
        (Colour, "blue"),
        (str, "\0"),
        (Any, "text without quotes"),
        (Any, "NaN"),
        (Any, "1e999"),
        (Any, '{"a": 1, "a": 2}'),
        (Any, "[" * 100_000),
        (int, ""),
        (Any, ""),
        (datetime, ""),
    ],
)
def test_what_cannot_be_read_is_an_error_and_stays_in_the_field(
    annotation: Any, typed: str
) -> None:
    form = form_for(schema_of(model_of(annotation)))({"value": typed})
    assert not form.is_valid()
    assert list(form.errors) == ["value"]
    if annotation is not Colour:
        field = what_a_browser_sends(form.as_div())
        assert typed in [value for values in field.values() for value in values]


def test_fields_tell_what_they_are_for() -> None:
    model = pydantic.create_model(
        "Given",
        amount=(Decimal, pydantic.Field(description="What it costs.")),
        item=(Item, pydantic.Field(title="The thing")),
        loud=(bool, True),
        count=(int, pydantic.Field(3, ge=1)),
    )
    form = form_for(schema_of(model))()
    page = form.as_div()
    assert form.fields["amount"].help_text == "What it costs."
    assert form.fields["item"].label == "The thing"
    assert form.fields["item"].help_text == "Something that is sold."
    assert '"sizes"' in form.fields["item"].shown_schema  # type: ignore[attr-defined]
    assert [name for name, field in form.fields.items() if field.required] == [
        "amount",
        "item",
    ]
    assert 'min="1"' in page
    assert what_a_browser_sends(page)["count"] == ["3"]
    assert what_a_browser_sends(page)["loud"] == ["on"]


def test_text_whose_default_is_deleted_is_empty_text() -> None:
    form = form_for(schema_of(model_of(str, "something")))({"value": ""})
    assert form.is_valid()
    assert form.value() == {"value": ""}


def test_what_is_not_sent_at_all_is_left_to_its_default() -> None:
    kinds: Any = ((str, "something"), (int | None, 5), (date | None, None))
    for annotation, default in kinds:
        form = form_for(schema_of(model_of(annotation, default)))({})
        assert form.is_valid()
        assert form.value() == {}


def test_a_number_whose_default_is_deleted_is_the_default() -> None:
    form = form_for(schema_of(model_of(int, 5)))({"value": ""})
    assert form.is_valid()
    assert form.value() == {}


@pytest.mark.parametrize("schema", [None, True, {}, {"type": "integer"}, []])
def test_what_is_no_object_is_one_json_field(schema: Any) -> None:
    form = form_for(schema)({"payload": "5"})
    assert form.is_valid()
    assert form.value() == 5


def test_without_a_schema_nothing_is_null() -> None:
    form = form_for(None)({"payload": ""})
    assert form.is_valid()
    assert form.value() is None
