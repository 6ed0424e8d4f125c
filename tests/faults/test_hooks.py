"""Payloads and tokens when several want the same thing at the same moment."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from contextlib import nullcontext
from typing import Any

import pytest
from django.db import connection, connections, transaction

from django_workflows import resume_hook, start
from django_workflows.errors import HookNotFoundError
from django_workflows.models import Hook, Run
from tests.cluster.harness import DEADLINE
from tests.faults import checks, workflows
from tests.faults.driver import Node, World
from tests.faults.race import Race
from tests.faults.user import User

pytestmark = pytest.mark.django_db(transaction=True)


def _payloads(run: Run) -> list[Any]:
    events = run.history()
    return [e.data["payload"] for e in events if e.type == "hook_received"]


def test_payload_behind_a_dispose_is_numbered_once() -> None:
    """It is in memory already when the round that disposes of its hook logs it."""
    with World() as world:
        run = start(workflows.changes_doors, "a")
        world.idle()
        resume_hook("a/inbox", "first")
        resume_hook("a/inbox", "behind")
        world.answers["a/other"] = ["second"]
        world.run(run)
    assert run.result() == ["first", "second"]
    assert _payloads(run) == ["first", "behind", "second"]
    checks.check_log(run)
    checks.check_replays(run)


def test_payload_committed_before_an_earlier_one_hides_nothing() -> None:
    """Keys are given out when a row is inserted, not when it is committed."""
    if connection.vendor == "sqlite":
        pytest.skip("has one writer at a time")
    with World() as world:
        run = start(workflows.listener, "a", 3)
        world.idle()
        with User() as user:
            user.do(lambda: resume_hook("a/inbox", 4))
            resume_hook("a/inbox", 5)
            world.idle()
            resume_hook("a/inbox", 6)
            world.idle()
            user.commit()
        world.run(run)
    assert run.result() == [5, 6, 4]
    checks.check_log(run)
    checks.check_replays(run)


@pytest.mark.parametrize("in_transaction", [False, True], ids=["alone", "atomic"])
@pytest.mark.parametrize(
    "point", ["before commit", "after commit", "before let_go", "after let_go"]
)
def test_payload_at_the_moment_of_release_wakes_the_run(
    point: str, in_transaction: bool
) -> None:
    """It comes right before the commit that gives the run up, or right after."""
    sent: list[str] = []

    def send(node: Node, name: str) -> None:
        if name == point and not sent and Hook.objects.exists():
            sent.append(name)
            with transaction.atomic() if in_transaction else nullcontext():
                resume_hook("a/inbox", "now")

    with World() as world:
        run = start(workflows.listener, "a", 1)
        world.on_point = send
        world.run(run)
    assert run.result() == ["now"]
    checks.check_log(run)


@pytest.mark.parametrize("count", [1, 3])
@pytest.mark.parametrize(
    "point", ["before commit", "after commit", "before COMMIT", "before DELETE hook"]
)
def test_payload_at_the_moment_of_the_end_is_logged_or_refused(
    point: str, count: int
) -> None:
    """Whatever resume_hook() accepted is in the log, `late` if nobody reads it."""
    accepted: list[object] = ["first"]

    def send(node: Node, name: str) -> None:
        if name != point or node.is_in_transaction:
            return
        for number in range(count):
            try:
                resume_hook("a/inbox", number)
            except HookNotFoundError:
                return
            accepted.append(number)

    with World() as world:
        run = start(workflows.listener, "a", 1)
        world.idle()
        resume_hook("a/inbox", "first")
        world.on_point = send
        world.run(run)
    assert run.result() == ["first"]
    assert _payloads(run) == accepted
    checks.check_log(run)
    checks.check_replays(run)


def test_many_send_while_the_run_ends() -> None:
    """Real threads: each payload that was accepted is in the log, once."""
    with World() as world:
        run = start(workflows.listener, "a", 20)
        world.idle()
        accepted: list[int] = []
        lock = threading.Lock()

        def send(first: int) -> None:
            try:
                for number in range(first, first + 10):
                    try:
                        resume_hook("a/inbox", number)
                    except HookNotFoundError:
                        return
                    with lock:
                        accepted.append(number)
            finally:
                connections.close_all()

        threads = [threading.Thread(target=send, args=(n * 10,)) for n in range(4)]
        for thread in threads:
            thread.start()
        while any(thread.is_alive() for thread in threads) or not world.ended([run]):
            world.idle()
        for thread in threads:
            thread.join()
        world.run(run)
    assert sorted(_payloads(run)) == sorted(accepted)
    assert len(run.result()) == 20
    checks.check_log(run)
    checks.check_replays(run)


def test_tokens_claimed_by_two_workers_at_once_have_one_owner() -> None:
    """In both orders: no deadlock, and each token is got by one of the two."""
    for seed in range(6):
        with World(nodes=2) as world:
            tokens = [f"{seed}/A", f"{seed}/B"]
            runs = [
                start(workflows.claims, f"{seed}/1", tokens),
                start(workflows.claims, f"{seed}/2", tokens[::-1]),
            ]
            _claim_one_at_a_time(world)
            world.answers = {f"{seed}/1/end": [None], f"{seed}/2/end": [None]}
            Race(world, seed).run(*runs)
        refused = [token for run in runs for token in run.result()]
        assert sorted(refused) == tokens
        for run in runs:
            checks.check_log(run)
            checks.check_replays(run)


def _claim_one_at_a_time(world: World) -> None:
    """Let no worker have all runs before another one has had a look."""
    for node in world.nodes:
        claim = node.reactor.loader.claim_runs

        def claim_one(
            queues: Sequence[str], limit: int, claim: Any = claim, **options: Any
        ) -> Any:
            return claim(queues, min(limit, 1), **options)

        node.reactor.loader.claim_runs = claim_one  # type: ignore[method-assign]


def _work_at_once(world: World) -> None:
    """Let the workers work in threads until they find nothing more to do."""
    barrier = threading.Barrier(len(world.nodes))

    def work(node: Node) -> None:
        try:
            barrier.wait(DEADLINE)
            while node.turn():
                pass
        finally:
            connections.close_all()

    threads = [threading.Thread(target=work, args=(node,)) for node in world.nodes]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(DEADLINE)
        assert not thread.is_alive()


def test_tokens_claimed_by_two_threads_at_once_have_one_owner() -> None:
    """With real threads, and so with real waiting for each other's rows."""
    with World(nodes=2) as world:
        tokens = [f"t{number}" for number in range(30)]
        runs = [
            start(workflows.claims, "1", tokens),
            start(workflows.claims, "2", tokens[::-1]),
        ]
        _claim_one_at_a_time(world)
        _work_at_once(world)
        # One that was held up by the other, still open, has its turn after a moment;
        # before that nobody ends.
        world.pass_time(1)
        world.idle()
        world.answers = {"1/end": [None], "2/end": [None]}
        world.run(*runs)
    refused = [token for run in runs for token in run.result()]
    assert sorted(refused) == sorted(tokens)
    for run in runs:
        checks.check_log(run)


def test_tokens_swapped_by_two_workers_at_once_are_not_lost() -> None:
    """Each gives up what the other one claims, in the same moment."""
    with World(nodes=2) as world:
        runs = [
            start(workflows.swaps, "1", "A", "B"),
            start(workflows.swaps, "2", "B", "A"),
        ]
        _claim_one_at_a_time(world)
        world.idle()
        resume_hook("1/go", None)
        resume_hook("2/go", None)
        _work_at_once(world)
        world.run(*runs)
    assert [type(run.result()) for run in runs] == [bool, bool]
    assert any(run.result() for run in runs)
    for run in runs:
        checks.check_log(run)
