"""What the end of a run means for its family.

Whoever closes a run calls `tell_family` in the transaction that does it, after the
run's row and its last event are written. The parent that waits for it finds its end in
its inbox, and its children what their close policies say in theirs. Nothing but
unnumbered events is inserted, and no run's row is touched.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from django.db.backends.base.base import BaseDatabaseWrapper

from django_workflows.replay import events as log
from django_workflows.store.chains import earlier_links
from django_workflows.store.database import among, is_postgresql, now_sql
from django_workflows.store.notify import DUE, notify, publish

#: Runs dealt with in one statement.
_AT_ONCE = 500
_INSERT = (
    "INSERT INTO django_workflows_event "
    "(run_id, seq, type, correlation_id, detail, payload, created_at) "
)


def tell_family(database: BaseDatabaseWrapper, run_ids: Sequence[str]) -> None:
    """Tell parents and children that these runs have closed, in the current
    transaction. A run that has continued as new still goes on, for its parent; its
    children are those of the last run of its chain."""
    queues: set[str] = set()
    parents = [*run_ids, *earlier_links(database, run_ids)]
    for statement, ids in (
        (ends_sql(database), run_ids),
        (policies_sql(database), parents),
    ):
        for first in range(0, len(ids), _AT_ONCE):
            part = ids[first : first + _AT_ONCE]
            queues |= _insert(database, statement, part)
    if is_postgresql(database):
        _publish(database, queues)
    else:
        notify(database, DUE, queues)


def tell_of_child(
    database: BaseDatabaseWrapper, child_id: str, parent_id: str, call: str
) -> bool:
    """Tell a run how a child of its has ended, as the answer to one of its calls.

    False, and nothing is told, if the child is still open. Lock the child's row before
    if its end must not be missed: whoever closes it tells the parent only while that
    is open.
    """
    with database.cursor() as cursor:
        cursor.execute(
            f"{_INSERT}{_end_of_child(database, '%s', '%s')} WHERE r.id = %s "
            "AND r.finished_at IS NOT NULL",
            (parent_id, call, child_id),
        )
        return bool(cursor.rowcount == 1)


def _end_of_child(database: BaseDatabaseWrapper, parent: str, call: str) -> str:
    detail = _text(
        database, '\'{"run_id": "\'', "r.id", '\'", "status": "\'', "r.status", "'\"}'"
    )
    return f"""
        SELECT {parent}, NULL, CASE r.status WHEN 'completed' THEN
            '{log.CHILD_COMPLETED}' WHEN 'cancelled' THEN '{log.CHILD_CANCELLED}'
            ELSE '{log.CHILD_FAILED}' END,
            {call}, {detail}, e.payload, {now_sql(database)}
        FROM django_workflows_run r JOIN django_workflows_event e
            ON e.run_id = r.id AND e.seq = r.last_seq
    """


def ends_sql(database: BaseDatabaseWrapper) -> str:
    """Inserts the ends of runs, given by id, into the inboxes of their parents."""
    return f"""{_INSERT}{_end_of_child(database, "r.parent_id", "r.parent_call")}
        JOIN django_workflows_run p ON p.id = r.parent_id
        WHERE r.id {{ids}} AND r.parent_call <> '' AND p.finished_at IS NULL
        AND r.status <> 'continued_as_new'"""


def policies_sql(database: BaseDatabaseWrapper) -> str:
    """Inserts what close policies say into the inboxes of the children of runs."""
    detail = _text(
        database, '\'{"reason": "its parent \'', "r.parent_id", "' has closed\"}'"
    )
    return f"""{_INSERT} SELECT r.id, NULL, CASE r.parent_close_policy
            WHEN 'terminate' THEN '{log.RUN_TERMINATED}'
            ELSE '{log.CANCEL_REQUESTED}' END,
            '', {detail}, NULL, {now_sql(database)}
        FROM django_workflows_run r WHERE r.parent_id {{ids}}
        AND r.finished_at IS NULL
        AND r.parent_close_policy IN ('cancel', 'terminate')"""


def notifying(statement: str) -> str:
    """On PostgreSQL: an insertion into inboxes that wakes the workers concerned, and
    returns their queues."""
    return f"""
        WITH told AS ({statement} RETURNING run_id),
        q AS MATERIALIZED (
            SELECT DISTINCT r.queue FROM told
            JOIN django_workflows_run r ON r.id = told.run_id
        )
        SELECT queue, pg_notify('{DUE}', queue) FROM q
    """


def telling(database: BaseDatabaseWrapper) -> list[str]:
    """On PostgreSQL: the statements of `tell_family`, whose parameter is the ids."""
    return [
        notifying(statement.replace("{ids}", "= ANY(%s)"))
        for statement in (ends_sql(database), policies_sql(database))
    ]


def _insert(
    database: BaseDatabaseWrapper, statement: str, run_ids: Sequence[str]
) -> set[str]:
    """Run one of the statements; returns the queues of those who were told."""
    ids, values = among(database, run_ids)
    statement = statement.replace("{ids}", ids)
    with database.cursor() as cursor:
        if is_postgresql(database):
            cursor.execute(notifying(statement), values)
            return {row[0] for row in cursor.fetchall()}
        cursor.execute(statement, values)
        if cursor.rowcount <= 0:
            return set()
        cursor.execute(
            "SELECT DISTINCT p.queue FROM django_workflows_run r "
            "JOIN django_workflows_run p ON p.id = r.parent_id "
            f"WHERE r.id {ids} UNION SELECT DISTINCT queue "
            f"FROM django_workflows_run WHERE parent_id {ids}",
            [*values, *values],
        )
        return {row[0] for row in cursor.fetchall()}


def _publish(database: BaseDatabaseWrapper, queues: Iterable[str]) -> None:
    """The statements have notified PostgreSQL's listeners themselves."""
    wanted = sorted(queues)
    if database.in_atomic_block:
        database.on_commit(lambda: publish(DUE, wanted), robust=True)
    else:
        publish(DUE, wanted)


def _text(database: BaseDatabaseWrapper, *parts: str) -> str:
    if database.vendor == "mysql":
        return f"CONCAT({', '.join(parts)})"
    return " || ".join(parts)
