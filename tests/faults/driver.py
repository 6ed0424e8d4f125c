"""Workers in the test's own process, which can be stopped at any named point.

A `World` holds workers on one clock that stands still until nothing is left to do.
Each statement a worker sends, each commit and each body of a step is a *point*; a test
is told of every one, and may crash the worker there, make the statement fail, or let
others work meanwhile.
"""

from __future__ import annotations

import random
import re
import threading
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from types import SimpleNamespace
from typing import Any, Self
from unittest.mock import patch

from django.db import connections
from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.utils import DatabaseError, InterfaceError

from django_workflows.conf import conf
from django_workflows.core.ids import new_id
from django_workflows.models import Hook, Run, Worker
from django_workflows.store import due, hooks, sweep, workers
from django_workflows.store.database import (
    connection,
    database_time,
    freeze_time,
    private_connection,
)
from django_workflows.store.rounds import RoundOutcome, RunWrite, commit_round
from django_workflows.testing.inline import InlineExecutor
from django_workflows.worker import commits
from django_workflows.worker.attempt import Ended, judge, report_ends
from django_workflows.worker.reactor import Reactor
from tests.clocks import attempt_clock_by_hand
from tests.faults import workflows

QUEUES = ("default",)
#: Turns after which a world that has not come to an end never will.
TURNS = 300


class SimulatedCrash(BaseException):
    """The worker is gone, as if killed: nothing of it runs any more."""


OnPoint = Callable[["Node", str], None]


class OneByOne(InlineExecutor):
    """An executor that tells of the points before and after each body."""

    def __init__(self, node: Node) -> None:
        super().__init__()
        self._node = node

    def run_next(self) -> Ended | None:
        """Run the attempt submitted first, if there is one."""
        if not self._queued:
            return None
        first, rest = self._queued[:1], self._queued[1:]
        self._node.point("before body")
        self._queued = first
        (ended,) = self.run_queued()
        self._queued = [*rest, *self._queued]
        if isinstance(ended.error, SimulatedCrash):
            raise ended.error
        self._node.point("after body")
        return ended

    @property
    def has_work(self) -> bool:
        return bool(self._queued)


class Node:
    """One worker: its row, its private connection, its reactor."""

    def __init__(self, world: World, *, short_slices: bool = False) -> None:
        self.world = world
        self.short_slices = short_slices
        self.is_dead = False
        self.database = private_connection()
        self.database.inc_thread_sharing()
        self.id = new_id("wrkr")
        workers.register(self.database, self.id, QUEUES, "code")
        self.database.execute_wrappers.append(self._statement)
        self._commit = self.database.commit
        self.database.commit = self._announced_commit  # type: ignore[method-assign]
        self.executor = OneByOne(self)
        self.reactor = Reactor(
            self.database, self.id, QUEUES, self.executor, world, "code"
        )
        self.reactor.committer.may_retry = lambda: not self.is_dead

    # -- points -----------------------------------------------------------------------

    def point(self, name: str) -> None:
        if not self.is_dead:
            self.world.on_point(self, name)

    def _statement(
        self, execute: Any, sql: str, params: Any, many: bool, context: Any
    ) -> Any:
        label = _label(sql)
        self.point(f"before {label}")
        found = execute(sql, params, many, context)
        self.point(f"after {label}")
        return found

    def _announced_commit(self) -> None:
        self.point("before COMMIT")
        self._commit()
        self.point("after COMMIT")

    # -- what a worker process does ---------------------------------------------------

    def turn(self) -> bool:
        """One round and the steps that it started. Returns whether anything happened.

        With short slices the runs are let go in between, so that the steps end while
        nobody here owns their runs.
        """
        reactor = self.reactor
        reactor.look_at_all()
        worked = reactor.round(reactor.wait(0))
        if self.short_slices:
            self.let_go()
        while (ended := self.executor.run_next()) is not None:
            worked = True
            if self.short_slices:
                self.report_directly(ended)
            else:
                reactor.report(ended)
        if not worked and not reactor.is_busy and reactor.arrivals.empty():
            self.let_go()
        return worked

    def let_go(self) -> None:
        """Give all runs up. Some may be kept: those whose row somebody has locked."""
        self.point("before let_go")
        self.reactor.let_go()
        self.point("after let_go")

    def report_directly(self, ended: Ended) -> None:
        """What the process does with ends of steps while no reactor runs."""
        if ended.is_recorded or ended.is_void or not ended.attempt.has_row:
            return
        now_us = self.world.now_us()
        verdict = judge(ended, now_us, conf.MAX_STEP_CRASHES, random.Random(1))
        self.point("before report")
        report_ends(self.database, [(ended.attempt, verdict)], now_us)
        self.point("after report")

    @property
    def is_in_transaction(self) -> bool:
        """Whether others would wait for locks that this worker holds now."""
        thread = connection()
        return _is_open(self.database) or (
            thread.vendor == "sqlite" and _is_open(thread)
        )

    # -- its end ----------------------------------------------------------------------

    def die(self) -> None:
        """Lose all that is in memory; the database does not hear of it."""
        self.is_dead = True
        self.executor.forget()
        self.reactor.forget_all()
        self.database.execute_wrappers.clear()
        self.database.close()


