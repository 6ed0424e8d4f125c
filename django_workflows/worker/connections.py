"""Keeps the database connections of threads fit for the next step."""

from __future__ import annotations

from django.db import connections

#: Seconds after which a thread's connections are looked at before they are used.
IDLE = 1.0


def close_broken_connections() -> None:
    """What a step did to its thread's connections must not concern the next one."""
    for database in connections.all(initialized_only=True):
        if database.connection is None:
            continue
        if database.in_atomic_block or database.closed_in_transaction:
            # Inside of a block Django would keep the connection when told to close it.
            database.in_atomic_block = database.needs_rollback = False
            database.closed_in_transaction = False
            database.savepoint_ids = []
            database.atomic_blocks = []
            database.close()
        elif not database.autocommit or database.errors_occurred:
            database.close_if_unusable_or_obsolete()


def close_dead_connections() -> None:
    """For a thread that was idle: its connections may be gone, with their server."""
    for database in connections.all(initialized_only=True):
        if database.connection is not None and not database.is_usable():
            database.close()
