"""Stores what a worker's round has done: one transaction for many runs.

The first statement takes the run rows that are still the worker's, skipping those that
somebody else has locked. Nothing is written for any other run.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import ExitStack
from typing import Any

from django.db.backends.base.base import BaseDatabaseWrapper

from django_workflows.core.payloads import seal
from django_workflows.store.closing import tell_family
from django_workflows.store.continuing import start_successors
from django_workflows.store.database import (
    among,
    is_postgresql,
    marks,
    moment,
    now_sql,
    transaction,
    waiting_for_nobody,
)
from django_workflows.store.inbox import OWNED, unless_paused
from django_workflows.store.limits import tell_waiting
from django_workflows.store.notify import DONE, DUE, publish
from django_workflows.store.round_children import (
    cancel_children,
    ended_in_families,
    free_keys,
    start_children,
)
from django_workflows.store.round_hooks import claim_hooks, give_up_hooks
from django_workflows.store.round_postgresql import commit_in_two_trips, write_at_once
from django_workflows.store.round_rows import write_attributes, write_rows
from django_workflows.store.round_types import (
    RoundOutcome,
    RunWrite,
    StepRow,
    queues_with_offers,
)


def commit_round(
    database: BaseDatabaseWrapper, worker_id: str, runs: Sequence[RunWrite]
) -> RoundOutcome:
    """Store a round. The events of hook claims that failed become `hook_conflict`.

    Raises the driver's errors; nothing has been stored then, unless the connection was
    lost in the commit itself (see `stored_fences`).
    """
    plain = all(
        not run.claims
        and not run.disposed
        and not run.cancelled_steps
        and not (run.finished_us and run.has_hooks)
        and run.attributes is None
        and run.successor is None
        and run.family is None
        for run in runs
    )
    if plain and is_postgresql(database):
        stored = write_at_once(database, worker_id, runs)
    elif (
        is_postgresql(database)
        and not database.in_atomic_block
        and all(run.successor is None for run in runs)
        and commit_in_two_trips(database, worker_id, runs)
    ):
        stored = {run.run_id for run in runs}
    else:
        stored = _commit(database, worker_id, runs)
    publish(DONE, [run.run_id for run in runs if run.finished_us])
    publish(DUE, queues_with_offers(runs))
    missing = [run for run in runs if run.run_id not in stored]
    lost = _lost(database, worker_id, missing) if missing else set()
    return RoundOutcome(
        stored, lost, {run.run_id for run in missing if run.run_id not in lost}
    )


def stored_fences(
    database: BaseDatabaseWrapper, run_ids: Sequence[str]
) -> dict[str, tuple[str, int, int]]:
    """Owner, fence and last number of runs: whether a doubtful commit took place."""
    with database.cursor() as cursor:
        cursor.execute(
            "SELECT id, owner, fence, last_seq FROM django_workflows_run "
            f"WHERE id IN ({marks(run_ids)})",
            list(run_ids),
        )
        return {row[0]: (row[1], row[2], row[3]) for row in cursor.fetchall()}


def free_run(
    database: BaseDatabaseWrapper, worker_id: str, run_id: str, fence: int
) -> None:
    """Give a run up as it is stored, to be replayed by whoever claims it."""
    with database.cursor() as cursor:
        cursor.execute(
            "UPDATE django_workflows_run SET owner = '', fence = fence + 1, "
            f"wake_at = {unless_paused(now_sql(database))}, is_alone = %s "
            "WHERE id = %s AND owner = %s AND fence = %s",
            (False, run_id, worker_id, fence),
        )


def mark_alone(
    database: BaseDatabaseWrapper, worker_id: str, run_id: str, fence: int
) -> bool:
    """Note that a run is being advanced apart from all others. False if it is lost."""
    with database.cursor() as cursor:
        cursor.execute(
            "UPDATE django_workflows_run SET is_alone = %s "
            "WHERE id = %s AND owner = %s AND fence = %s",
            (True, run_id, worker_id, fence),
        )
        return bool(cursor.rowcount == 1)


def owned_runs(database: BaseDatabaseWrapper, worker_id: str) -> list[tuple[str, int]]:
    """The runs that a worker owns by the database's account, with their fences."""
    with database.cursor() as cursor:
        cursor.execute(
            f"SELECT id, fence FROM django_workflows_run WHERE {OWNED}", (worker_id,)
        )
        return [(row[0], row[1]) for row in cursor.fetchall()]


