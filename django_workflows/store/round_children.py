"""Children in a round: started, and asked to stop."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from typing import Any

from django.db.backends.base.base import BaseDatabaseWrapper

from django_workflows.core import failures
from django_workflows.core.payloads import seal
from django_workflows.errors import DuplicateRunError
from django_workflows.replay import events as log
from django_workflows.store.closing import notifying, tell_of_child
from django_workflows.store.database import among, is_postgresql, now_sql
from django_workflows.store.inbox import insert_inbox
from django_workflows.store.launching import to_store
from django_workflows.store.notify import DUE, notify
from django_workflows.store.round_types import NewChild, RunWrite
from django_workflows.store.starting import NewRun, insert_in_transaction, key_hash

_GIVES_UP_KEYS = ("restart_closed", "terminate_existing")
_AT_ONCE = 500


def is_usual(run: RunWrite) -> bool:
    """Whether its children can be started by nothing but inserting them, and its end
    be told to nobody but its own relatives."""
    family = run.family
    return family is None or not (
        (family.has_ended and family.is_successor)
        or any(map(_needs_a_look, family.started))
    )


def _needs_a_look(child: NewChild) -> bool:
    """Whether the holder of the child's key has to be looked up before."""
    options = child.start.options
    return options.key is not None and (
        options.on_conflict in _GIVES_UP_KEYS or bool(child.start.workflow.aliases)
    )


def new_run(run: RunWrite, child: NewChild) -> NewRun:
    """A child as it is to be inserted."""
    assert run.family is not None
    new = to_store(child.start, child.event.detail["run_id"])
    new.parent_id, new.root_id = run.run_id, run.family.root_id
    new.parent_call = child.event.correlation_id
    new.parent_close_policy = child.start.options.parent_close_policy
    if new.parent_close_policy != "abandon":
        new.deadline_us = run.family.deadline_us
    return new


def free_keys(database: BaseDatabaseWrapper, runs: list[RunWrite]) -> list[RunWrite]:
    """Take keys from their holders where a child's `on_conflict` says so.

    A holder that somebody has locked is not waited for: then the run waits a round.
    """
    busy: set[str] = set()
    for run in runs:
        for child in run.family.started if run.family else ():
            options = child.start.options
            if options.key is None or options.on_conflict not in _GIVES_UP_KEYS:
                continue
            seen = _find_holder(database, child)
            if seen is None or seen["id"] == run.run_id:
                continue
            # What it is like once nobody else can change it: it may just be retried.
            is_free = _lock(database, seen["id"])
            holder = _find_holder(database, child)
            if holder is None or holder["id"] == run.run_id:
                continue
            if not holder["closed"] and options.on_conflict == "restart_closed":
                continue
            if not is_free or holder["id"] != seen["id"]:
                busy.add(run.run_id)
                break
            _take_key(database, holder, run.run_id)
    return [run for run in runs if run.run_id not in busy]


def _lock(database: BaseDatabaseWrapper, run_id: str) -> bool:
    """Lock a run's row without waiting for it."""
    locking = {
        "postgresql": " FOR NO KEY UPDATE SKIP LOCKED",
        "mysql": " FOR UPDATE SKIP LOCKED",
    }.get(database.vendor, "")
    with database.cursor() as cursor:
        cursor.execute(
            f"SELECT id FROM django_workflows_run WHERE id = %s{locking}", (run_id,)
        )
        return cursor.fetchone() is not None


def _take_key(
    database: BaseDatabaseWrapper, holder: dict[str, Any], run_id: str
) -> None:
    with database.cursor() as cursor:
        cursor.execute(
            "UPDATE django_workflows_run SET key_held = NULL WHERE id = %s",
            (holder["id"],),
        )
    if not holder["closed"]:
        reason = f"replaced by a child of run {run_id} with the same key"
        detail = json.dumps({"reason": reason})
        insert_inbox(database, holder["id"], log.RUN_TERMINATED, detail=detail)
        notify(database, DUE, [holder["queue"]])


def start_children(database: BaseDatabaseWrapper, runs: Iterable[RunWrite]) -> None:
    """Insert the children started; for each key that is held, say by whom."""
    new: list[NewRun] = []
    keyed: list[tuple[RunWrite, NewChild, NewRun]] = []
    held: list[tuple[RunWrite, NewChild, NewRun]] = []
    for run in runs:
        for child in run.family.started if run.family else ():
            row = new_run(run, child)
            if row.key is None:
                new.append(row)
                continue
            # An earlier try of this round may have been rolled back.
            child.event.detail = {
                name: value
                for name, value in child.event.detail.items()
                if name not in ("held_by", "follows")
            }
            if child.start.workflow.aliases and _find_holder(database, child):
                held.append((run, child, row))
            else:
                keyed.append((run, child, row))
                new.append(row)
    if new:
        inserted = insert_in_transaction(database, new)
        held += [claim for claim in keyed if claim[2].id not in inserted]
    for run, child, row in held:
        _settle_conflict(database, run, child, row)


