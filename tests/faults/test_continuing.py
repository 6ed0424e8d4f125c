"""Runs that continue as new while workers die and others send, cancel and wait."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import pairwise
from typing import Any

import pytest
from django.db import connection, connections

from django_workflows import get_hook_by_token, get_run, resume_hook, start
from django_workflows.errors import InvalidRunStateError
from django_workflows.models import Event, Hook, Run
from django_workflows.store.chains import current_run_id, forward_requests
from tests.app.models import Marker
from tests.cluster.harness import DEADLINE
from tests.faults import checks, workflows
from tests.faults.driver import Crash, Node, World
from tests.faults.sampling import sample
from tests.faults.user import User

pytestmark = pytest.mark.django_db(transaction=True)


def chain(run: Run) -> list[Run]:
    """A run and all that followed it: each has one successor at most."""
    links = [get_run(run.pk)]
    while following := list(Run.objects.filter(continued_from=links[-1].pk)):
        (link,) = following
        links.append(link)
    return links


def run_chain(world: World, run: Run) -> list[Run]:
    """Go on until the last run of the chain has ended."""
    while (current := get_run(current_run_id(run.pk))).is_closed is False:
        world.run(current)
    return chain(run)


def check_chain(links: list[Run], account: str) -> None:
    for link in links:
        checks.check_log(link)
        checks.check_replays(link)
    statuses = [link.status for link in links]
    assert statuses == [*["continued_as_new"] * (len(links) - 1), "completed"]
    for link, following in pairwise(links):
        assert link.history()[-1].data == {"run_id": following.pk}
        assert following.history()[0].type == "run_created"
    assert not Event.objects.filter(seq=None).exists()
    assert not Hook.objects.exists()
    # The effect of each run's step is there.
    for number in range(1, len(links) + 1):
        assert Marker.objects.filter(name=f"{account}/plain{number}").exists()


def shape(links: list[Run]) -> list[Counter[tuple[str, str]]]:
    return [checks.shape(link) for link in links]


def _relay(world: World, account: str) -> list[Run]:
    run = workflows.relay.options(key=account).start(account, 3, 2, [])
    world.idle()
    for number in range(5):
        resume_hook(f"{account}/inbox", number)
    world.answers[f"{account}/inbox"] = [5]
    links = run_chain(world, run)
    assert run.result() == [0, 1, 2, 3, 4, 5]
    assert [link.key_held is None for link in links] == [True, True, False]
    assert workflows.relay.options(key=account).start(account, 3, 2, []) == links[-1]
    return links


def test_crash_at_each_point_makes_one_successor() -> None:
    with World() as world:
        world.on_point = counted = Crash()
        links = _relay(world, "good")
        good = [link.status for link in links]
        check_chain(links, "good")
        tried = sample(len(counted.passed), 100)
        for number in tried:
            world.on_point = Crash(number)
            deaths = world.deaths
            links = _relay(world, f"crash{number}")
            if world.deaths == deaths:
                break  # this run passed fewer points than the first
            assert [link.status for link in links] == good
            check_chain(links, f"crash{number}")
        assert world.deaths > 0.8 * len(tried)


@pytest.mark.parametrize(
    "point", ["before commit", "after commit", "before let_go", "before round"]
)
def test_payload_at_any_moment_arrives_once_and_in_order(point: str) -> None:
    sent: list[int] = []

    def send(node: Node, name: str) -> None:
        if name == point and not node.is_in_transaction and len(sent) < 12:
            sent.append(len(sent))
            holder = resume_hook("a/inbox", sent[-1])
            assert holder.pk == current_run_id(run.pk)

    with World() as world:
        run = start(workflows.relay, "a", 6, 2, [])
        world.idle()
        world.on_point = send
        world.idle()
        world.on_point = lambda node, name: None
        while len(sent) < 12:
            sent.append(len(sent))
            resume_hook("a/inbox", sent[-1])
        links = run_chain(world, run)
    assert run.result() == list(range(12))
    assert len(links) == 6
    check_chain(links, "a")


class _Sender(threading.Thread):
    """Sends its payloads one after the other, as fast as it can."""

    def __init__(self, action: Callable[[], None]) -> None:
        super().__init__()
        self._action = action
        self.error: BaseException | None = None

    def run(self) -> None:
        try:
            self._action()
        except BaseException as error:
            self.error = error
        finally:
            connections.close_all()


@contextmanager
def at_once(*actions: Callable[[], None]) -> Iterator[list[_Sender]]:
    """Do these on threads; what they raise is raised on leaving."""
    threads = [_Sender(action) for action in actions]
    for thread in threads:
        thread.start()
    try:
        yield threads
    finally:
        for thread in threads:
            thread.join(2 * DEADLINE)
    for thread in threads:
        assert not thread.is_alive()
        if thread.error is not None:
            raise thread.error


def test_payloads_sent_all_the_time_arrive_once_and_in_order() -> None:
    """Four senders go on until the run has continued fifty times.

    They are no faster than what is read, or the backlog would be all there is to see.
    """
    accepted: list[list[str]] = [[], [], [], []]
    enough = threading.Event()
    runs = [0]

    def sending(sender: int) -> Callable[[], None]:
        def send() -> None:
            holders = accepted[sender]
            while not enough.is_set():
                if len(holders) > 5 * runs[0] + 10:
                    enough.wait(0.001)
                    continue
                holders.append(resume_hook("a/inbox", [sender, len(holders)]).pk)

        return send

    with World(nodes=2) as world:
        run = start(workflows.conveyor, "a", 20, [])
        world.idle()
        with at_once(*map(sending, range(4))):
            try:
                while runs[0] <= 50:
                    runs[0] = Run.objects.count()
                    for node in list(world.nodes):
                        world.turn(node)
            finally:
                enough.set()
        resume_hook("a/inbox", "stop")
        links = run_chain(world, run)
        assert world.deaths == 0
    seen = run.result()
    for sender, holders in enumerate(accepted):
        assert [n for s, n in seen if s == sender] == list(range(len(holders)))
    assert len(seen) == sum(map(len, accepted))
    assert {pk for holders in accepted for pk in holders} <= {r.pk for r in links}
    for link in links:
        checks.check_log(link)
        checks.replay(link)


def test_resume_that_waits_for_the_hand_over_names_the_successor() -> None:
    """It has found the hook held by the old run, whose row is locked by the round."""
    if connection.vendor == "sqlite":
        pytest.skip("has one writer at a time")
    found: list[str] = []
    threads: list[Any] = []

    def send() -> None:
        found.append(resume_hook("a/inbox", "second").pk)

    def meanwhile(node: Node, name: str) -> None:
        is_handing_over = node.is_in_transaction and name == "after UPDATE hook"
        if is_handing_over and not threads:
            thread = _Sender(send)
            threads.append(thread)
            thread.start()
            thread.join(0.5)
            assert thread.is_alive(), "it did not wait for the round"

    with World() as world:
        run = start(workflows.relay, "a", 2, 1, [])
        world.idle()
        world.on_point = meanwhile
        resume_hook("a/inbox", "first")
        world.idle()
        assert threads, "no hand-over"
        threads[0].join(DEADLINE)
        assert threads[0].error is None
        links = run_chain(world, run)
    assert found == [links[1].pk]
    assert run.result() == ["first", "second"]
    check_chain(links, "a")


def test_run_does_not_continue_past_somebody_who_is_sending() -> None:
    """Neither does its round wait for them."""
    if connection.vendor == "sqlite":
        pytest.skip("has one writer at a time")
    with World() as world:
        run = start(workflows.relay, "a", 3, 1, [])
        other = start(workflows.short, "b")
        world.idle()
        with User() as user:
            user.do(lambda: resume_hook("a/inbox", "second"))
            resume_hook("a/inbox", "first")
            for _ in range(5):
                for node in world.nodes:
                    world.turn(node)
                world.pass_time(0.05)
            assert get_run(run.pk).status == "running"
            assert get_run(other.pk).status == "completed"
            hook = get_hook_by_token("a/inbox")
            if connection.vendor == "postgresql":
                assert hook.yield_until is not None
            # Others let the run go first for a moment, and no longer.
            assert resume_hook("a/inbox", "third").pk == run.pk
            user.commit()
        links = run_chain(world, run)
    assert run.result() == ["first", "second", "third"]
    check_chain(links, "a")


def test_request_that_commits_during_the_hand_over_is_forwarded() -> None:
    """Its transaction was open when the run continued, and nobody could see it."""
    if connection.vendor == "sqlite":
        pytest.skip("has one writer at a time")
    with World() as world:
        run = start(workflows.relay, "a", 2, 1, [])
        world.idle()
        with User() as user:
            user.do(lambda: get_run(run.pk).cancel("late"))
            resume_hook("a/inbox", "first")
            world.idle()
            assert get_run(run.pk).status == "continued_as_new"
            user.commit()
        world.idle()
        assert forward_requests(connection) == 1
        world.idle()
    assert [link.status for link in chain(run)] == ["continued_as_new", "cancelled"]
    assert not Event.objects.filter(seq=None).exists()


def test_cancelling_a_chain_that_goes_on_all_the_time_ends_it() -> None:
    """Whoever was told that the request is accepted sees the chain cancelled."""
    with World(nodes=2) as world:
        for number in range(20):
            run = start(workflows.restless, f"r{number}")

            def cancel(run: Run = run) -> None:
                while True:
                    try:
                        get_run(current_run_id(run.pk)).cancel()
                    except InvalidRunStateError:
                        continue  # it has continued since it was looked up
                    return

            world.turn(world.nodes[number % 2])
            with at_once(cancel) as (thread,):
                while thread.is_alive():
                    for node in list(world.nodes):
                        world.turn(node)
            for _ in range(50):
                forward_requests(connection)
                for node in list(world.nodes):
                    world.turn(node)
                if get_run(current_run_id(run.pk)).is_closed:
                    break
            links = chain(run)
            statuses = Counter(link.status for link in links)
            assert statuses == {"continued_as_new": len(links) - 1, "cancelled": 1}
            for link in links:
                checks.check_log(link)


def test_start_with_the_key_finds_the_chain_at_every_moment() -> None:
    """A second chain never begins, and nobody sees an IntegrityError."""
    options = workflows.restless.options(key="one")
    found: set[str] = set()

    def look_up() -> None:
        looks = 0
        while looks < 100 or len(found) <= 2:
            found.add(options.start("one").pk)
            looks += 1

    with World(nodes=2) as world:
        run = options.start("one")
        with at_once(look_up, look_up) as threads:
            while any(thread.is_alive() for thread in threads):
                for node in list(world.nodes):
                    world.turn(node)
        links = chain(run)
        assert found <= {link.pk for link in links}
        assert Run.objects.count() == len(links)
        links[-1].terminate()


def test_waiting_for_the_result_of_a_chain_on_other_threads() -> None:
    results: list[object] = []

    def wait() -> None:
        results.append(get_run(run.pk).result(timeout=90))

    with World(nodes=2) as world:
        run = start(workflows.relay, "a", 10, 1, [])
        world.idle()
        with at_once(wait, wait):
            for number in range(10):
                resume_hook("a/inbox", number)
                world.idle()
            run_chain(world, run)
    assert results == [list(range(10))] * 2
