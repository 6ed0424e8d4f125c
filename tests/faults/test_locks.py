"""Rows that users have locked, and transactions that they leave open for long.

A round waits for none of them, and what it could not store is not lost.
"""

from __future__ import annotations

import threading
import time
from typing import Any

import pytest
from django.db import connection, transaction

from django_workflows import (
    HookNotFoundError,
    WorkflowRunFailedError,
    resume_hook,
    start,
    start_child,
    workflow,
)
from django_workflows.models import Run
from tests.cluster.harness import DEADLINE, until
from tests.databases import is_somebody_waiting
from tests.faults import checks, workflows
from tests.faults.driver import World
from tests.faults.user import User

pytestmark = [pytest.mark.django_db(transaction=True)]


@pytest.fixture(autouse=True)
def _needs_row_locks(transactional_db: None) -> None:
    if connection.vendor == "sqlite":
        pytest.skip("has no row locks; a writer excludes all others")


def test_round_does_not_wait_for_a_locked_run() -> None:
    """And what it has done for it is stored as soon as the lock is gone."""
    with World() as world:
        run, other = start(workflows.everything, "a"), start(workflows.short, "b")
        world.answers["a/approval"] = ["approved"]
        (node,) = world.nodes
        world.turn(node)
        assert run.pk in node.reactor.owned
        with User() as user:
            user.lock(run)
            began = time.monotonic()
            for _ in range(10):
                world.turn(node)
                world.pass_time(0.1)
            assert time.monotonic() - began < DEADLINE
            assert world.ended([other])
            assert run.pk in node.reactor.owned
        world.run(run)
        assert world.deaths == 0
    assert run.result() == workflows.RESULT
    for done, account, booked in ((run, "a", workflows.BOOKED), (other, "b", [5])):
        checks.check_log(done)
        checks.check_effects(done, account, booked)
        checks.check_replays(done)


def test_claim_is_stored_beside_a_locked_run() -> None:
    """The round skips that run, and waits for nobody who holds the token."""
    with World() as world:
        locked, claiming = (
            start(workflows.short, "a"),
            start(workflows.listener, "b", 1),
        )
        (node,) = world.nodes
        with User() as user:

            def lock(_: object, name: str) -> None:
                if name == "before commit":
                    world.on_point = lambda node, name: None
                    user.lock(locked)

            world.on_point = lock
            for _ in range(5):
                world.turn(node)
                world.pass_time(0.05)
            assert world.on_point is not lock
            assert claiming.hooks.exists()
        world.answers["b/inbox"] = ["on"]
        world.run(locked, claiming)
        assert world.deaths == 0
    assert locked.result() == [1, 5, 2]
    assert claiming.result() == ["on"]
    for run in (locked, claiming):
        checks.check_log(run)


def test_release_that_could_not_be_stored_is_not_taken_for_done() -> None:
    """The run was to be given up; a payload comes while its row is locked."""
    with World() as world:
        run = start(workflows.approved_steps, "a")
        (node,) = world.nodes
        at = {"before commit": 0}

        def lock_at_release(_: object, name: str) -> None:
            write = (
                node.reactor.owned[run.pk].write if name == "before commit" else None
            )
            if write is not None and write.release and not at["before commit"]:
                at["before commit"] = 1
                user.lock(run)

        with User() as user:
            world.on_point = lock_at_release
            for _ in range(5):
                world.turn(node)
                world.pass_time(0.05)
            assert at["before commit"], "the run was never to be given up"
            Run.objects.get(pk=run.pk)
            with transaction.atomic():
                resume_hook("a/first", "go")
            for _ in range(5):
                world.turn(node)
                world.pass_time(0.05)
        world.answers["a/second"] = ["on"]
        world.run(run)
    assert run.result() == ["go", 1, "on"]
    checks.check_log(run)


@pytest.mark.parametrize("ending", ["run", "hook"])
def test_open_resume_delays_the_end_and_is_in_the_log(ending: str) -> None:
    """A payload sent in an open transaction: the hook it went to waits for it."""
    workflow = workflows.listener if ending == "run" else workflows.disposer
    with World() as world:
        run = start(workflow, "a", 1)
        (node,) = world.nodes
        world.idle()
        with User() as user:
            resume_hook("a/inbox", "first")
            user.do(lambda: resume_hook("a/inbox", "late"))
            other = start(workflows.short, "b")
            began = time.monotonic()
            for _ in range(10):
                world.turn(node)
                world.pass_time(0.05)
            assert time.monotonic() - began < DEADLINE
            assert world.ended([other])
            assert run.hooks.exists()
            user.commit()
        world.run(run)
    assert run.result() == ["first"]
    received = [e for e in run.history() if e.type == "hook_received"]
    assert [e.data["payload"] for e in received] == ["first", "late"]
    checks.check_log(run)
    checks.check_replays(run)


def test_payload_comes_while_its_hook_is_deleted() -> None:
    """In a transaction of the sender's, who hears that nobody waits: no deadlock."""
    if connection.vendor != "mysql":
        pytest.skip("there the statement that stores the round deletes the hook")
    errors: list[Exception] = []
    with World() as world, User() as user:
        run = start(workflows.listener, "a", 1)
        world.idle()
        resume_hook("a/inbox", "first")

        def send() -> None:
            try:
                user.do(lambda: resume_hook("a/inbox", "late"))
            except Exception as error:
                errors.append(error)

        sender = threading.Thread(target=send)

        def begin_to_send(_: object, name: str) -> None:
            if name == "before DELETE hook":
                world.on_point = lambda node, name: None
                sender.start()
                until(is_somebody_waiting, "the sender's turn")

        world.on_point = begin_to_send
        world.run(run)
        sender.join(DEADLINE)
        assert [type(error) for error in errors] == [HookNotFoundError]
        assert world.deaths == 0
    assert run.result() == ["first"]
    checks.check_log(run)


