"""Lists of any length: no row is counted, and none is read to be skipped."""

from __future__ import annotations

from typing import Any

from django.contrib.admin import ShowFacets
from django.contrib.admin.options import IncorrectLookupParameters
from django.contrib.admin.views.main import PAGE_VAR, ChangeList
from django.db.models import Q, QuerySet
from django.db.models.expressions import Combinable
from django.http import HttpRequest

from django_workflows.admin.base import FilteredChangeList, RecordAdmin, Row
from django_workflows.admin.filters import ValueFilter
from django_workflows.store.paging import parse_cursor, read_page


class KeysetChangeList(FilteredChangeList):
    """A list whose pages begin behind the last row of the one before.

    Its order is that of the admin's `ordering`: fields of the model, the last one
    unique, all of them with a `-` or none. The place of a page stands in the parameter
    in which Django has its number.
    """

    model_admin: LongListAdmin[Any]

    def get_ordering(
        self, request: HttpRequest, queryset: QuerySet[Any]
    ) -> list[str | Combinable]:
        return list(self.model_admin.get_ordering(request))

    def get_results(self, request: HttpRequest) -> None:
        ordering = [str(field) for field in self.model_admin.get_ordering(request)]
        names = [field.removeprefix("-") for field in ordering]
        given = request.GET.get(PAGE_VAR)
        try:
            cursor = None if given is None else parse_cursor(given, self.model, names)
        except ValueError as error:
            raise IncorrectLookupParameters(error) from None
        self.page = read_page(
            self.queryset.defer(*self.model_admin.list_defer),
            names,
            cursor,
            is_descending=ordering[0].startswith("-"),
            size=self.list_per_page,
            kinds=self._kinds(),
        )
        self.is_first_page = cursor is None
        self.result_list = self.page.rows
        # Known is only what is on the page. Where both numbers are equal, Django offers
        # neither to select nor to show what is on other pages.
        self.result_count = self.full_result_count = len(self.page.rows)
        self.show_full_result_count = False
        self.show_admin_actions = bool(self.page.rows)
        self.can_show_all = self.multi_page = False

    @property
    def first_page_url(self) -> str:
        return self.get_query_string()

    @property
    def next_page_url(self) -> str | None:
        return self._url(self.page.next)

    @property
    def previous_page_url(self) -> str | None:
        return self._url(self.page.previous)

    def _kinds(self) -> list[Q]:
        """What makes kinds of its rows: it is a list of several if a filter says so."""
        for spec in self.filter_specs:
            if isinstance(spec, ValueFilter) and (kinds := spec.kinds()):
                return kinds
        return []

    def _url(self, cursor: object) -> str | None:
        if cursor is None:
            return None
        return self.get_query_string({PAGE_VAR: str(cursor)})


class LongListAdmin(RecordAdmin[Row]):
    """Pages of records of which there may be any number; `ordering` has to be set as
    `KeysetChangeList` wants it."""

    change_list_template = "admin/django_workflows/long_list.html"
    list_per_page = 50
    #: Fields that the list does not read.
    list_defer: tuple[str, ...] = ()
    show_full_result_count = False
    show_facets = ShowFacets.NEVER
    #: The columns by which people may sort: there is one order only.
    sortable_by = ()

    def get_changelist(self, request: HttpRequest, **kwargs: Any) -> type[ChangeList]:
        return KeysetChangeList