class World:
    """Several workers, one clock, and somebody who answers hooks."""

    def __init__(self, *, nodes: int = 1, short_slices: bool = False) -> None:
        self._size = nodes
        self._short_slices = short_slices
        self._now_us = 0
        self._patches = ExitStack()
        self.nodes: list[Node] = []
        #: Workers that were declared dead and do not know it yet.
        self.zombies: list[Node] = []
        self.on_point: OnPoint = lambda node, name: None
        #: Payloads to send, by token, once nothing else is left to do.
        self.answers: dict[str, list[Any]] = {}
        #: Workers that died, and of them those that an exception ended.
        self.deaths = 0
        self.failures: list[BaseException] = []
        self._at_work: Node | None = None

    def __enter__(self) -> Self:
        self._set_now(database_time(connection()))
        attempt_clock = self._patches.enter_context(attempt_clock_by_hand())
        for target, replacement in (
            ("commit_round", self._commit_round),
            ("time", SimpleNamespace(sleep=lambda seconds: None)),
        ):
            self._patches.enter_context(patch.object(commits, target, replacement))
        workflows.during_body.append(self._during_body)
        workflows.take_time.append(attempt_clock.advance)
        for _ in range(self._size):
            self.add_node()
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.on_point = lambda node, name: None
        for node in [*self.nodes, *self.zombies]:
            node.die()
        workflows.during_body.remove(self._during_body)
        workflows.take_time.clear()
        self._patches.close()
        freeze_time(None)

    def add_node(self) -> Node:
        node = Node(self, short_slices=self._short_slices)
        self.nodes.append(node)
        return node

    # -- time -------------------------------------------------------------------------

    def now_us(self) -> int:
        return self._now_us

    def _set_now(self, us: int) -> None:
        self._now_us = us
        freeze_time(us)

    def pass_time(self, seconds: float) -> None:
        self._set_now(self._now_us + round(seconds * 1_000_000))

    # -- points -----------------------------------------------------------------------

    def _during_body(self, name: str) -> None:
        if self._at_work is not None:
            self._at_work.point(name)

    def _commit_round(
        self,
        database: BaseDatabaseWrapper,
        worker_id: str,
        runs: Sequence[RunWrite],
    ) -> RoundOutcome:
        everyone = [*self.nodes, *self.zombies]
        node = next(node for node in everyone if node.id == worker_id)
        node.point("before commit")
        outcome = commit_round(database, worker_id, runs)
        node.point("after commit")
        return outcome

    # -- running ----------------------------------------------------------------------

    def turn(self, node: Node) -> bool:
        """Let one worker work; one that crashes is declared dead and replaced."""
        outer, self._at_work = self._at_work, node
        try:
            return node.turn()
        except SimulatedCrash:
            self.bury(node)
        except (DatabaseError, InterfaceError) as error:
            # The process begins anew, as another worker.
            self.failures.append(error)
            self.bury(node)
        finally:
            self._at_work = outer
        return True

    def bury(self, node: Node) -> None:
        """Kill a worker, let it be declared dead, and put another in its place."""
        node.die()
        self.declare_dead(node)
        self.nodes.remove(node)
        self.add_node()

    def suspend(self, node: Node, action: Callable[[], None]) -> None:
        """Let a worker stand still where it is, be declared dead, and others act."""
        self.nodes.remove(node)
        self.zombies.append(node)

        def meanwhile() -> None:
            try:
                self.declare_dead(node)
                self.add_node()
                action()
            except BaseException as error:
                errors.append(error)
            finally:
                connections.close_all()

        errors: list[BaseException] = []
        outer, self._at_work = self._at_work, None
        thread = threading.Thread(target=meanwhile)
        thread.start()
        thread.join()
        self._at_work = outer
        if errors:
            raise errors[0]

    def declare_dead(self, node: Node) -> None:
        self.deaths += 1
        row = Worker.objects.get(pk=node.id)
        assert sweep.declare_dead(connection(), row.pk, row.beat)

    def run(self, *runs: Run) -> None:
        """Go on until the runs have ended, skipping time when nothing is left to do."""
        for _ in range(TURNS):
            if not self._all_turn():
                if self.ended(runs):
                    return
                self.go_on(runs)
        raise AssertionError(f"no end in sight:\n{state(runs)}")

    def idle(self) -> None:
        """Do all that can be done without letting time pass."""
        for _ in range(TURNS):
            if not self._all_turn():
                return
        raise AssertionError("no end in sight")

    def _all_turn(self) -> bool:
        nodes = list(self.nodes)
        worked = [self.turn(node) for node in nodes]
        return any(worked) or nodes != self.nodes

    def ended(self, runs: Sequence[Run]) -> bool:
        ids = [run.pk for run in runs]
        return not Run.objects.filter(pk__in=ids).open().exists()

    def go_on(self, runs: Sequence[Run]) -> None:
        """Nothing is left to do now: do what comes from outside, or let time pass."""
        if self._answer() or sweep.free_left_over(connection()):
            return
        found = due.look(QUEUES)
        if found.now:
            return
        if found.wait is None and any(node.reactor.is_busy for node in self.nodes):
            # What somebody had locked is offered again after a moment.
            self.pass_time(0.02)
            return
        assert found.wait is not None, f"stuck:\n{state(runs)}"
        self._set_now(self._now_us + max(1, round(found.wait * 1_000_000)))

    def _answer(self) -> bool:
        """Send the next payload to each hook that is there and has one to come."""
        sent = False
        for token, payloads in self.answers.items():
            held = hooks.token_hash(token)
            if payloads and Hook.objects.filter(token_hash=held).exists():
                hooks.resume_hook(token, payloads.pop(0))
                sent = True
        return sent


