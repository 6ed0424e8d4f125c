"""What a claim may take: open runs that nobody owns, whatever happens meanwhile."""

from __future__ import annotations

import threading
from typing import Any

import pytest
from django.db import connection, connections

from django_workflows import resume_hook, start
from django_workflows.models import Event, Run
from django_workflows.replay.registry import registry
from django_workflows.store import control, run_claims, sweep
from django_workflows.store.database import private_connection
from tests.cluster.harness import DEADLINE, until
from tests.faults import checks, workflows
from tests.faults.driver import World

pytestmark = pytest.mark.django_db(transaction=True)


def test_run_terminated_during_a_claim_stays_as_it_is() -> None:
    """The candidates were looked up when it was open; the lock comes too late."""
    run = start(workflows.short, "a")
    database = private_connection()

    def in_between(
        execute: Any, sql: str, params: Any, many: bool, context: Any
    ) -> Any:
        if database.vendor == "postgresql":
            # One statement: make it wait for us between snapshot and lock.
            sql = sql.replace(
                "set_config('synchronous_commit', 'off', true)",
                "set_config('synchronous_commit', 'off', true), "
                "pg_advisory_xact_lock(1)",
            )
            assert "pg_advisory" in sql
            holds = threading.Event()
            terminator = threading.Thread(target=terminate_between, args=[holds])
            terminator.start()
            assert holds.wait(DEADLINE)
            try:
                return execute(sql, params, many, context)
            finally:
                terminator.join()
        found = execute(sql, params, many, context)
        if "BEGIN" not in sql and not done:
            terminate()
        return found

    done: list[bool] = []

    def terminate() -> None:
        done.append(True)
        control.terminate(Run.objects.get(pk=run.pk))

    def terminate_between(holds: threading.Event) -> None:
        try:
            with connection.cursor() as cursor:
                cursor.execute("SELECT pg_advisory_lock(1)")
                holds.set()
                until(_somebody_waits, "the claim to wait")
                terminate()
        finally:
            connections.close_all()

    try:
        with database.execute_wrapper(in_between):
            claimed = run_claims.claim_runs(
                database, "worker", ["default"], registry.workflow_keys(), 10
            )
    finally:
        database.close()
    assert claimed == []
    run.refresh_from_db()
    assert (run.status, run.owner) == ("terminated", "")
    checks.check_log(run)


def _somebody_waits() -> bool:
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT count(*) FROM pg_stat_activity "
            "WHERE wait_event = 'advisory' AND datname = current_database()"
        )
        return bool(cursor.fetchone()[0])


def test_unread_events_of_others_do_not_hide_ours() -> None:
    """More of them than a claim looks at: of another queue, and of a closed run."""
    with World() as world:
        run = start(workflows.listener, "a", 1)
        elsewhere = workflows.listener.options(queue="elsewhere").start("b", 1)
        closed = start(workflows.listener, "c", 0)
        world.idle()
        assert run.hooks.exists()
        Event.objects.bulk_create(
            Event(
                run=other,
                type="cancel_requested",
                detail="{}",
                created_at=run.created_at,
            )
            for other in (elsewhere, closed)
            for _ in range(run_claims.WINDOW)
        )
        resume_hook("a/inbox", "payload")
        world.run(run)
    assert run.result() == ["payload"]


def test_stray_events_of_closed_runs_are_swept() -> None:
    with World() as world:
        run = start(workflows.short, "a")
        still_open = start(workflows.listener, "b", 1)
        world.run(run)
        for of in (run, still_open):
            Event.objects.create(
                run=of, type="cancel_requested", created_at=run.created_at
            )
        sweep.sweep(sweep.DeadWatch())
    assert list(Event.objects.filter(seq=None).values_list("run", flat=True)) == [
        still_open.pk
    ]
    checks.check_log(run)


def test_a_run_that_is_due_for_two_reasons_is_claimed_once() -> None:
    """Its time has come, and there is something in its inbox."""
    with World() as world:
        run = start(workflows.alarm, "a")
        world.idle()
        world.pass_time(10)
        run.wake()
        database = private_connection()
        try:
            claimed = run_claims.claim_runs(
                database, "worker", ["default"], registry.workflow_keys(), 10
            )
        finally:
            database.close()
        assert [claim.id for claim in claimed] == [run.pk]
        assert claimed[0].has_unread
