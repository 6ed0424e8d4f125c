"""Retrying a run in place: it goes on from before the failure that ended it."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from django.db import transaction
from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.utils import IntegrityError

from django_workflows.core.authorship import author
from django_workflows.errors import InvalidRunStateError
from django_workflows.models import Run
from django_workflows.replay import events as log
from django_workflows.replay.cuts import RESULTS, RetryPlan, plan_retry
from django_workflows.replay.epochs import effective
from django_workflows.replay.events import LogEvent
from django_workflows.replay.registry import registry
from django_workflows.store.control.reviving import leave_parent, take_up_children
from django_workflows.store.control.rows import (
    append_event,
    continued,
    lock_run,
    not_found,
    time_after,
)
from django_workflows.store.database import (
    alias,
    connection,
    despite_deadlocks,
    moment,
    now_sql,
    to_us,
)
from django_workflows.store.history import read_outline
from django_workflows.store.hooks import claim_token, token_hash
from django_workflows.store.inbox import as_text
from django_workflows.store.notify import DUE, notify
from django_workflows.store.starting import key_hash

RETRYABLE = (Run.Status.FAILED, Run.Status.TIMED_OUT, Run.Status.CANCELLED)
_COLUMNS = (
    "status, last_seq, epoch, attempt, workflow, start_key, key_held, queue, "
    "started_at, timeout, parent_id, limit_key"
)


def retry(run: Run) -> None:
    """Let a closed run go on from before its failure; see ``Run.retry``."""
    database = connection()
    despite_deadlocks(database, lambda: _retry_alone(database, run.pk))
    run.refresh_from_db(using=alias())


def _retry_alone(database: BaseDatabaseWrapper, run_id: str) -> None:
    with transaction.atomic(using=alias()):
        retry_locked(database, run_id)
        leave_parent(database, run_id)


def retry_locked(database: BaseDatabaseWrapper, run_id: str) -> None:
    """Retry a run in the current transaction.

    Raises InvalidRunStateError and WorkflowRunNotFoundError; the transaction is to be
    rolled back then.
    """
    row = lock_run(database, run_id, _COLUMNS)
    if row is None:
        raise not_found(run_id)
    taken = dict(zip(_COLUMNS.split(", "), row, strict=True))
    if taken["status"] == Run.Status.CONTINUED_AS_NEW:
        raise continued(run_id, "retried")
    if taken["status"] not in RETRYABLE:
        raise InvalidRunStateError(
            f"run {run_id} is {taken['status']} and cannot be retried: only failed, "
            "timed out and cancelled runs can",
            run_id=run_id,
        )
    numbered, unread = read_outline(database, run_id)
    plan = plan_retry(effective(numbered), [*numbered, *unread])
    attempts = _free_steps(database, run_id, plan, unread)
    _deliver_again(database, run_id, plan, unread)
    _claim_hooks(database, run_id, plan.open.hooks.values())
    _take_key(database, run_id, taken)
    time_us = time_after(database, run_id, taken["last_seq"])
    _reopen(database, run_id, taken, time_us)
    if plan.cut.type == log.RUN_STARTED:
        # It begins once more; otherwise its replay tells what it has set by then.
        attributes = plan.cut.detail.get("attributes", {})
        Run.objects.using(alias()).filter(pk=run_id).update(attributes=attributes)
    append_event(
        database,
        run_id,
        taken["last_seq"] + 1,
        log.RUN_RETRIED,
        time_us,
        {
            "cut": plan.cut.seq,
            "cut_at": plan.cut.time,
            "epoch": taken["epoch"] + 1,
            "attempt": taken["attempt"] + 1,
            "attempts": attempts,
            **author(),
        },
    )
    take_up_children(
        database, run_id, numbered, plan, lambda child: retry_locked(database, child)
    )
    notify(database, DUE, [taken["queue"]])


def _free_steps(
    database: BaseDatabaseWrapper,
    run_id: str,
    plan: RetryPlan,
    unread: Sequence[LogEvent],
) -> dict[str, int]:
    """Delete the rows of steps that run again: whatever a former attempt of theirs
    still does changes nothing. Returns the last attempt of each open step."""
    attempts = dict(plan.attempts)
    done = {
        event.correlation_id
        for event in (*plan.redelivered, *unread)
        if event.type == log.STEP_COMPLETED
    }
    with database.cursor() as cursor:
        cursor.execute(
            "SELECT id, attempt, status FROM django_workflows_step "
            "WHERE run_id = %s ORDER BY id",
            (run_id,),
        )
        gone = []
        for step_id, attempt, status in cursor.fetchall():
            if step_id in plan.open.steps:
                attempts[step_id] = max(attempt, attempts.get(step_id, 0))
            if status != "completed" or (
                step_id in plan.open.steps and step_id not in done
            ):
                gone.append((step_id,))
        cursor.executemany("DELETE FROM django_workflows_step WHERE id = %s", gone)
    return attempts


def _deliver_again(
    database: BaseDatabaseWrapper,
    run_id: str,
    plan: RetryPlan,
    unread: Sequence[LogEvent],
) -> None:
    """Put what the run is owed into its inbox, and nothing else."""
    owed = [event for event in unread if event.type in RESULTS]
    owed = [event for event in owed if event.correlation_id in plan.open]
    told = [(event, {**event.detail, "again": True}) for event in plan.redelivered]
    told += [(event, dict(event.detail)) for event in owed]
    with database.cursor() as cursor:
        for event, detail in told:
            detail.pop("late", None)
            cursor.execute(
                "INSERT INTO django_workflows_event "
                "(run_id, seq, type, correlation_id, detail, payload, created_at) "
                "SELECT run_id, NULL, type, correlation_id, %s, payload, "
                f"{now_sql(database)} FROM django_workflows_event WHERE id = %s",
                (as_text(detail), event.row_id),
            )
        cursor.executemany(
            "DELETE FROM django_workflows_event WHERE id = %s AND seq IS NULL",
            [(event.row_id,) for event in unread],
        )


def _claim_hooks(
    database: BaseDatabaseWrapper, run_id: str, hooks: Iterable[LogEvent]
) -> None:
    """Claim again the tokens that the run held."""
    for hook in sorted(hooks, key=lambda hook: token_hash(hook.detail["token"])):
        held_by = claim_token(database, run_id, hook)
        if held_by is not None:
            raise InvalidRunStateError(
                f"run {run_id} cannot be retried: the token of its hook "
                f"{hook.correlation_id} is held by run {held_by} by now",
                run_id=run_id,
            )


def _take_key(
    database: BaseDatabaseWrapper, run_id: str, taken: dict[str, Any]
) -> None:
    if taken["start_key"] is None or taken["key_held"] is not None:
        return
    held = key_hash(taken["start_key"])
    others = registry.names_of(taken["workflow"])[1:]
    if others and _is_held(others, held):
        raise _key_is_held(run_id, taken)
    try:
        with transaction.atomic(using=alias()), database.cursor() as cursor:
            cursor.execute(
                "UPDATE django_workflows_run SET key_held = %s WHERE id = %s",
                (held, run_id),
            )
    except IntegrityError:
        raise _key_is_held(run_id, taken) from None


def _is_held(names: Sequence[str], key_held: str) -> bool:
    runs = Run.objects.using(alias()).filter(workflow__in=names, key_held=key_held)
    return runs.exists()


def _key_is_held(run_id: str, taken: dict[str, Any]) -> InvalidRunStateError:
    return InvalidRunStateError(
        f"run {run_id} cannot be retried: another run of {taken['workflow']} holds "
        f"its key {taken['start_key']!r} by now",
        run_id=run_id,
    )


def _reopen(
    database: BaseDatabaseWrapper, run_id: str, taken: dict[str, Any], time_us: int
) -> None:
    deadlines = []
    if taken["timeout"] is not None:
        deadlines.append(time_us + round(taken["timeout"] * 1_000_000))
    with database.cursor() as cursor:
        if taken["parent_id"] is not None:
            cursor.execute(
                "SELECT deadline_at FROM django_workflows_run "
                "WHERE id = %s AND finished_at IS NULL AND deadline_at IS NOT NULL",
                (taken["parent_id"],),
            )
            deadlines += [to_us(row[0]) for row in cursor.fetchall()]
        now = moment(database, time_us)
        is_limited = bool(taken["limit_key"])
        cursor.execute(
            "UPDATE django_workflows_run SET status = %s, fence = fence + 1, "
            "epoch = epoch + 1, attempt = attempt + 1, last_seq = last_seq + 1, "
            "wake_at = %s, queued_at = %s, deadline_at = %s, finished_at = NULL, "
            "owner = '', is_waiting = %s, blocked_reason = '', blocked_times = 0, "
            "suspicion = 0, is_alone = %s WHERE id = %s",
            (
                "pending" if taken["started_at"] is None else "running",
                None if is_limited else now,
                now if is_limited else None,
                moment(database, min(deadlines, default=None)),
                False,
                False,
                run_id,
            ),
        )
        cursor.execute(
            "UPDATE django_workflows_stream SET closed_at = NULL WHERE run_id = %s",
            (run_id,),
        )
