"""The project may isolate its own transactions as it likes."""

from __future__ import annotations

from contextlib import closing

import pytest
from django.db import connection

from django_workflows.store.database import private_connection, transaction

LEVELS = {"postgresql": 4, "mysql": "serializable"}
"""The strictest, as Django's option names it."""
QUESTIONS = {
    "postgresql": "SHOW transaction_isolation",
    "mysql": "SELECT LOWER(REPLACE(@@tx_isolation, '-', ' '))",
}


@pytest.mark.skipif(connection.vendor == "sqlite", reason="has one level")
@pytest.mark.django_db
def test_workers_see_what_is_committed(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever has waited for a lock looks at what has happened meanwhile."""
    monkeypatch.setitem(
        connection.settings_dict["OPTIONS"],
        "isolation_level",
        LEVELS[connection.vendor],
    )
    with (
        closing(private_connection()) as database,
        transaction(database),
        database.cursor() as cursor,
    ):
        cursor.execute(QUESTIONS[connection.vendor])
        assert cursor.fetchone() == ("read committed",)
    assert "isolation_level" in connection.settings_dict["OPTIONS"]