def _is_open(database: BaseDatabaseWrapper) -> bool:
    """Whether the connection is in a transaction, whatever Django believes."""
    if database.connection is None:
        return False
    if database.vendor == "sqlite":
        return bool(database.connection.in_transaction)
    if database.vendor == "mysql":
        # What the driver knows is as of the last statement that returned no rows.
        with database.connection.cursor() as cursor:
            cursor.execute("SELECT @@in_transaction")
            return bool(cursor.fetchone()[0])
    return bool(database.connection.info.transaction_status)


_TABLE = re.compile(r"\b(?:FROM|INTO|UPDATE)\s+django_workflows_(\w+)")


def _label(sql: str) -> str:
    """A short name of a statement: what it does to which table."""
    verb = sql.split(None, 1)[0]
    if verb == "WITH":
        return "round" if "json_to_recordset" in sql else "claim"
    table = _TABLE.search(sql)
    return f"{verb} {table[1] if table else ''}".strip()


def state(runs: Sequence[Run]) -> str:
    """What the database holds about runs, for the message of a failed test."""
    lines = []
    for run in Run.objects.filter(pk__in=[run.pk for run in runs]):
        lines.append(
            f"{run.pk} {run.status} owner={run.owner!r} fence={run.fence} "
            f"seq={run.last_seq} wake={run.wake_at} blocked={run.blocked_reason!r} "
            f"suspicion={run.suspicion} alone={run.is_alone}"
        )
        for event in run.events.order_by("seq", "id"):
            lines.append(f"  {event.seq} {event.type} {event.detail}")
        for step in run.steps.all():
            lines.append(f"  {step} attempt={step.attempt} worker={step.worker!r}")
    return "\n".join(lines)


class Crash:
    """Counts the points passed, and crashes whoever comes to the one numbered `at`."""

    def __init__(self, at: int | None = None) -> None:
        self.at = at
        self.passed: list[str] = []

    def __call__(self, node: Node, name: str) -> None:
        number = len(self.passed)
        self.passed.append(name)
        if number == self.at:
            raise SimulatedCrash(name)
