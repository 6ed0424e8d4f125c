"""Ends a run from outside: its owner loses it, and no code of it runs any more."""

from __future__ import annotations

import json
from typing import Any

from django.db.backends.base.base import BaseDatabaseWrapper

from django_workflows.core.details import show_details
from django_workflows.replay.events import (
    CHILD_COMPLETED,
    HOOK_RECEIVED,
    STEP_COMPLETED,
)
from django_workflows.store.closing import tell_family
from django_workflows.store.control.rows import LOCK, append_event, time_after
from django_workflows.store.database import moment
from django_workflows.store.hooks import to_lock
from django_workflows.store.limits import tell_waiting
from django_workflows.store.notify import DONE, notify

#: Read or not, these are in the log of a run that has ended.
_LATE = (HOOK_RECEIVED, STEP_COMPLETED, CHILD_COMPLETED)


def end_run(
    database: BaseDatabaseWrapper,
    run_id: str,
    last_seq: int,
    kind: str,
    detail: dict[str, Any],
    *,
    wait: bool = True,
) -> bool:
    """End a run whose row is locked, in the current transaction.

    `kind` is the event that ends it, and tells its status. Its hooks are free, its
    unstarted steps never start, and what its started ones still do changes nothing.
    Its parent is told, and its children according to their close policies.
    Without `wait` nothing happens, and it returns False, while somebody is sending a
    payload to one of its hooks.
    """
    if not wait and _is_receiving(database, run_id):
        return False
    time_us = time_after(database, run_id, last_seq)
    with database.cursor() as cursor:
        if database.vendor == "mysql":
            hooks, tokens = to_lock(database, "run_id = %s", [run_id])
            cursor.execute(
                f"SELECT id FROM {hooks} ORDER BY token_hash FOR UPDATE", tokens
            )
        # Whoever is sending a payload holds the hook's row until it is sent.
        cursor.execute("DELETE FROM django_workflows_hook WHERE run_id = %s", (run_id,))
        last_seq = _number_late(database, run_id, last_seq, time_us) + 1
        cursor.execute(
            "UPDATE django_workflows_run SET status = %s, finished_at = %s, "
            "last_seq = %s, fence = fence + 1, owner = '', wake_at = NULL, "
            "queued_at = NULL, is_waiting = %s, is_alone = %s WHERE id = %s",
            (
                kind.removeprefix("run_"),
                moment(database, time_us),
                last_seq,
                False,
                False,
                run_id,
            ),
        )
    _cancel_steps(database, run_id, time_us)
    tell_waiting(database, run_id)
    append_event(database, run_id, last_seq, kind, time_us, detail)
    tell_family(database, [run_id])
    notify(database, DONE, [run_id])
    return True


def _is_receiving(database: BaseDatabaseWrapper, run_id: str) -> bool:
    """Whether one of the run's hooks is locked; locks the others."""
    if database.vendor == "sqlite":
        return False
    hooks = "SELECT id FROM django_workflows_hook WHERE run_id = %s"
    with database.cursor() as cursor:
        found, tokens = to_lock(database, "run_id = %s", [run_id])
        cursor.execute(
            f"SELECT id FROM {found} ORDER BY token_hash FOR UPDATE SKIP LOCKED", tokens
        )
        free = cursor.fetchall()
        cursor.execute(hooks, (run_id,))
        return len(cursor.fetchall()) > len(free)


def _cancel_steps(database: BaseDatabaseWrapper, run_id: str, time_us: int) -> None:
    live = "run_id = %s AND status IN ('pending', 'running')"
    lock = LOCK.get(database.vendor)
    with database.cursor() as cursor:
        if lock:  # in the order in which everybody locks steps
            cursor.execute(
                f"SELECT id FROM django_workflows_step WHERE {live} ORDER BY id{lock}",
                (run_id,),
            )
        cursor.execute(
            "UPDATE django_workflows_step SET status = 'cancelled', due_at = NULL, "
            f"finished_at = %s WHERE {live}",
            (moment(database, time_us), run_id),
        )


def _number_late(
    database: BaseDatabaseWrapper, run_id: str, last_seq: int, time_us: int
) -> int:
    """What was accepted or achieved is in the log, before its end: no code reads it
    any more, unless the run is retried."""
    with database.cursor() as cursor:
        cursor.execute(
            "SELECT id, type, detail FROM django_workflows_event "
            "WHERE run_id = %s AND seq IS NULL ORDER BY id",
            (run_id,),
        )
        unread = cursor.fetchall()
        for row_id, kind, detail in unread:
            if kind not in _LATE:
                cursor.execute(
                    "DELETE FROM django_workflows_event WHERE id = %s AND seq IS NULL",
                    (row_id,),
                )
                continue
            last_seq += 1
            cursor.execute(
                "UPDATE django_workflows_event SET seq = %s, detail = %s, "
                "created_at = %s WHERE id = %s",
                (
                    last_seq,
                    json.dumps({**show_details(detail), "late": True}),
                    moment(database, time_us),
                    row_id,
                ),
            )
    return last_seq
