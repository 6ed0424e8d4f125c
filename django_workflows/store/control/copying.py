"""New runs made of others: once more from the start, or from a step on."""

from __future__ import annotations

import json
import secrets
from collections.abc import Mapping, Sequence
from typing import Any

from django.db import transaction
from django.db.backends.base.base import BaseDatabaseWrapper

from django_workflows.core.authorship import author
from django_workflows.core.ids import new_id
from django_workflows.errors import DuplicateRunError, HookConflictError
from django_workflows.models import Run
from django_workflows.replay import events as log
from django_workflows.replay.epochs import effective
from django_workflows.replay.events import LogEvent
from django_workflows.replay.forks import Fork, cut_before, fork_log
from django_workflows.replay.registry import registry
from django_workflows.replay.secrets import SEED_BYTES
from django_workflows.store.chunks import copy_chunks
from django_workflows.store.control.rows import not_found
from django_workflows.store.database import (
    alias,
    connection,
    database_time,
    despite_deadlocks,
    moment,
    now_sql,
)
from django_workflows.store.history import read_outline
from django_workflows.store.hooks import claim_token, token_hash
from django_workflows.store.inbox import insert_inbox
from django_workflows.store.starting import NewRun, insert_runs

_ENDS_OF_STEPS = (log.STEP_COMPLETED, log.STEP_FAILED, log.STEP_CANCELLED)
#: Keeps a run from being deleted while it is copied, and nobody from going on with it.
_KEEP = {"postgresql": " FOR KEY SHARE", "mysql": " LOCK IN SHARE MODE"}


def replay(run: Run) -> Run:
    """Start a run with the same input; see ``Run.replay``."""
    database = connection()

    def copy() -> str:
        with transaction.atomic(using=alias()):
            original = _keep(database, run.pk)
            numbered, _ = read_outline(database, run.pk)
            new = _copy_of(database, original, numbered, new_id("wrun"))
            today = registry.find_workflow(original.workflow)
            if today is not None:
                new.workflow, new.version = today.name, today.version
            insert_runs(database, [new])
            set_origin(database, new.id, {"replayed_from": run.pk})
        return new.id

    return _read(despite_deadlocks(database, copy))


def fork(run: Run, from_step: str | int) -> Run:
    """Start a run with the same history up to a step; see ``Run.fork``."""
    database = connection()

    def copy() -> str:
        with transaction.atomic(using=alias()):
            return _fork(database, run.pk, from_step)

    return _read(despite_deadlocks(database, copy))


def _read(run_id: str) -> Run:
    return Run.objects.using(alias()).get(pk=run_id)


def _keep(database: BaseDatabaseWrapper, run_id: str) -> Run:
    lock = _KEEP.get(database.vendor, "")
    statement = f"SELECT * FROM django_workflows_run WHERE id = %s{lock}"
    found = next(iter(Run.objects.using(alias()).raw(statement, (run_id,))), None)
    if found is None:
        raise not_found(run_id)
    return found


def _copy_of(
    database: BaseDatabaseWrapper,
    original: Run,
    numbered: Sequence[LogEvent],
    run_id: str,
) -> NewRun:
    """A run to be started as the original was, but for its key and its relatives."""
    with database.cursor() as cursor:
        cursor.execute(
            "SELECT payload FROM django_workflows_event WHERE id = %s",
            (numbered[0].row_id,),
        )
        sealed = bytes(cursor.fetchone()[0] or b"")
    # Those it has by now are perhaps not those it was started with.
    started = [event for event in numbered if event.type == log.RUN_STARTED]
    attributes = (
        started[-1].detail.get("attributes", {}) if started else original.attributes
    )
    return NewRun(
        id=run_id,
        workflow=original.workflow,
        version=original.version,
        input=sealed,
        queue=original.queue,
        priority=original.priority,
        attributes=attributes,
        timeout=original.timeout,
        retention=original.retention,
        limit_key=original.limit_key,
        max_concurrency=original.max_concurrency,
        rate_limit=original.rate_limit,
    )


