"""Which values a column has, without reading all its rows."""

from __future__ import annotations

from django.db.models import Field, Model

from django_workflows.store.database import connection


def distinct_values(model: type[Model], field: str, most: int) -> list[str]:
    """The first values of a field, sorted; `most` of them at most.

    In one statement that goes from each value to the next in an index that begins with
    the field: the same however many rows there are.
    """
    database = connection()
    quote = database.ops.quote_name
    found = model._meta.get_field(field)
    assert isinstance(found, Field)
    table, column = quote(model._meta.db_table), quote(str(found.column))
    if database.vendor == "mysql":
        # It goes there by itself, and told how it would read the whole index each time.
        statement = f"SELECT DISTINCT {column} FROM {table} ORDER BY {column} LIMIT %s"
    else:
        statement = _jumps(table, column)
    with database.cursor() as cursor:
        cursor.execute(statement, (most,))
        return [value for (value,) in cursor.fetchall()]


def _jumps(table: str, column: str) -> str:
    # The values are counted as they are found, as not all databases stop at a LIMIT.
    return (
        "WITH RECURSIVE found (value, number) AS ("
        f"SELECT MIN({column}), 1 FROM {table} UNION ALL "
        f"SELECT (SELECT MIN({column}) FROM {table} WHERE {column} > found.value), "
        "found.number + 1 FROM found "
        "WHERE found.value IS NOT NULL AND found.number < %s) "
        "SELECT value FROM found WHERE value IS NOT NULL ORDER BY value"
    )
