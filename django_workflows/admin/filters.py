"""What filters of lists have in common."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from django.contrib.admin import SimpleListFilter
from django.contrib.admin.options import IncorrectLookupParameters
from django.db.models import Q, QuerySet
from django.http import HttpRequest


class ValueFilter(SimpleListFilter):
    """Narrows a list by one value: by default to the rows that have it in the field of
    the parameter's name."""

    def queryset(
        self, request: HttpRequest, queryset: QuerySet[Any]
    ) -> QuerySet[Any] | None:
        value = self.value()
        return None if value is None else self.narrowed(queryset, without_nul(value))

    def narrowed(self, rows: QuerySet[Any], value: str) -> QuerySet[Any]:
        """The rows that are meant. Raises IncorrectLookupParameters."""
        return rows.filter(**{str(self.parameter_name): value})

    def kinds(self) -> list[Q]:
        """What makes kinds of the rows, if the value stands for several, of which long
        lists seek each by itself."""
        return []


class ChoiceFilter(ValueFilter):
    """Offers some values; others are refused."""

    #: Each with its label.
    offered: Sequence[tuple[str, Any]] = ()

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, Any]]:
        return list(self.offered)

    def queryset(
        self, request: HttpRequest, queryset: QuerySet[Any]
    ) -> QuerySet[Any] | None:
        if self.value() not in (None, *dict(self.lookup_choices)):
            raise IncorrectLookupParameters
        return super().queryset(request, queryset)


class NameFilter(ValueFilter):
    """Offers the names that it finds; there may be others."""

    def named(self, names: Iterable[str]) -> list[tuple[str, str]]:
        """Names for `lookups`; the chosen one is always among them."""
        found, chosen = list(names), self.value()
        if chosen is not None and chosen not in found:
            found.append(chosen)
        return [(name, name) for name in found]


class RelatedFilter(NameFilter):
    """Narrows a list to what belongs to one row, which links name. It is shown while
    there is one."""

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        return self.named([])


def without_nul(text: str) -> str:
    """A text as databases take it. Raises IncorrectLookupParameters."""
    if "\0" in text:
        raise IncorrectLookupParameters
    return text
