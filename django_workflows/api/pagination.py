"""Pages by cursor, as fast at the end of a list as at its beginning.

A page begins behind the last row of the one before. Unlike REST framework's own cursors
these know the whole position, so that any number of rows may be equally old.
"""

from __future__ import annotations

import json
from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from django.core.exceptions import ValidationError as FieldError
from django.db.models import Field, Model, QuerySet
from django.template import loader
from rest_framework.exceptions import ValidationError
from rest_framework.pagination import BasePagination
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.utils.urls import remove_query_param, replace_query_param
from rest_framework.views import APIView

from django_workflows.store.paging import beyond


@dataclass(frozen=True)
class Cursor:
    """A position between rows: behind or before the row with these values."""

    is_backward: bool
    values: tuple[Any, ...]


class KeysetPagination(BasePagination):
    """Pages of a queryset of one model, in the order of the view's `ordering`.

    `ordering` names the fields that rows are sorted by, the last one unique; `-` before
    the first one turns all of them round. The client may turn them round, too, with the
    first field as `?ordering=`.
    """

    page_size = 100
    max_page_size = 1000
    template = "rest_framework/pagination/previous_and_next.html"

    def paginate_queryset(  # type: ignore[override]
        self, queryset: QuerySet[Any], request: Request, view: APIView | None = None
    ) -> list[Any]:
        """One page. Raises ValidationError for a parameter that means nothing."""
        self._request = request
        fields, is_descending = self._order(request, view)
        self._fields = [name.lstrip("-") for name in fields]
        size = self._size(request)
        cursor = self._cursor(request, queryset.model)
        goes_down = is_descending ^ (cursor is not None and cursor.is_backward)
        if cursor is not None:
            queryset = beyond(
                queryset, self._fields, cursor.values, goes_down=goes_down
            )
        sign = "-" if goes_down else ""
        rows = list(queryset.order_by(*(sign + f for f in self._fields))[: size + 1])
        has_more, page = len(rows) > size, rows[:size]
        if cursor is not None and cursor.is_backward:
            page.reverse()
            self._has_next, self._has_previous = True, has_more
        else:
            self._has_next, self._has_previous = has_more, cursor is not None
        self._first, self._last = self._ends(page, cursor)
        self.display_page_controls = self._has_next or self._has_previous
        return page

    def get_paginated_response(self, data: Any) -> Response:
        return Response(
            {"next": self._next(), "previous": self._previous(), "results": data}
        )

    def _order(
        self, request: Request, view: APIView | None
    ) -> tuple[Sequence[str], bool]:
        fields: Sequence[str] = getattr(view, "ordering", ())
        first = fields[0].lstrip("-")
        wanted = request.query_params.get("ordering", fields[0])
        if wanted.removeprefix("-") != first:
            raise ValidationError(
                {"ordering": [f"this list is ordered by {first} or -{first}"]}
            )
        return fields, wanted.startswith("-")

    def _size(self, request: Request) -> int:
        given = request.query_params.get("page_size", str(self.page_size))
        # Digits of other scripts are no numbers here, and nine of them are enough.
        size = int(given[:9]) if given.isascii() and given.isdigit() else 0
        if size < 1:
            raise ValidationError(
                {"page_size": [f"a number from 1 to {self.max_page_size} is needed"]}
            )
        return min(size, self.max_page_size)

    def _cursor(self, request: Request, model: type[Model]) -> Cursor | None:
        given = request.query_params.get("cursor")
        if given is None:
            return None
        try:
            direction, *values = json.loads(urlsafe_b64decode(given.encode()))
            return Cursor(
                {"n": False, "p": True}[direction],
                tuple(
                    _value(model._meta.get_field(name), value)
                    for name, value in zip(self._fields, values, strict=True)
                ),
            )
        except (
            ArithmeticError,
            FieldError,
            LookupError,
            RecursionError,
            TypeError,
            ValueError,
        ):
            raise ValidationError({"cursor": ["this is no cursor of ours"]}) from None

    def _ends(self, page: list[Any], cursor: Cursor | None) -> tuple[Any, Any]:
        if not page:
            position = cursor.values if cursor else ()
            return position, position
        return self._position(page[0]), self._position(page[-1])

    def _position(self, row: Any) -> tuple[Any, ...]:
        return tuple(getattr(row, name) for name in self._fields)

    def _next(self) -> str | None:
        return self._link("n", self._last) if self._has_next else None

    def _previous(self) -> str | None:
        return self._link("p", self._first) if self._has_previous else None

    def _link(self, direction: str, values: Sequence[Any]) -> str:
        url = remove_query_param(self._request.build_absolute_uri(), "cursor")
        return replace_query_param(url, "cursor", encode_cursor(direction, values))

    # What the browsable API and the schema ask for.

    def to_html(self) -> str:
        context = {"previous_url": self._previous(), "next_url": self._next()}
        return loader.get_template(self.template).render(context)

    def get_results(self, data: Any) -> Any:
        return data["results"]

    def get_paginated_response_schema(self, schema: dict[str, Any]) -> dict[str, Any]:
        link = {"type": "string", "format": "uri", "nullable": True}
        return {
            "type": "object",
            "required": ["next", "previous", "results"],
            "properties": {"next": link, "previous": link, "results": schema},
        }

    def get_schema_operation_parameters(self, view: APIView) -> list[dict[str, Any]]:
        first = getattr(view, "ordering", ("created_at",))[0].lstrip("-")
        size = {
            "type": "integer",
            "minimum": 1,
            "default": self.page_size,
        }
        return [
            _parameter("cursor", "Where the page begins; from `next` or `previous`."),
            _parameter(
                "page_size",
                f"Most results on the page; {self.max_page_size:,} at most, whatever "
                "is asked for.",
                size,
            ),
            _parameter(
                "ordering",
                f"`{first}` begins at the low end, `-{first}` at the high one.",
                {"type": "string", "enum": [first, f"-{first}"]},
            ),
        ]


def encode_cursor(direction: str, values: Sequence[Any]) -> str:
    """A cursor for the rows behind (``n``) or before (``p``) a position."""
    position = json.dumps([direction, *map(_plain, values)])
    return urlsafe_b64encode(position.encode()).decode()


def _parameter(
    name: str, description: str, schema: dict[str, Any] | None = None
) -> dict[str, Any]:
    return {
        "name": name,
        "in": "query",
        "required": False,
        "description": description,
        "schema": schema or {"type": "string"},
    }


def _plain(value: Any) -> Any:
    return value if isinstance(value, int | str) else value.isoformat()


def _value(field: Any, given: Any) -> Any:
    """A value of a field as a cursor has it. Raises what REST framework may not."""
    assert isinstance(field, Field)
    if not isinstance(given, int | str) or isinstance(given, bool):
        raise TypeError
    value = field.clean(given, None)
    if isinstance(value, str) and ("\0" in value or not value.isprintable()):
        raise ValueError
    if hasattr(value, "utctimetuple"):
        value.utctimetuple()  # beyond the calendar in UTC it is an OverflowError
    return value
