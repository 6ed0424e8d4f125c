"""Pages of long lists: each begins behind the last row of the one before, so that the
last one costs no more than the first."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeVar

from django.db.models import F, Model, QuerySet
from django.db.models.fields.tuple_lookups import (
    Tuple,
    TupleGreaterThan,
    TupleLessThan,
)

Row = TypeVar("Row", bound=Model)


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
