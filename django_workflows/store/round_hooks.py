"""Hooks in a round: claimed, disposed of, and given up with the run that ends."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from django.db.backends.base.base import BaseDatabaseWrapper

from django_workflows.core.details import show_details
from django_workflows.core.payloads import seal
from django_workflows.replay import events as log
from django_workflows.replay.events import LogEvent
from django_workflows.store.continuing import take_over
from django_workflows.store.database import is_postgresql, marks, moment, now_sql
from django_workflows.store.hooks import facts_of, to_lock, token_hash
from django_workflows.store.round_types import RunWrite


def give_up_hooks(
    database: BaseDatabaseWrapper, runs: list[RunWrite]
) -> list[RunWrite]:
    """Delete the hooks of runs that end, and hooks disposed of; number late payloads.
    Lock the hooks of runs that continue as new, which their successors will have.

    A hook that somebody is just sending to is locked; then its run waits a round, so
    that what was accepted comes before the end.
    """
    moving = [run.run_id for run in runs if run.successor is not None]
    ending = [
        run.run_id
        for run in runs
        if run.finished_us and run.has_hooks and run.successor is None
    ]
    disposed = [hook_id for run in runs for hook_id in run.disposed]
    held = _held_for(runs) if database.vendor == "mysql" else []
    if not (ending or disposed or moving or held):
        return runs
    skip = "" if database.vendor == "sqlite" else " FOR UPDATE SKIP LOCKED"
    where, values = _either("run_id", [*ending, *moving], "id", [*disposed, *held])
    found, tokens = to_lock(database, where, values)
    with database.cursor() as cursor:
        cursor.execute(
            f"SELECT id, run_id FROM {found} ORDER BY token_hash{skip}", tokens
        )
        free = {row[0]: row[1] for row in cursor.fetchall()}
        cursor.execute(
            f"SELECT id, run_id FROM django_workflows_hook WHERE {where}", values
        )
        locked = dict(row for row in cursor.fetchall() if row[0] not in free)
        busy = set(locked.values())
        if locked and is_postgresql(database):
            # Whose holders share it; elsewhere this would wait for them.
            cursor.execute(
                f"UPDATE django_workflows_hook SET yield_until = {now_sql(database)} "
                "+ interval '500 milliseconds' WHERE id = ANY(%s)",
                (sorted(locked),),
            )
        kept = [run for run in runs if run.run_id not in busy]
        gone = [
            hook_id
            for hook_id, run_id in free.items()
            if run_id not in busy and (run_id in ending or hook_id in disposed)
        ]
        if gone:
            cursor.execute(
                f"DELETE FROM django_workflows_hook WHERE id IN ({marks(gone)})", gone
            )
        for run in kept:
            if run.disposed or (run.finished_us and run.has_hooks):
                _number_late_payloads(cursor, run)
    return kept


def _held_for(runs: Iterable[RunWrite]) -> list[str]:
    """Hooks that runs take over from their predecessors. On MySQL that change waits
    for whoever is sending to the hook, which a round must not."""
    return [
        claim.correlation_id
        for run in runs
        for claim in open_claims(run)
        if claim.detail.get("carried")
    ]


def _either(
    first: str, first_values: list[str], second: str, second_values: list[str]
) -> tuple[str, list[str]]:
    parts = []
    for column, values in ((first, first_values), (second, second_values)):
        if values:
            parts.append(f"{column} IN ({marks(values)})")
    return " OR ".join(parts), [*first_values, *second_values]


def _number_late_payloads(cursor: Any, run: RunWrite) -> None:
    """Payloads that came in since the round read the inbox: accepted, so logged."""
    known = {event.row_id for event in run.events if event.row_id is not None}
    cursor.execute(
        "SELECT id, correlation_id, detail FROM django_workflows_event "
        "WHERE run_id = %s AND seq IS NULL AND type = %s ORDER BY id",
        (run.run_id, log.HOOK_RECEIVED),
    )
    late = [row for row in cursor.fetchall() if row[0] not in known]
    if not run.finished_us or run.successor is not None:
        late = [row for row in late if row[1] in run.disposed]
    if not late:
        return
    position = len(run.events)
    if run.finished_us:
        position -= 1  # before the event that ends the run
    elif run.disposed:
        position = next(
            i for i, event in enumerate(run.events) if event.type == log.HOOK_DISPOSED
        )
    time = run.events[position].time if position < len(run.events) else 0
    for offset, (row_id, correlation_id, detail) in enumerate(late):
        run.events.insert(
            position + offset,
            LogEvent(
                log.HOOK_RECEIVED,
                correlation_id,
                time=time,
                detail={**show_details(detail), "late": True},
                row_id=row_id,
            ),
        )
    first_seq = run.last_seq - (len(run.events) - len(late)) + 1
    for offset, event in enumerate(run.events):
        event.seq = first_seq + offset
    run.last_seq = first_seq + len(run.events) - 1


def open_claims(run: RunWrite) -> list[LogEvent]:
    """The tokens a run claims and keeps: if it ends, or gives the hook up, in the same
    round, there is no row to insert."""
    if run.finished_us:
        return []
    return [claim for claim in run.claims if claim.correlation_id not in run.disposed]


def claim_hooks(database: BaseDatabaseWrapper, runs: Iterable[RunWrite]) -> None:
    """Insert the hooks claimed; who does not get a token learns who has it."""
    claims = [(claim, run) for run in runs for claim in open_claims(run)]
    if not claims:
        return
    claims.sort(key=lambda pair: token_hash(pair[0].detail["token"]))
    ignore = {
        "mysql": ("INSERT IGNORE INTO", ""),
    }.get(database.vendor, ("INSERT INTO", " ON CONFLICT DO NOTHING"))
    with database.cursor() as cursor:
        for event, run in claims:
            # An earlier try of this round may have been rolled back.
            event.type = log.HOOK_CREATED
            event.detail = {k: v for k, v in event.detail.items() if k != "held_by"}
            held = token_hash(event.detail["token"])
            row = (
                event.correlation_id,
                run.run_id,
                event.detail["token"],
                held,
                *facts_of(event.detail),
                None if event.payload is None else seal(event.payload),
                moment(database, event.time),
            )
            cursor.execute(
                f"{ignore[0]} django_workflows_hook "
                "(id, run_id, token, token_hash, webhook, payload_schema, "
                f"sealed_metadata, created_at) VALUES ({marks(row)}){ignore[1]}",
                row,
            )
            if cursor.rowcount == 1:
                continue
            cursor.execute(
                "SELECT run_id, id FROM django_workflows_hook WHERE token_hash = %s",
                (held,),
            )
            holder = cursor.fetchone()
            if holder == (run.run_id, event.correlation_id):
                # Held for it by its predecessor.
                take_over(database, event)
                continue
            event.type = log.HOOK_CONFLICT
            event.detail = {**event.detail, "held_by": holder[0] if holder else ""}
