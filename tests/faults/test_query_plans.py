"""No statement of the engine goes through a whole table, however many runs there are.

SQLite plans without statistics, so that its plans for empty tables are those for full
ones; PostgreSQL's depend on what is in them and are looked at elsewhere.
"""

from __future__ import annotations

import re
from typing import Any

import pytest
from django.db import connection

from django_workflows import resume_hook, start
from django_workflows.models import Run
from django_workflows.replay.actions import KnownSteps
from django_workflows.store import retention, sweep
from django_workflows.store.chains import current_run_id
from django_workflows.store.step_claims import steps_on_offer
from tests.faults import test_children, workflows
from tests.faults.driver import World

pytestmark = pytest.mark.django_db(transaction=True)

#: "SCAN e" is a full scan; "SCAN e USING INDEX dw_event_inbox" one of a partial index.
FULL_SCAN = re.compile(
    r"^SCAN (django_workflows_(event|run|step|hook|schedule)|[ersh]|U\d+)$"
    # All open runs, sleepers included, are nearly as many.
    r"|USING (COVERING )?INDEX dw_run_status_created"
)
VERBS = ("SELECT", "UPDATE", "DELETE", "WITH")


def noting(scans: dict[str, str]) -> Any:
    """A wrapper that notes which statements scan a table."""

    def explain(execute: Any, sql: str, params: Any, many: bool, context: Any) -> Any:
        verb = sql.split()[0]
        if not many and (verb in VERBS or (verb == "INSERT" and " SELECT " in sql)):
            cursor = context["connection"].create_cursor()
            cursor.execute(f"EXPLAIN QUERY PLAN {sql}", params)
            for *_, step in cursor.fetchall():
                if FULL_SCAN.search(step):
                    scans[" ".join(sql.split())] = step
        return execute(sql, params, many, context)

    return explain


def test_no_statement_scans_a_table() -> None:
    if connection.vendor != "sqlite":
        pytest.skip("its plans depend on what is in the tables")
    scans: dict[str, str] = {}
    explain = noting(scans)
    with World() as world:
        (node,) = world.nodes
        for database in (node.database, connection):
            database.execute_wrappers.append(explain)
        try:
            run = start(workflows.everything, "a")
            listener = start(workflows.listener, "b", 2)
            over = start(workflows.short.options(retention="0s"), "c")
            chain = start(workflows.relay, "d", 2, 1, [])
            world.answers["a/approval"] = ["approved"]
            world.idle()
            resume_hook("b/inbox", 1)
            resume_hook("d/inbox", "on")
            world.turn(node)
            world.run(over)
            world.pass_time(1)
            sweep.sweep(sweep.DeadWatch())
            assert current_run_id(chain.pk) != chain.pk
            retention.prune(older_than="1d")
            assert not Run.objects.filter(pk=over.pk).exists()
            world.bury(node)
            world.nodes[0].database.execute_wrappers.append(explain)
            resume_hook("b/inbox", 2)
            world.run(run, listener)
            parent = test_children.begin("family")
            world.run(parent)
        finally:
            connection.execute_wrappers.remove(explain)
    assert not scans, "\n".join(sorted(scans))


@pytest.mark.django_db
@pytest.mark.parametrize("truth", ['"suspect"', '"suspect" = 1'])
def test_steps_on_offer_are_found_by_indexes_of_any_django(truth: str) -> None:
    """Before 6.1 and since; one that is there stays as it is when Django is newer."""
    if connection.vendor != "sqlite":
        pytest.skip("its plans depend on what is in the tables")
    scans: dict[str, str] = {}
    with connection.cursor() as cursor:
        cursor.execute("DROP INDEX dw_step_suspect")
        cursor.execute(
            "CREATE INDEX dw_step_suspect ON django_workflows_step (queue, due_at) "
            f"WHERE (status = 'pending' AND {truth})"
        )
    with connection.execute_wrapper(noting(scans)):
        steps_on_offer(connection, ["default"], KnownSteps(("step",)), 1, None)
    assert not scans


def test_a_step_changes_no_index_of_the_runs() -> None:
    """Only where a run begins and ends: each index would cost each step."""
    if connection.vendor != "sqlite":
        pytest.skip("the others see for themselves that nothing in an index changes")
    assert _changed_indexes(steps=8) == _changed_indexes(steps=1) != 0


def _changed_indexes(steps: int) -> int:
    """How often an index of the runs is written to while one of them runs."""
    count = 0

    def explain(execute: Any, sql: str, params: Any, many: bool, context: Any) -> Any:
        nonlocal count
        if sql.startswith("UPDATE django_workflows_run "):
            cursor = context["connection"].create_cursor()
            cursor.execute(f"EXPLAIN {sql}", params[0] if many else params)
            codes = [row[1] for row in cursor.fetchall()]
            times = len(params) if many else 1
            count += times * codes.count("IdxInsert")
        return execute(sql, params, many, context)

    with World() as world:
        world.nodes[0].database.execute_wrappers.append(explain)
        run = start(workflows.in_a_row, "a", steps)
        world.run(run)
        assert run.result() == [*range(steps)]
    return count