def test_open_resume_rolled_back_leaves_nothing() -> None:
    with World() as world:
        run = start(workflows.listener, "a", 1)
        (node,) = world.nodes
        world.idle()
        with User() as user:
            resume_hook("a/inbox", "first")
            user.do(lambda: resume_hook("a/inbox", "late"))
            for _ in range(3):
                world.turn(node)
                world.pass_time(0.05)
            user.rollback()
        world.run(run)
    assert run.result() == ["first"]
    assert len([e for e in run.history() if e.type == "hook_received"]) == 1


@workflow(name="locks.parent")
async def parent(key: str) -> Any:
    return await start_child(workflows.short.options(key=key), "kid")


@pytest.mark.parametrize("end", ["commit", "rollback"])
def test_key_taken_in_an_open_transaction_is_waited_for_by_its_child_only(
    end: str,
) -> None:
    with World() as world, User() as user:
        user.do(lambda: start(workflows.short.options(key=end), "user"))
        run = start(parent, end)
        other = start(workflows.short, "b")
        began = time.monotonic()
        for _ in range(10):
            world.turn(world.nodes[0])
            world.pass_time(0.05)
        assert time.monotonic() - began < DEADLINE
        assert world.ended([other])
        assert not Run.objects.filter(parent=run).exists()
        getattr(user, end)()
        world.run(run)
        assert world.deaths == 0
    if end == "rollback":
        assert run.result() == [1, 5, 2]
    else:
        with pytest.raises(WorkflowRunFailedError, match="the key 'commit'"):
            run.result()
    checks.check_log(run)
    checks.check_replays(run)


@pytest.mark.parametrize("end", ["commit", "rollback"])
def test_token_freed_in_an_open_transaction_is_waited_for_by_its_claim_only(
    end: str,
) -> None:
    with World() as world, User() as user:
        holder = start(workflows.listener, "a", 1)
        world.idle()
        user.do(lambda: Run.objects.get(pk=holder.pk).terminate())
        run = start(workflows.listener, "a", 1)
        other = start(workflows.short, "b")
        began = time.monotonic()
        for _ in range(10):
            world.turn(world.nodes[0])
            world.pass_time(0.05)
        assert time.monotonic() - began < DEADLINE
        assert world.ended([other])
        getattr(user, end)()
        world.idle()
        if end == "commit":
            resume_hook("a/inbox", "on")
        world.run(run)
        assert world.deaths == 0
        kinds = [event.type for event in run.history()]
        assert ("hook_created" in kinds) == (end == "commit")
        assert ("hook_conflict" in kinds) == (end == "rollback")
    checks.check_log(run)


def test_open_transactions_of_users_block_no_round() -> None:
    """A start, a resume and a cancel, none of them committed yet."""
    with World() as world:
        listener, cancelled = (
            start(workflows.listener, name, 1) for name in ("a", "c")
        )
        world.idle()
        with User() as user:
            user.do(lambda: resume_hook("a/inbox", "late"))
            user.do(lambda: Run.objects.get(pk=cancelled.pk).cancel())
            started = user.do(lambda: start(workflows.short, "d"))
            other = start(workflows.everything, "b")
            world.answers["b/approval"] = ["approved"]
            began = time.monotonic()
            world.run(other)
            assert time.monotonic() - began < DEADLINE
            assert not world.ended([listener])
            assert not world.ended([cancelled])
            user.commit()
        world.run(listener, cancelled, started)
    assert listener.result() == ["late"]
    cancelled.refresh_from_db()
    assert cancelled.status == "cancelled"
    for run in (listener, cancelled, started):
        checks.check_log(run)


def test_value_that_is_refused_while_a_hook_is_locked_fails_the_run_later() -> None:
    with World() as world:
        run = start(workflows.poisoned_later, "a")
        (node,) = world.nodes
        world.idle()
        with User() as user:
            user.do(lambda: resume_hook("a/other", "late"))
            resume_hook("a/inbox", "go")
            for _ in range(5):
                world.turn(node)
                world.pass_time(0.05)
            assert not world.ended([run])
            user.commit()
        world.run(run)
    run.refresh_from_db()
    assert run.status == "failed"
    checks.check_log(run)


def test_let_go_of_a_locked_run_comes_true_later() -> None:
    with World() as world:
        run = start(workflows.short, "a")
        (node,) = world.nodes
        node.reactor.round([])
        with User() as user:
            user.lock(run)
            assert not node.reactor.let_go()
            assert run.pk in node.reactor.owned
        assert node.reactor.let_go()
        run.refresh_from_db()
        assert run.owner == ""
        world.run(run)
    checks.check_log(run)
    checks.check_effects(run, "a", [5])


def test_locked_suspect_is_stored_later() -> None:
    """It is advanced apart from others, and its row is locked just then."""
    with World() as world:
        run = start(workflows.short, "a")
        (node,) = world.nodes
        node.reactor.round([])
        with User() as user:

            def lock(_: object, name: str) -> None:
                if name == "before commit":
                    world.on_point = lambda node, name: None
                    user.lock(run)

            world.bury(node)
            world.on_point = lock
            for _ in range(5):
                world.turn(world.nodes[0])
                world.pass_time(0.05)
            assert world.on_point is not lock
        world.run(run)
    assert run.result() == [1, 5, 2]
    checks.check_log(run)
    checks.check_effects(run, "a", [5])
