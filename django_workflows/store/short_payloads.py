"""Reads rows with their payloads, as far as a page with many of them can show these."""

from __future__ import annotations

from typing import Any, TypeVar

from django.db.models import BinaryField, Case, F, QuerySet, When
from django.db.models.functions import Length

from django_workflows.models import Event, StreamChunk

Row = TypeVar("Row", Event, StreamChunk)

#: Bytes of a payload, as it is stored, that is shown among others.
LARGEST = 32 * 1024


def with_payloads(rows: QuerySet[Row]) -> QuerySet[Row]:
    """The rows, for the functions below: what is larger than `LARGEST` is not read."""
    fits = When(size__lte=LARGEST, then=F("payload"))
    sealed = Case(fits, default=None, output_field=BinaryField())
    return rows.defer("payload").annotate(size=Length("payload"), sealed=sealed)


def payload_in(row: Any) -> bytes | None:
    """The payload of such a row, as it is stored; None if there is none or not here."""
    return None if row.sealed is None else bytes(row.sealed)


def is_too_large(row: Any) -> bool:
    """Whether such a row has a payload that is too large to be shown among others."""
    return row.size is not None and row.sealed is None
