"""The children of a run that is retried in place."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from django.db.backends.base.base import BaseDatabaseWrapper

from django_workflows.models import Run
from django_workflows.replay import events as log
from django_workflows.replay.cuts import RetryPlan
from django_workflows.replay.events import LogEvent
from django_workflows.store.closing import tell_of_child
from django_workflows.store.control.rows import LOCK
from django_workflows.store.database import now_sql

_CHILD_ENDS = (log.CHILD_FAILED, log.CHILD_CANCELLED)
_FAILED = (Run.Status.FAILED, Run.Status.TIMED_OUT, Run.Status.CANCELLED)


def take_up_children(
    database: BaseDatabaseWrapper,
    run_id: str,
    numbered: Sequence[LogEvent],
    plan: RetryPlan,
    retry: Callable[[str], None],
) -> None:
    """See to the children of a run that was just reopened, in the same transaction.

    A child that its code waits for at the cut goes on: one that failed, or was
    cancelled when its parent closed, by `retry`. Of one that has ended otherwise the
    run is told. Children started in what is void now keep no key from being used.
    """
    told = {event.correlation_id for event in plan.redelivered}
    waiting = {call: e for call, e in plan.open.children.items() if call not in told}
    asked = {
        event.correlation_id
        for event in numbered
        if event.type == log.CHILD_CANCEL_REQUESTED
        and (event.seq or 0) < (plan.cut.seq or 0)
    }
    with database.cursor() as cursor:
        # Locked: whoever closes a child tells its parent only while that is open.
        cursor.execute(
            "SELECT id, parent_call, status FROM django_workflows_run "
            "WHERE parent_id = %s AND parent_call <> '' "
            "AND status <> 'continued_as_new' ORDER BY id"
            + LOCK.get(database.vendor, ""),
            (run_id,),
        )
        children = {call: (child, status) for child, call, status in cursor.fetchall()}
    _give_up_void_keys(database, run_id, numbered, plan)
    for call, event in waiting.items():
        follows = event.detail.get("follows")
        child, status = children.get(call) or children.get(follows or "") or ("", "")
        if not child:
            _tell_again(database, numbered, call)
        elif follows is None and status in _FAILED and call not in asked:
            retry(child)
        elif status not in Run.OPEN and (follows is None or follows not in waiting):
            tell_of_child(database, child, run_id, call)


def leave_parent(database: BaseDatabaseWrapper, run_id: str) -> None:
    """A child that is retried by itself: its parent, if that is open, has been told how
    it ended, and does not hear of its second end."""
    with database.cursor() as cursor:
        cursor.execute(
            "SELECT p.id FROM django_workflows_run r "
            "JOIN django_workflows_run p ON p.id = r.parent_id "
            "WHERE r.id = %s AND r.parent_call <> '' AND p.finished_at IS NULL",
            (run_id,),
        )
        if cursor.fetchone() is not None:
            cursor.execute(
                "UPDATE django_workflows_run SET parent_call = '' WHERE id = %s",
                (run_id,),
            )


def _give_up_void_keys(
    database: BaseDatabaseWrapper,
    run_id: str,
    numbered: Sequence[LogEvent],
    plan: RetryPlan,
) -> None:
    """A child that is void, and stops because its parent had closed, must not hold the
    key under which the run's code starts it again."""
    void = [
        (run_id, event.correlation_id)
        for event in numbered
        if event.type == log.CHILD_CREATED
        and "key" in event.detail
        and (event.seq or 0) > (plan.cut.seq or 0)
    ]
    if void:
        with database.cursor() as cursor:
            cursor.executemany(
                "UPDATE django_workflows_run SET key_held = NULL "
                "WHERE parent_id = %s AND parent_call = %s "
                "AND parent_close_policy <> 'abandon' AND status <> 'completed'",
                void,
            )


def _tell_again(
    database: BaseDatabaseWrapper, numbered: Sequence[LogEvent], call: str
) -> None:
    """No child of this run answers the call, as its key was held, or it was that of the
    run of which this is a fork: it ends again as it did."""
    for event in reversed(numbered):
        if event.type in _CHILD_ENDS and event.correlation_id == call:
            with database.cursor() as cursor:
                cursor.execute(
                    "INSERT INTO django_workflows_event "
                    "(run_id, seq, type, correlation_id, detail, payload, created_at) "
                    "SELECT run_id, NULL, type, correlation_id, detail, payload, "
                    f"{now_sql(database)} FROM django_workflows_event WHERE id = %s",
                    (event.row_id,),
                )
            return