def _lost(
    database: BaseDatabaseWrapper, worker_id: str, runs: Sequence[RunWrite]
) -> set[str]:
    now = stored_fences(database, [run.run_id for run in runs])
    return {
        run.run_id
        for run in runs
        if now.get(run.run_id, ("", -1, 0))[:2] != (worker_id, run.fence)
    }


def _commit(
    database: BaseDatabaseWrapper, worker_id: str, runs: Sequence[RunWrite]
) -> set[str]:
    with transaction(database), ExitStack() as stack:
        ours = lock_runs(database, worker_id, runs)
        kept = [run for run in runs if run.run_id in ours]
        kept = free_keys(database, kept)
        kept = give_up_hooks(database, kept)
        if any(run.claims_names for run in kept):
            # Not before: MariaDB fails where it is to skip a locked row meanwhile.
            stack.enter_context(waiting_for_nobody(database))
        claim_hooks(database, kept)
        start_children(database, kept)
        if kept and is_postgresql(database):
            write_at_once(database, worker_id, kept)
        elif kept:
            write_rows(database, kept)
        write_attributes(database, kept)
        start_successors(database, kept)
        # After the rows of the round: one of them may be cancelled at once.
        _cancel_steps(database, kept)
        cancel_children(database, kept)
        tell_family(database, ended_in_families(kept))
    return {run.run_id for run in kept}


def lock_runs(
    database: BaseDatabaseWrapper, worker_id: str, runs: Sequence[RunWrite]
) -> set[str]:
    """Lock those of the runs that are still the worker's, without waiting."""
    fences = {run.run_id: run.fence for run in runs}
    locking = {
        "postgresql": " FOR NO KEY UPDATE SKIP LOCKED",
        "mysql": " FOR UPDATE SKIP LOCKED",
    }.get(database.vendor, "")
    found: set[str] = set()
    ids = sorted(fences)
    with database.cursor() as cursor:
        for first in range(0, len(ids), 500):
            part = ids[first : first + 500]
            runs_in, values = among(database, part)
            cursor.execute(
                "SELECT id, fence FROM django_workflows_run WHERE owner = %s "
                f"AND id {runs_in} ORDER BY id{locking}",
                [worker_id, *values],
            )
            found |= {row[0] for row in cursor.fetchall() if fences[row[0]] == row[1]}
    return found


def _cancel_steps(database: BaseDatabaseWrapper, runs: Sequence[RunWrite]) -> None:
    """Cancel steps that have a row; one that has ended meanwhile stays as it is."""
    step_ids = sorted(step_id for run in runs for step_id in run.cancelled_steps)
    with database.cursor() as cursor:
        cursor.executemany(
            "UPDATE django_workflows_step SET status = 'cancelled', due_at = NULL "
            "WHERE id = %s AND status IN ('pending', 'running')",
            [(step_id,) for step_id in step_ids],
        )
    for run_id in {run.run_id for run in runs if run.cancelled_steps}:
        tell_waiting(database, run_id)


def end_attempt(database: BaseDatabaseWrapper, cursor: Any, row: StepRow) -> bool:
    """End the running attempt of a step; False if it has ended otherwise."""
    cursor.execute(
        "UPDATE django_workflows_step SET status = %s, errors = %s, crashes = %s, "
        "suspect = %s, due_at = %s, finished_at = %s, worker = %s, "
        "heartbeat = COALESCE(%s, heartbeat) "
        "WHERE id = %s AND attempt = %s AND status = 'running'",
        (
            row.status,
            row.errors,
            row.crashes,
            row.suspect,
            moment(database, row.due_us),
            moment(database, row.finished_us),
            row.worker,
            None if row.heartbeat is None else seal(row.heartbeat),
            row.id,
            row.attempt,
        ),
    )
    return bool(cursor.rowcount == 1)


__all__ = [
    "RoundOutcome",
    "RunWrite",
    "StepRow",
    "commit_round",
    "end_attempt",
    "free_run",
    "lock_runs",
    "mark_alone",
    "owned_runs",
    "stored_fences",
]
