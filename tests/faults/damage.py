"""Damages rows, column by column, as a bad hand or a bad disk would."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import Any

from django.db import DataError, IntegrityError, connection, models, transaction

from tests.faults.sampling import sample

Value = Any
#: Makes of a column's value another one.
Damage = Callable[[Value], Value]

_ODD = "damäged"
_DEEP = "[" * 20_000
_NOT_JSON = ("{", _ODD, f'{{"name": "{_ODD}"', _DEEP, _ODD * 5_000)
_OTHER_JSON = ("[]", "[1]", "{}", "7", "null", '"text"', "1e999", '{"a": {}}')
_BYTES = (
    b"",
    b"\xff\xfe\x80",
    b"\x01sealed by nobody",
    b'{"$": "no such type"}',
    *(text.encode() for text in (*_NOT_JSON[:3], *_OTHER_JSON)),
)
_NUMBERS = {
    models.IntegerField: (-1, 0, -(2**31), 2**31 - 1),
    models.BigIntegerField: (-1, 0, -(2**63), 2**63 - 1),
    models.BigAutoField: (-1, 2**40),
    models.FloatField: (-1.0, 0.0, 1e9),
}
#: What members of JSON objects are replaced by, each time all of them.
_MEMBERS: tuple[Any, ...] = (None, -1, 10**30, "", "text", [], [1], {}, {"a": 1})


def damages(field: models.Field[Any, Any]) -> Iterator[tuple[str, Damage]]:
    """What can happen to the values of a column, by what to call it."""
    if field.null:
        yield "NULL", _be(None)
    for value in _values(field):
        yield repr(value)[:60], _be(value)
    if isinstance(field, models.TextField | models.JSONField):
        for member in _MEMBERS:
            yield f"members {member!r}", partial(_with_members, member)


def _values(field: models.Field[Any, Any]) -> Iterator[Value]:
    if isinstance(field, models.ForeignKey):
        yield from _values(field.target_field)
    for kind, numbers in _NUMBERS.items():
        if type(field) is kind:
            yield from numbers
    if isinstance(field, models.JSONField):
        yield from _OTHER_JSON[:-2]
    elif isinstance(field, models.TextField):
        yield from ("", *_NOT_JSON, *_OTHER_JSON)
    elif isinstance(field, models.BinaryField):
        yield from _BYTES
    elif isinstance(field, models.CharField):
        yield from ("", _ODD, "{", "a\n<b>%s", "x" * (field.max_length or 5_000))
    elif isinstance(field, models.BooleanField):
        yield from (True, False)


def _be(value: Value) -> Damage:
    return lambda _: value


def _with_members(member: Any, text: Value) -> Value:
    """A JSON object with other values under the same names, at every depth but one."""
    try:
        value = json.loads(text)
    except (TypeError, ValueError, RecursionError):
        return text
    if isinstance(value, list):
        return json.dumps([member for _each in value])
    if isinstance(value, dict):
        return json.dumps(dict.fromkeys(value, member))
    return text


def spread(
    model: type[models.Model], offsets: Sequence[int] = (0,)
) -> Iterator[list[tuple[str, models.Field[Any, Any], Damage]]]:
    """What can happen to rows of this model, by what to call it: as many at once as
    there are rows, each of which has one damage. `offsets` begin elsewhere, so that
    other rows have them. Each column has some of it, all of it with FAULTS=all."""
    all_damages = [
        (f"{field.name} {what}", field, how)
        for field in model._meta.concrete_fields
        if not field.primary_key
        for what, how in damages(field)
    ]
    every = [all_damages[number] for number in sample(len(all_damages), 16)]
    size = max(1, model._default_manager.count())
    for offset in offsets:
        turned = [*every[offset:], *every[:offset]]
        for first in range(0, len(turned), size):
            yield turned[first : first + size]


def damage_rows(
    model: type[models.Model],
    damages: Sequence[tuple[str, models.Field[Any, Any], Damage]],
) -> list[str]:
    """Damage one row after the other. Returns what has been done: databases do not take
    every value."""
    keys = model._default_manager.order_by("pk").values_list("pk", flat=True)
    return [
        f"{what} in {key}"
        for key, (what, field, how) in zip(keys, damages, strict=False)
        if damage(field, how, key)
    ]


def damage(field: models.Field[Any, Any], how: Damage, key: Any) -> bool:
    """Damage a column of the row with this key. Returns whether it has changed."""
    table, key_column, column = _names(field)
    with connection.cursor() as cursor:
        cursor.execute(f"SELECT {column} FROM {table} WHERE {key_column} = %s", [key])
        (stored,) = cursor.fetchone()
    value = _plain(stored)
    damaged = how(value)
    if damaged == value:
        return False
    try:
        with transaction.atomic(), connection.cursor() as cursor:
            cursor.execute(
                f"UPDATE {table} SET {column} = %s WHERE {key_column} = %s",
                [damaged, key],
            )
    except (IntegrityError, DataError, OverflowError):
        return False
    return True


def _names(field: models.Field[Any, Any]) -> list[str]:
    """The names of the table, of its key and of the column, as SQL takes them."""
    options = field.model._meta
    names: tuple[Any, ...] = options.db_table, options.pk.column, field.column
    return list(map(connection.ops.quote_name, names))


def _plain(value: Value) -> Value:
    if isinstance(value, memoryview):
        return bytes(value)
    return json.dumps(value) if isinstance(value, dict | list) else value