def _settle_conflict(
    database: BaseDatabaseWrapper, run: RunWrite, child: NewChild, new: NewRun
) -> None:
    """The key is held: by another child of the same run, or by somebody else."""
    holder = _find_holder(database, child)
    if holder is None and insert_in_transaction(database, [new]):
        return  # given up in this very moment
    event = child.event
    held_by = "" if holder is None else holder["id"]
    event.detail = {**event.detail, "held_by": held_by}
    if (
        holder is not None
        and child.start.options.on_conflict != "reject"
        and holder["parent"] == run.run_id
        and holder["call"]
    ):
        event.detail = {**event.detail, "follows": holder["call"]}
        if holder["closed"]:
            tell_of_child(database, held_by, run.run_id, event.correlation_id)
    elif not run.finished_us:
        error = DuplicateRunError(
            f"the key {new.key!r} of {new.workflow} is held by run {held_by}",
            run_id=held_by,
        )
        insert_inbox(
            database,
            run.run_id,
            log.CHILD_FAILED,
            event.correlation_id,
            detail=json.dumps({"run_id": held_by, "status": "failed"}),
            payload=seal(failures.capture(error)),
        )


def _find_holder(
    database: BaseDatabaseWrapper, child: NewChild
) -> dict[str, Any] | None:
    """The run that holds a child's key, under its workflow's name or a former one."""
    workflow = child.start.workflow
    names, values = among(database, [workflow.name, *workflow.aliases])
    assert workflow.settings.key is not None
    with database.cursor() as cursor:
        cursor.execute(
            "SELECT id, parent_id, parent_call, finished_at IS NOT NULL, queue "
            f"FROM django_workflows_run WHERE workflow {names} AND key_held = %s",
            [*values, key_hash(workflow.settings.key)],
        )
        row = cursor.fetchone()
    if row is None:
        return None
    return dict(zip(("id", "parent", "call", "closed", "queue"), row, strict=True))


# -- ended -----------------------------------------------------------------------------


def ended_in_families(runs: Iterable[RunWrite]) -> list[str]:
    """The runs whose end somebody has to hear of."""
    return [run.run_id for run in runs if run.family and run.family.has_ended]


# -- asked to stop ---------------------------------------------------------------------


def asked_to_stop(runs: Iterable[RunWrite]) -> list[tuple[str, str]]:
    """Runs and those of their calls whose child is to be cancelled."""
    return [
        (run.run_id, call)
        for run in runs
        if run.family is not None
        for call in _calls_to_cancel(run.family.started, run.family.cancelled)
    ]


def _calls_to_cancel(
    started: Sequence[NewChild], cancelled: Sequence[log.LogEvent]
) -> Iterable[str]:
    follows = {child.event.correlation_id: child.event.detail for child in started}
    for event in cancelled:
        detail = follows.get(event.correlation_id, event.detail)
        yield detail.get("follows") or event.correlation_id


def cancel_sql(database: BaseDatabaseWrapper) -> str:
    """On PostgreSQL: asks children to stop, and wakes their workers. Its parameter is
    that of `calls_json`."""
    return notifying(f"""
        INSERT INTO django_workflows_event
            (run_id, seq, type, correlation_id, detail, payload, created_at)
        SELECT r.id, NULL, '{log.CANCEL_REQUESTED}', '',
            '{{"reason": "its parent ' || r.parent_id || ' no longer waits for it"}}',
            NULL, {now_sql(database)}
        FROM json_to_recordset(%s) AS c(run text, call text)
        JOIN django_workflows_run r ON r.parent_id = c.run AND r.parent_call = c.call
        WHERE r.finished_at IS NULL
    """)


def cancel_children(database: BaseDatabaseWrapper, runs: Iterable[RunWrite]) -> None:
    """Ask children to stop: those whose await was cancelled."""
    calls = asked_to_stop(runs)
    if not calls:
        return
    with database.cursor() as cursor:
        if is_postgresql(database):
            cursor.execute(cancel_sql(database), (calls_json(calls),))
            return
        cursor.executemany(
            "INSERT INTO django_workflows_event "
            "(run_id, seq, type, correlation_id, detail, payload, created_at) "
            f"SELECT r.id, NULL, '{log.CANCEL_REQUESTED}', '', %s, NULL, "
            f"{now_sql(database)} FROM django_workflows_run r "
            "WHERE r.parent_id = %s AND r.parent_call = %s AND r.finished_at IS NULL",
            [
                (
                    json.dumps({"reason": f"its parent {run} no longer waits for it"}),
                    run,
                    call,
                )
                for run, call in calls
            ],
        )
        queues: set[str] = set()
        parents = sorted({run for run, _ in calls})
        for first in range(0, len(parents), _AT_ONCE):
            part = parents[first : first + _AT_ONCE]
            ids, values = among(database, part)
            cursor.execute(
                "SELECT DISTINCT queue FROM django_workflows_run "
                f"WHERE parent_id {ids}",
                values,
            )
            queues |= {row[0] for row in cursor.fetchall()}
    notify(database, DUE, queues)


def calls_json(calls: Sequence[tuple[str, str]]) -> str:
    return json.dumps([{"run": run, "call": call} for run, call in calls])
