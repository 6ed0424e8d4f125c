"""What lists know of their rows besides what is in them."""

from __future__ import annotations

from typing import Generic, TypeVar, cast

from django.db.models import Model

Value = TypeVar("Value")


class Beside(Generic[Value]):
    """One thing that a list finds out for all rows of a page at once, and that its
    columns show, which are given the row alone."""

    def __init__(self, name: str) -> None:
        self._attribute = f"_{name}_in_list"

    def put(self, row: Model, value: Value) -> None:
        """Keep the value for a row."""
        vars(row)[self._attribute] = value

    def of(self, row: Model) -> Value:
        """The value that was kept for a row."""
        return cast(Value, vars(row)[self._attribute])
