"""Pages by cursor, as fast at the end of a list as at its beginning: unlike REST
framework's own cursors these know the whole position."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from django.db.models import Model, QuerySet
from django.template import loader
from rest_framework.exceptions import ValidationError
from rest_framework.pagination import BasePagination
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.utils.urls import remove_query_param, replace_query_param
from rest_framework.views import APIView

from django_workflows.store.paging import Cursor, parse_cursor, read_page


class KeysetPagination(BasePagination):
    """Pages of a queryset of one model, in the order of the view's `ordering`.

    `ordering` names the fields that rows are sorted by, the last one unique; `-` before
    the first one turns all of them round. The client may turn them round, too, with the
    first field as `?ordering=`. A view whose rows may be of several kinds tells them in
    `kinds()`, as `read_page` takes them.
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
        names = [name.lstrip("-") for name in fields]
        size = self._size(request)
        cursor = self._cursor(request, queryset.model, names)
        self._page = read_page(
            queryset,
            names,
            cursor,
            is_descending=is_descending,
            size=size,
            kinds=getattr(view, "kinds", list)(),
        )
        self.display_page_controls = bool(self._page.next or self._page.previous)
        return self._page.rows

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

    def _cursor(
        self, request: Request, model: type[Model], names: Sequence[str]
    ) -> Cursor | None:
        given = request.query_params.get("cursor")
        try:
            return None if given is None else parse_cursor(given, model, names)
        except ValueError as error:
            raise ValidationError({"cursor": [str(error)]}) from None

    def _next(self) -> str | None:
        return self._link(self._page.next)

    def _previous(self) -> str | None:
        return self._link(self._page.previous)

    def _link(self, cursor: Cursor | None) -> str | None:
        if cursor is None:
            return None
        url = remove_query_param(self._request.build_absolute_uri(), "cursor")
        return replace_query_param(url, "cursor", str(cursor))

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