def set_origin(
    database: BaseDatabaseWrapper,
    run_id: str,
    detail: Mapping[str, Any],
    time_us: int | None = None,
) -> None:
    """Let the first entry of the log of a new run tell where it comes from."""
    said = json.dumps({**detail, **author()})
    with database.cursor() as cursor:
        cursor.execute(
            "UPDATE django_workflows_event SET detail = %s, "
            "created_at = COALESCE(%s, created_at) WHERE run_id = %s AND seq = 1",
            (said, moment(database, time_us), run_id),
        )


def _fork(database: BaseDatabaseWrapper, run_id: str, from_step: str | int) -> str:
    original = _keep(database, run_id)
    numbered, _ = read_outline(database, run_id)
    history = effective(numbered)
    cut = cut_before(history, numbered, from_step)
    new = _copy_of(database, original, numbered, new_id("wrun"))
    fork = fork_log(
        history,
        cut,
        run_id=run_id,
        seed=bytes(original.seed),
        fork_id=new.id,
        fork_seed=secrets.token_bytes(SEED_BYTES),
        now_us=database_time(database),
    )
    new.seed = fork.seed
    insert_runs(database, [new])
    set_origin(database, new.id, fork.events[0].detail, fork.events[0].time)
    _insert_log(database, new.id, fork)
    ended = [event for event in history[: cut + 1] if event.type in _ENDS_OF_STEPS]
    copy_chunks(database, run_id, new.id, {event.correlation_id for event in ended})
    hooks = fork.open.hooks.values()
    _start_children(database, new, fork)
    for hook in sorted(hooks, key=lambda hook: token_hash(hook.detail["token"])):
        held_by = claim_token(database, new.id, hook)
        if held_by is not None:
            raise HookConflictError(
                f"run {run_id} cannot be forked here: the fork would need the token "
                f"of its hook {hook.correlation_id}, which run {held_by} holds",
                token=hook.detail["token"],
                run_id=held_by,
            )
    return new.id


def _insert_log(database: BaseDatabaseWrapper, run_id: str, fork: Fork) -> None:
    """Insert what the fork has of its original, behind its first entry."""
    copy = (
        "INSERT INTO django_workflows_event "
        "(run_id, seq, type, correlation_id, detail, payload, created_at) "
        "SELECT %s, %s, %s, %s, %s, payload, created_at "
        "FROM django_workflows_event WHERE id = %s"
    )
    rows = fork.events[1:] + ([] if fork.delivered is None else [fork.delivered])
    status = "running" if fork.has_begun else "pending"
    now = now_sql(database)
    with database.cursor() as cursor:
        cursor.executemany(
            copy,
            [
                (
                    run_id,
                    event.seq,
                    event.type,
                    event.correlation_id,
                    json.dumps(event.detail) if event.detail else "",
                    event.row_id,
                )
                for event in rows
            ],
        )
        cursor.execute(
            "UPDATE django_workflows_run SET last_seq = %s, status = %s, epoch = %s, "
            f"attempt = %s, started_at = CASE WHEN %s THEN {now} ELSE NULL END "
            "WHERE id = %s",
            (
                len(fork.events),
                status,
                fork.epoch,
                fork.attempt,
                fork.has_begun,
                run_id,
            ),
        )


def _start_children(database: BaseDatabaseWrapper, parent: NewRun, fork: Fork) -> None:
    """Start anew, with the options they had, the children without an outcome."""
    deadline_us = None
    if parent.timeout is not None:
        now_us = database_time(database)
        deadline_us = now_us + round(parent.timeout * 1_000_000)
    for child_id, call in fork.children:
        if "held_by" in call.detail:
            continue  # its key was held: no child of its own answers the call
        original = _keep(database, child_id)
        numbered, _ = read_outline(database, child_id)
        new = _copy_of(database, original, numbered, call.detail["run_id"])
        new.key = original.key
        new.parent_id = new.root_id = parent.id
        new.parent_call = call.correlation_id
        new.parent_close_policy = original.parent_close_policy
        if original.parent_close_policy != "abandon":
            new.deadline_us = deadline_us
        if new.id not in insert_runs(database, [new]):
            raise DuplicateRunError(
                f"run {parent.id} cannot start its child: the key {new.key!r} of "
                f"{new.workflow} is held by another run"
            )
        if call.correlation_id in fork.cancelled:
            insert_inbox(database, new.id, log.CANCEL_REQUESTED)
