"""Chains of runs, each of which continues the one before it as new."""

from __future__ import annotations

from collections.abc import Collection, Sequence

from django.db.backends.base.base import BaseDatabaseWrapper

from django_workflows.replay.events import (
    CANCEL_REQUESTED,
    HOOK_RECEIVED,
    RUN_PAUSED,
    RUN_RESUMED,
    RUN_TERMINATED,
    WAKE_REQUESTED,
)
from django_workflows.store.database import among, connection, transaction
from django_workflows.store.history import batches
from django_workflows.store.inbox import unread_events
from django_workflows.store.notify import DUE, notify

#: What was said to a run and is meant for the chain. The rest, ends of steps and of
#: children, belongs to calls that a successor knows nothing of.
FORWARDED = frozenset(
    {
        CANCEL_REQUESTED,
        HOOK_RECEIVED,
        RUN_PAUSED,
        RUN_RESUMED,
        RUN_TERMINATED,
        WAKE_REQUESTED,
    }
)
#: Links followed by one statement; MariaDB goes no further than 1,000 by itself.
_LINKS = 500
#: Inboxes of continued runs emptied in one sweep, at most.
_INBOXES = 200


def current_run_id(run_id: str, database: BaseDatabaseWrapper | None = None) -> str:
    """The last run of the chain a run belongs to; itself if it has no successor."""
    database = database or connection()
    while True:
        with database.cursor() as cursor:
            cursor.execute(
                "WITH RECURSIVE link (id, place) AS ("
                "SELECT id, 0 FROM django_workflows_run WHERE id = %s UNION ALL "
                "SELECT r.id, link.place + 1 FROM link JOIN django_workflows_run r "
                f"ON r.continued_from_id = link.id WHERE link.place < {_LINKS}"
                ") SELECT id, place FROM link ORDER BY place DESC LIMIT 1",
                (run_id,),
            )
            found = cursor.fetchone()
        if found is None or found[1] == 0:
            return run_id
        run_id = found[0]


def earlier_links(database: BaseDatabaseWrapper, run_ids: Sequence[str]) -> list[str]:
    """The runs that these have continued, and those that they had continued."""
    found: list[str] = []
    ends = list(run_ids)
    while ends:
        following: list[str] = []
        for part in batches(ends):
            ids_in, values = among(database, part)
            with database.cursor() as cursor:
                cursor.execute(
                    "WITH RECURSIVE link (id, before_id, place) AS ("
                    "SELECT id, continued_from_id, 0 FROM django_workflows_run "
                    f"WHERE id {ids_in} AND continued_from_id IS NOT NULL UNION ALL "
                    "SELECT r.id, r.continued_from_id, link.place + 1 FROM link "
                    "JOIN django_workflows_run r ON r.id = link.before_id "
                    f"WHERE link.place < {_LINKS}) SELECT id, place FROM link",
                    values,
                )
                rows = cursor.fetchall()
            found += [run_id for run_id, place in rows if place]
            following += [run_id for run_id, place in rows if place == _LINKS]
        ends = following
    return found


def move_inbox(
    database: BaseDatabaseWrapper,
    run_id: str,
    successor_id: str,
    kinds: Collection[str],
    hooks: Collection[str] = (),
) -> bool:
    """Move what is unread of these kinds to a successor's inbox, in the current
    transaction; payloads only of the given hooks. The rest is deleted.

    The order stays, after what is in the successor's inbox already. Returns whether
    anything was moved.
    """
    with database.cursor() as cursor:
        cursor.execute(
            "SELECT id, type, correlation_id FROM django_workflows_event "
            "WHERE run_id = %s AND seq IS NULL ORDER BY id",
            (run_id,),
        )
        unread = cursor.fetchall()
        moved = [
            row_id
            for row_id, kind, correlation_id in unread
            if kind in kinds and (kind != HOOK_RECEIVED or correlation_id in hooks)
        ]
        for part in batches(moved):
            ids_in, values = among(database, part)
            cursor.execute(
                "INSERT INTO django_workflows_event "
                "(run_id, seq, type, correlation_id, detail, payload, created_at) "
                "SELECT %s, NULL, type, correlation_id, detail, payload, created_at "
                f"FROM django_workflows_event WHERE id {ids_in} ORDER BY id",
                (successor_id, *values),
            )
        for part in batches([row[0] for row in unread]):
            ids_in, values = among(database, part)
            cursor.execute(
                f"DELETE FROM django_workflows_event WHERE seq IS NULL AND id {ids_in}",
                values,
            )
    return bool(moved)


def forward_requests(database: BaseDatabaseWrapper) -> int:
    """Pass on what was said to runs after they had continued as new.

    A request that commits just then still lands in the inbox of the old run. Returns
    how many runs had something unread.
    """
    with database.cursor() as cursor:
        cursor.execute(
            f"SELECT DISTINCT e.run_id FROM {unread_events(database)} "
            "WHERE e.seq IS NULL AND r.status = 'continued_as_new' "
            f"LIMIT {_INBOXES}"
        )
        late = [row[0] for row in cursor.fetchall()]
    for run_id in late:
        with transaction(database):
            current = current_run_id(run_id, database)
            # Its successors may have been deleted: then nobody is left to be told.
            kinds = FORWARDED if current != run_id else ()
            if move_inbox(database, run_id, current, kinds):
                with database.cursor() as cursor:
                    cursor.execute(
                        "SELECT queue FROM django_workflows_run WHERE id = %s",
                        (current,),
                    )
                    notify(database, DUE, [cursor.fetchone()[0]])
    return len(late)
