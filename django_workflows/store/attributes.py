"""Runs by their attributes, as somebody writes one in a URL."""

from __future__ import annotations

import json
from typing import Any

from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.models import BooleanField, F, Func, Q

#: Numbers from here on are none that a run's attributes can have.
_LARGEST_INT, _LARGEST_FLOAT = 2**63, 1e16


def attribute_is(name: str, text: str) -> Q:
    """The condition that an attribute is this text, or the number, truth value or null
    that it writes in JSON."""
    condition = Q()
    for value in _meanings(text):
        condition |= Q(_AttributeIs(name, value))
    # Most runs that are looked at in vain have no such attribute at all. Then in the
    # words of the index, which leaves out the many runs without attributes.
    return Q(attributes__has_key=name) & ~Q(attributes={}) & condition


def _meanings(text: str) -> list[Any]:
    meanings: list[Any] = [text]
    try:
        value = json.loads(text)
    except (ValueError, RecursionError):
        return meanings
    if value is None or isinstance(value, bool) or _is_usable_number(value):
        meanings.append(value)
    return meanings


def _is_usable_number(value: Any) -> bool:
    if isinstance(value, int):
        return abs(value) < _LARGEST_INT
    return isinstance(value, float) and abs(value) < _LARGEST_FLOAT


class _AttributeIs(Func):
    """Whether an attribute of a run is a scalar; written as each database's index, or
    at least its reader of JSON, understands it."""

    output_field = BooleanField()

    def __init__(self, name: str, value: Any) -> None:
        super().__init__(F("attributes"))
        self.attribute = name
        self.value = value
        # Escaped as the names are that are stored: they are compared as written.
        self.path = f"$.{json.dumps(name)}"

    def as_postgresql(
        self, compiler: Any, connection: BaseDatabaseWrapper, **context: Any
    ) -> tuple[str, list[Any]]:
        column, params = self._column(compiler)
        wanted = json.dumps({self.attribute: self.value})
        return f"{column} @> %s::jsonb", [*params, wanted]

    def as_sqlite(
        self, compiler: Any, connection: BaseDatabaseWrapper, **context: Any
    ) -> tuple[str, tuple[Any, ...]]:
        column, params = self._column(compiler)
        kind = f"JSON_TYPE({column}, %s)"
        if self.value is None or isinstance(self.value, bool):
            return f"{kind} = %s", (*params, self.path, json.dumps(self.value))
        kinds = "('text')" if isinstance(self.value, str) else "('integer', 'real')"
        sql = f"({kind} IN {kinds} AND JSON_EXTRACT({column}, %s) = %s)"
        return sql, (*params, self.path, *params, self.path, self.value)

    def as_mysql(
        self, compiler: Any, connection: BaseDatabaseWrapper, **context: Any
    ) -> tuple[str, list[Any]]:
        column, params = self._column(compiler)
        scalar = f"JSON_TYPE(JSON_EXTRACT({column}, %s)) NOT IN ('ARRAY', 'OBJECT')"
        sql = f"(JSON_CONTAINS({column}, %s, %s) AND {scalar})"
        return sql, [*params, json.dumps(self.value), self.path, *params, self.path]

    def _column(self, compiler: Any) -> tuple[str, list[Any]]:
        column, params = compiler.compile(self.get_source_expressions()[0])
        return column, list(params)
