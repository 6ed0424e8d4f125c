"""Fills the database with closed runs: copies of one that really ran."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from django.apps import apps
from django.db import connection, models, transaction

from django_workflows.models import Event, Run

#: Runs per transaction, so that nobody waits long for SQLite's one writer.
CHUNK = 1_000
#: The number of a copy, for the SQL of its columns.
NUMBER = "series.n"


def fill(
    template: Run,
    first: int,
    last: int,
    *,
    chunk: int = CHUNK,
    columns: Mapping[str, str] | None = None,
    later: str = "0",
) -> None:
    """Store copies number `first` to `last` of a closed run, with all that is its.

    A copy's ids are the template's with the number as their last seven characters, and
    all its times are so many seconds `later`. In `columns` stands what else differs
    from run to run; `{}` in there is what it would be otherwise. Both are SQL about
    `NUMBER`.
    """
    for low in range(first, last + 1, chunk):
        high = min(low + chunk - 1, last)
        with transaction.atomic(), connection.cursor() as cursor:
            if connection.vendor == "postgresql":
                cursor.execute("SET LOCAL synchronous_commit = off")
            for model, owner in _tables():
                own = (columns or {}) if model is Run else {}
                numbers = range(low, high + 1)
                # Without parameters: a percent sign is one.
                cursor.execute(_copy(model, owner, template, own, later, numbers))


def tidy() -> None:
    """Bring the planner's statistics up to date, as autovacuum would in a while, and
    what was written to the disk, which else would go on meanwhile."""
    with connection.cursor() as cursor:
        if connection.vendor == "postgresql":
            cursor.execute("VACUUM ANALYZE")
            cursor.execute("CHECKPOINT")
        else:
            cursor.execute("ANALYZE")


def empty() -> None:
    """Take all runs away, with all that is theirs."""
    tables = [connection.ops.quote_name(model._meta.db_table) for model, _ in _tables()]
    with connection.cursor() as cursor:
        # Without a look at each row, as Django would take.
        if connection.vendor == "postgresql":
            cursor.execute(f"TRUNCATE {', '.join(tables)}")
            return
        for table in tables:
            cursor.execute(f"DELETE FROM {table}")


def numbered(column: str, number: str = NUMBER) -> str:
    """An id of the copy with this number, made of the template's: SQL."""
    digits = f"substr(CAST(10000000 + {number} AS text), 2)"
    return f"substr({column}, 1, length({column}) - 7) || {digits}"


def _tables() -> Iterator[tuple[type[models.Model], str]]:
    """The models whose rows belong to a run, and the column that says to which."""
    yield Run, "id"
    for model in apps.get_app_config("django_workflows").get_models():
        for field in model._meta.concrete_fields:
            if field.name == "run" and field.related_model is Run:
                yield model, field.attname


def _copy(
    model: type[models.Model],
    owner: str,
    template: Run,
    own: Mapping[str, str],
    later: str,
    numbers: range,
) -> str:
    quote = connection.ops.quote_name
    names, values = [], []
    for field in model._meta.concrete_fields:
        if isinstance(field, models.AutoField):
            continue
        column = quote(str(field.column))
        names.append(column)
        value = _value(field, f"t.{column}", later)
        values.append(own.get(str(field.column), "{}").replace("{}", value))
    table, key = quote(model._meta.db_table), quote(str(model._meta.pk.column))
    # Only names from the models, an id, and SQL of ours are put into the text.
    return (
        f"INSERT INTO {table} ({', '.join(names)}) "
        f"WITH RECURSIVE series(n) AS (SELECT {numbers[0]} UNION ALL "
        f"SELECT n + 1 FROM series WHERE n < {numbers[-1]}) "
        f"SELECT {', '.join(values)} FROM {table} t CROSS JOIN series "
        f"WHERE t.{quote(owner)} = '{template.pk}' ORDER BY {NUMBER}, t.{key}"
    )


def _value(field: models.Field[Any, Any], column: str, later: str) -> str:
    """What a copy has in a column."""
    if field.primary_key or field.related_model is Run:
        return numbered(column)
    if field.model is Event and field.name == "correlation_id":
        return f"CASE WHEN {column} = '' THEN '' ELSE {numbered(column)} END"
    if isinstance(field, models.DateTimeField) and later != "0":
        if connection.vendor == "postgresql":
            return f"{column} + ({later}) * interval '1 second'"
        return f"strftime('%Y-%m-%d %H:%M:%f', {column}, ({later}) || ' seconds')"
    return column
