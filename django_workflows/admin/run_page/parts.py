"""Lists of a page that are known as a whole, and are shown part by part."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar

from django.http import HttpRequest

from django_workflows.admin.run_page.addresses import address

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Part(Generic[T]):
    """Some rows of a list that is known as a whole: a page of it."""

    rows: Sequence[T]
    #: Of the first and the last row, counted from 1; 0 if there is none.
    first: int
    last: int
    total: int
    previous: str | None
    next: str | None

    @property
    def is_all(self) -> bool:
        return self.previous is None and self.next is None


def part_of(
    request: HttpRequest,
    anchor: str,
    name: str,
    rows: Sequence[T],
    size: int,
    index: int | None = None,
    **changes: object,
) -> Part[T]:
    """The rows from the index on that the parameter of this name gives; the first ones
    if it gives none that there is. With an index, the page that has the row there.

    Links to the other pages differ by `changes`, too.
    """
    if index is None:
        begin = _index(request.GET.get(name, ""), len(rows))
    else:
        begin = index // size * size
    end = min(begin + size, len(rows))
    changes_before = {**changes, name: max(begin - size, 0) or None}
    return Part(
        rows[begin:end],
        begin + 1 if rows else 0,
        end,
        len(rows),
        address(request, anchor, **changes_before) if begin > 0 else None,
        address(request, anchor, **{**changes, name: end}) if end < len(rows) else None,
    )


def _index(text: str, length: int) -> int:
    # Digits that are none of ASCII are no numbers for `int` in every case.
    if not (text.isascii() and text.isdigit()) or len(text) > 9:
        return 0
    index = int(text)
    return index if index < length else 0
