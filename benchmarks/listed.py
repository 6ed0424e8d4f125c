"""Fills the database with runs that differ in all that lists can be filtered by."""

from __future__ import annotations

from django.db import connection, transaction

from django_workflows.models import Run

#: Runs per transaction.
CHUNK = 50_000
#: Started at once: runs of exactly the same age.
TIES = range(600_000, 650_000)
_SECOND = f"CASE WHEN n BETWEEN {TIES[0]} AND {TIES[-1]} THEN {TIES[0]} ELSE n END"
#: What differs from run to run, by its number `n`, in SQL that both databases know.
#: Attributes: `plan` has few values, one of them common; `customer` has many; `late` is
#: common, and no early run has it; `once` is on a single run.
_COLUMNS = {
    "id": "'wrun_' || substr(CAST(10000000 + n AS text), 2) || '00000000000000000000'",
    "workflow": """CASE WHEN n % 10000 = 7 THEN 'shop.rare' WHEN n % 10 = 1
        THEN 'shop.mails' ELSE 'shop.orders' END""",
    "status": """CASE WHEN n % 100000 = 3 THEN 'paused' WHEN n % 25 = 4 THEN 'failed'
        ELSE 'completed' END""",
    "queue": """CASE WHEN n % 10000 = 9 THEN 'rare' WHEN n % 10 = 2 THEN 'mail'
        ELSE 'default' END""",
    "start_key": "CASE WHEN n % 2 = 0 THEN 'order-' || (n / 4) END",
    "attributes": """'{{"customer": ' || (n % 100000) || ', "plan": "' ||
        CASE WHEN n % 2 = 0 THEN 'free' WHEN n % 100 = 5 THEN 'gold' ELSE 'paid' END ||
        '"' || CASE WHEN n > {count} / 2 THEN ', "late": true' ELSE '' END ||
        CASE WHEN n = {count} - 5 THEN ', "once": 1' ELSE '' END || '}}'""",
}
_CREATED = {
    "postgresql": "timestamptz '2025-01-01' + ({second}) * interval '1 second'",
    "sqlite": "strftime('%Y-%m-%d %H:%M:%S', 1735689600 + {second}, 'unixepoch')",
}
_SERIES = {
    "postgresql": "generate_series({low}, {high}) AS s(n)",
    "sqlite": """(WITH RECURSIVE s(n) AS (SELECT {low} UNION ALL SELECT n + 1 FROM s
        WHERE n < {high}) SELECT n FROM s) AS s""",
}


def fill(template: Run, count: int) -> None:
    """Store that many runs beside the template, whose other columns they have. Of the
    logs of these runs there is nothing."""
    vendor, quote = connection.vendor, connection.ops.quote_name
    values = {**_COLUMNS, "created_at": _CREATED[vendor].format(second=_SECOND)}
    values["attributes"] = values["attributes"].format(count=count)
    if vendor == "postgresql":
        values["attributes"] = f"({values['attributes']})::jsonb"
    names = [str(field.column) for field in Run._meta.concrete_fields]
    selected = ", ".join(values.get(name, f"t.{quote(name)}") for name in names)
    for low in range(1, count + 1, CHUNK):
        high = min(low + CHUNK - 1, count)
        series = _SERIES[vendor].format(low=low, high=high)
        with transaction.atomic(), connection.cursor() as cursor:
            cursor.execute(
                f"INSERT INTO django_workflows_run ({', '.join(map(quote, names))}) "
                f"SELECT {selected} FROM {series} CROSS JOIN django_workflows_run t "
                f"WHERE t.id = '{template.pk}'"
            )
