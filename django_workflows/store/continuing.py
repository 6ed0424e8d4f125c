"""Runs that continue as new: what their successors get, in the round's transaction."""

from __future__ import annotations

import json
from collections.abc import Sequence

from django.db.backends.base.base import BaseDatabaseWrapper

from django_workflows.core.payloads import seal
from django_workflows.replay.events import (
    HOOK_CARRIED,
    HOOK_RECEIVED,
    RUN_CREATED,
    LogEvent,
)
from django_workflows.signals import run_created
from django_workflows.store.announcements import News, announce
from django_workflows.store.chains import FORWARDED, move_inbox
from django_workflows.store.database import database_time, moment, to_us
from django_workflows.store.hooks import claim_detail, facts_of
from django_workflows.store.round_types import RunWrite, Successor
from django_workflows.store.starting import insert_successor

_INSERT_EVENT = (
    "INSERT INTO django_workflows_event "
    "(run_id, seq, type, correlation_id, detail, payload, created_at) "
    "VALUES (%s, %s, %s, %s, %s, %s, %s)"
)


def start_successors(database: BaseDatabaseWrapper, runs: Sequence[RunWrite]) -> None:
    """Insert the successors of runs that continue as new, whose own rows are written
    and whose hooks are locked."""
    for run in runs:
        if run.successor is not None:
            _start(database, run.run_id, run.successor)


def _start(database: BaseDatabaseWrapper, run_id: str, successor: Successor) -> None:
    now_us = database_time(database)
    now = moment(database, now_us)
    with database.cursor() as cursor:
        cursor.execute(
            "SELECT r.key_held, r.timeout, p.deadline_at FROM django_workflows_run r "
            "LEFT JOIN django_workflows_run p ON p.id = r.parent_id "
            "AND p.finished_at IS NULL WHERE r.id = %s",
            (run_id,),
        )
        key_held, timeout, cap = cursor.fetchone()
        if key_held is not None:
            cursor.execute(
                "UPDATE django_workflows_run SET key_held = NULL WHERE id = %s",
                (run_id,),
            )
        cursor.execute(
            "SELECT id, sealed_metadata, token, webhook, payload_schema "
            "FROM django_workflows_hook WHERE run_id = %s ORDER BY created_at, id",
            (run_id,),
        )
        hooks = cursor.fetchall()
        deadlines = [] if timeout is None else [now_us + round(timeout * 1e6)]
        deadlines += [] if cap is None else [to_us(cap)]
        insert_successor(
            database,
            run_id,
            successor.id,
            key_held=key_held,
            last_seq=1 + len(hooks),
            created_us=now_us,
            deadline_us=min(deadlines, default=None),
        )
        events: list[tuple[int | None, str, str, str, bytes | None]]
        events = [(1, RUN_CREATED, "", "", seal(successor.input))]
        events += [
            (seq, HOOK_CARRIED, hook_id, json.dumps(claim_detail(*claimed)), metadata)
            for seq, (hook_id, metadata, *claimed) in enumerate(hooks, 2)
        ]
        # Read by nobody yet, so before what is unread in the inbox.
        events += [
            (None, HOOK_RECEIVED, hook_id, "", seal(payload))
            for hook_id, payload in successor.unread
        ]
        cursor.executemany(
            _INSERT_EVENT, [(successor.id, *event, now) for event in events]
        )
        cursor.execute(
            "UPDATE django_workflows_hook SET run_id = %s, is_carried = %s, "
            "yield_until = NULL WHERE run_id = %s",
            (successor.id, True, run_id),
        )
    if run_created.receivers:
        announce(database, [News(run_created, successor.id, status="pending")])
    carried = {hook_id for hook_id, *_ in hooks}
    move_inbox(database, run_id, successor.id, FORWARDED, carried)


def take_over(database: BaseDatabaseWrapper, claim: LogEvent) -> None:
    """Make a carried hook, which the claiming run holds, one that it has claimed."""
    with database.cursor() as cursor:
        cursor.execute(
            "UPDATE django_workflows_hook SET is_carried = %s, webhook = %s, "
            "payload_schema = %s, sealed_metadata = %s, created_at = %s WHERE id = %s",
            (
                False,
                *facts_of(claim.detail),
                None if claim.payload is None else seal(claim.payload),
                moment(database, claim.time),
                claim.correlation_id,
            ),
        )
