"""Pages of long lists: each begins behind the last row of the one before, so that the
last one costs no more than the first. A cursor knows the whole position: any number of
rows may be equally old."""

from __future__ import annotations

import json
from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from django.core.exceptions import ValidationError
from django.db import connections
from django.db.models import F, Field, Model, Q, QuerySet
from django.db.models.fields.tuple_lookups import (
    Tuple,
    TupleGreaterThan,
    TupleLessThan,
)

from django_workflows.store.database import is_postgresql

Row = TypeVar("Row", bound=Model)


@dataclass(frozen=True)
class Cursor:
    """A position between rows: behind or before the row with these values."""

    is_backward: bool
    values: tuple[Any, ...]

    def __str__(self) -> str:
        """The cursor for a URL, as `parse_cursor` reads it."""
        direction = "p" if self.is_backward else "n"
        position = json.dumps([direction, *map(_plain, self.values)])
        return urlsafe_b64encode(position.encode()).decode()


@dataclass(frozen=True)
class Page(Generic[Row]):
    """Some rows of a list, and where the pages beside them begin."""

    rows: list[Row]
    next: Cursor | None
    previous: Cursor | None


def parse_cursor(text: str, model: type[Model], names: Sequence[str]) -> Cursor:
    """The cursor that a URL names, for a list in the order of some fields of a model.

    Raises ValueError for anything else.
    """
    try:
        direction, *values = json.loads(urlsafe_b64decode(text.encode()))
        return Cursor(
            {"n": False, "p": True}[direction],
            tuple(
                _value(model._meta.get_field(name), value)
                for name, value in zip(names, values, strict=True)
            ),
        )
    except (
        ArithmeticError,
        LookupError,
        RecursionError,
        TypeError,
        ValidationError,
        ValueError,
    ):
        raise ValueError("this is no cursor of ours") from None


def read_page(
    queryset: QuerySet[Row],
    names: Sequence[str],
    cursor: Cursor | None,
    *,
    is_descending: bool,
    size: int,
    kinds: Sequence[Q] = (),
) -> Page[Row]:
    """The rows at a position in the order of some fields, the last of them unique; with
    no cursor the first ones.

    With `kinds`, one of which each row is of, the rows of each are sought by
    themselves: an index that begins with what makes them one has the order only there.
    """
    is_backward = cursor is not None and cursor.is_backward
    goes_down = is_descending ^ is_backward
    if cursor is not None:
        queryset = beyond(queryset, names, cursor.values, goes_down=goes_down)
    sign = "-" if goes_down else ""
    ordered = queryset.order_by(*(sign + name for name in names))
    found = [
        row
        for kind in kinds or [Q()]
        for row in first_of(ordered.filter(kind), size + 1)
    ]
    if len(kinds) > 1:
        found.sort(key=lambda row: _position(row, names), reverse=goes_down)
        del found[size + 1 :]
    has_more, rows = len(found) > size, found[:size]
    if is_backward:
        rows.reverse()
    first, last = (), ()
    if rows:
        first, last = _position(rows[0], names), _position(rows[-1], names)
    elif cursor is not None:
        first = last = cursor.values
    has_next = is_backward or has_more
    has_previous = has_more if is_backward else cursor is not None
    return Page(
        rows,
        next=Cursor(False, last) if has_next else None,
        previous=Cursor(True, first) if has_previous else None,
    )


def kinds_of(field: str, values: Sequence[str]) -> list[Q]:
    """The kinds, for `read_page`, of rows that have one of some values in a field."""
    different = dict.fromkeys(values)
    return [Q(**{field: value}) for value in different] if len(different) > 1 else []


def first_of(ordered: QuerySet[Row], count: int) -> QuerySet[Row]:
    """So many rows from the beginning of a list."""
    if not is_postgresql(connections[ordered.db]) or len(ordered.query.order_by) == 1:
        return ordered[:count]
    # Their keys alone stand in the index that begins with what the list is narrowed by.
    # For whole rows PostgreSQL prefers the index that has all rows in their order, as
    # if those that are meant were all over the table: it would read all newer ones.
    return ordered.filter(pk__in=ordered.values("pk")[:count])


def beyond(
    queryset: QuerySet[Row],
    names: Sequence[str],
    values: Sequence[object],
    *,
    goes_down: bool,
) -> QuerySet[Row]:
    """The rows behind a position in the order of some fields, or before it if we go
    down. The last field is unique."""
    suffix = "lt" if goes_down else "gt"
    if len(names) == 1:
        return queryset.filter(**{f"{names[0]}__{suffix}": values[0]})
    # The tuples as such, which PostgreSQL and SQLite find in an index, and for MariaDB,
    # which does not, where their first part begins.
    lookup = TupleLessThan if goes_down else TupleGreaterThan
    return queryset.filter(
        lookup(Tuple(*map(F, names)), values), **{f"{names[0]}__{suffix}e": values[0]}
    )


def _position(row: Model, names: Sequence[str]) -> tuple[Any, ...]:
    return tuple(getattr(row, name) for name in names)


def _plain(value: Any) -> Any:
    return value if isinstance(value, int | str) else value.isoformat()


def _value(field: Any, given: Any) -> Any:
    """A value of a field as a cursor has it. Raises what `parse_cursor` catches."""
    assert isinstance(field, Field)
    if not isinstance(given, int | str) or isinstance(given, bool):
        raise TypeError
    value = field.clean(given, None)
    if isinstance(value, str) and ("\0" in value or not value.isprintable()):
        raise ValueError
    if hasattr(value, "utctimetuple"):
        value.utctimetuple()  # beyond the calendar in UTC it is an OverflowError
    return value
