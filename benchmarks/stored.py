"""Fills the database with closed runs: copies of one that really ran."""

from __future__ import annotations

from typing import Any

from django.apps import apps
from django.db import connection, models, transaction

from django_workflows.models import Run

#: Runs per transaction, so that nobody waits long for SQLite's one writer.
CHUNK = 1_000


def fill(template: Run, first: int, last: int) -> None:
    """Store copies number `first` to `last` of a closed run, with all that is its.

    A copy's ids are the template's with the number as their last seven characters.
    """
    for low in range(first, last + 1, CHUNK):
        high = min(low + CHUNK - 1, last)
        with transaction.atomic(), connection.cursor() as cursor:
            for model, owner in _tables():
                cursor.execute(_copy(model, owner), [low, high, template.pk])


def tidy() -> None:
    """Bring the planner's statistics up to date, as autovacuum would in a while."""
    with connection.cursor() as cursor:
        vacuum = connection.vendor == "postgresql"
        cursor.execute("VACUUM ANALYZE" if vacuum else "ANALYZE")


def _tables() -> list[tuple[type[models.Model], str]]:
    """The models whose rows belong to a run, and the column that says to which."""
    tables: list[tuple[type[models.Model], str]] = [(Run, "id")]
    for model in apps.get_app_config("django_workflows").get_models():
        tables += [
            (model, field.attname)
            for field in model._meta.concrete_fields
            if field.name == "run" and field.related_model is Run
        ]
    return tables


def _copy(model: type[models.Model], owner: str) -> str:
    quote = connection.ops.quote_name
    columns, values = [], []
    for field in model._meta.concrete_fields:
        if isinstance(field, models.AutoField):
            continue
        column = quote(field.column or field.attname)
        columns.append(column)
        values.append(_numbered(column) if _names_the_run(field) else f"t.{column}")
    table = quote(model._meta.db_table)
    # Only names from the models are put into the text.
    return (
        f"INSERT INTO {table} ({', '.join(columns)}) "
        "WITH RECURSIVE series(n) AS "
        "(SELECT CAST(%s AS integer) UNION ALL SELECT n + 1 FROM series"
        " WHERE n < CAST(%s AS integer)) "
        f"SELECT {', '.join(values)} FROM {table} t CROSS JOIN series "
        f"WHERE t.{quote(owner)} = %s"
    )


def _names_the_run(field: models.Field[Any, Any]) -> bool:
    return field.primary_key or field.related_model is Run


def _numbered(column: str) -> str:
    number = "substr(CAST(10000000 + series.n AS text), 2)"
    return f"substr(t.{column}, 1, length(t.{column}) - 7) || {number}"
