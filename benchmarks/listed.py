"""Fills the database with runs that differ in all that lists can be filtered by, and
with logs for them."""

from __future__ import annotations

from django.db import connection, transaction

from django_workflows.models import Event, Run

#: Runs per transaction.
CHUNK = 50_000
#: Started at once: runs of exactly the same age.
TIES = range(600_000, 650_000)
_SECOND = f"CASE WHEN n BETWEEN {TIES[0]} AND {TIES[-1]} THEN {TIES[0]} ELSE n END"
ID = "'wrun_' || substr(CAST(10000000 + n AS text), 2) || '00000000000000000000'"
#: A blocked run.
_BLOCKED = "n % 20000 = 11"
#: What differs from run to run, by its number `n`, in SQL that both databases know.
#: Attributes: `plan` has few values, one of them common; `customer` has many; `late` is
#: common, and no early run has it; `once` is on a single run.
_COLUMNS = {
    "id": ID,
    "workflow": """CASE WHEN n % 10000 = 7 THEN 'shop.rare' WHEN n % 10 = 1
        THEN 'shop.mails' ELSE 'shop.orders' END""",
    "status": f"""CASE WHEN n % 100000 = 3 THEN 'paused' WHEN {_BLOCKED} THEN 'running'
        WHEN n % 25 = 4 THEN 'failed' ELSE 'completed' END""",
    "finished_at": f"""CASE WHEN n % 100000 = 3 OR {_BLOCKED} THEN NULL
        ELSE t.finished_at END""",
    "blocked_times": f"CASE WHEN {_BLOCKED} THEN 1 ELSE 0 END",
    "blocked_reason": f"CASE WHEN {_BLOCKED} THEN 'other code' ELSE '' END",
    "version": "CASE WHEN n % 1000 = 13 THEN '2' ELSE '' END",
    "queue": """CASE WHEN n % 10000 = 9 THEN 'rare' WHEN n % 10 = 2 THEN 'mail'
        ELSE 'default' END""",
    "start_key": "CASE WHEN n % 2 = 0 THEN 'order-' || (n / 4) END",
    "attributes": """'{{"customer": ' || (n % 100000) || ', "plan": "' ||
        CASE WHEN n % 2 = 0 THEN 'free' WHEN n % 100 = 5 THEN 'gold' ELSE 'paid' END ||
        '"' || CASE WHEN n > {count} / 2 THEN ', "late": true' ELSE '' END ||
        CASE WHEN n = {count} - 5 THEN ', "once": 1' ELSE '' END || '}}'""",
}
#: Events per transaction, about.
EVENTS = 1_000_000
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


def fill_logs(template: Run, count: int) -> None:
    """Give each of these runs the log of the template."""
    quote = connection.ops.quote_name
    names = [
        quote(str(field.column))
        for field in Event._meta.concrete_fields
        if not field.primary_key
    ]
    values = [ID if name == quote("run_id") else f"t.{name}" for name in names]
    chunk = EVENTS // Event.objects.filter(run=template).count()
    for low in range(1, count + 1, chunk):
        high = min(low + chunk - 1, count)
        series = _SERIES[connection.vendor].format(low=low, high=high)
        with transaction.atomic(), connection.cursor() as cursor:
            if connection.vendor == "postgresql":
                cursor.execute("SET LOCAL synchronous_commit = off")
            cursor.execute(
                f"INSERT INTO django_workflows_event ({', '.join(names)}) "
                f"SELECT {', '.join(values)} FROM {series} "
                "CROSS JOIN django_workflows_event t "
                f"WHERE t.run_id = '{template.pk}' ORDER BY n, t.seq"
            )
