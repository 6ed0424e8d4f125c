"""Several workers at once, in an order that a seed decides.

Each worker has a thread, but only one of them runs at a time: at every point outside of
a transaction it hands on to another one. The same seed gives the same interleaving, as
far as the workers do the same.
"""

from __future__ import annotations

import random
import threading
from collections.abc import Sequence

from django.db import connections

from django_workflows.models import Run
from tests.faults.driver import Node, SimulatedCrash, World, state

#: Turns of one worker after which the race is lost.
TURNS = 400
#: Seconds of a race, on a busy machine.
LONGEST = 200


class Race:
    """Runs a world's workers in threads that take turns at points."""

    def __init__(self, world: World, seed: int, *, crashes: int = 0) -> None:
        self._world = world
        self._random = random.Random(seed)
        self._crashes = crashes
        self._running: dict[Node, threading.Event] = {}
        self._threads: list[threading.Thread] = []
        self._errors: list[BaseException] = []
        self._finished = threading.Event()
        #: Workers whose last turn found nothing to do, and began when nothing has
        #: happened since.
        self._idle: set[Node] = set()
        self._happened = 0
        self._goals: Sequence[Run] = ()

    def run(self, *runs: Run) -> None:
        """Race until all runs have ended. Raises what a worker raised."""
        self._goals = runs
        self._world.on_point = self._at_point
        for node in list(self._world.nodes):
            self._enter(node)
        next(iter(self._running.values())).set()
        while self._threads:
            thread = self._threads.pop()
            thread.join(LONGEST)
            assert not thread.is_alive(), f"stuck:\n{state(runs)}"
        self._world.on_point = lambda node, name: None
        if self._errors:
            raise self._errors[0]

    def _enter(self, node: Node) -> None:
        self._running[node] = threading.Event()
        thread = threading.Thread(target=self._work, args=(node,), daemon=True)
        thread.start()
        self._threads.append(thread)

    def _work(self, node: Node) -> None:
        try:
            self._running[node].wait(LONGEST)
            for _ in range(TURNS):
                if self._finished.is_set():
                    return
                before = self._happened
                if self._turn(node):
                    self._something_happened()
                elif before == self._happened:
                    self._idle.add(node)
                    if self._idle.issuperset(self._running):
                        self._nothing_left()
                if node not in self._running:
                    return
                self._hand_on(node)
            raise AssertionError(f"no end in sight:\n{state(self._goals)}")
        except BaseException as error:
            self._errors.append(error)
            self._finished.set()
        finally:
            self._running.pop(node, None)
            self._wake_any()
            connections.close_all()

    def _turn(self, node: Node) -> bool:
        try:
            return node.turn()
        except SimulatedCrash:
            del self._running[node]
            before = set(self._world.nodes)
            self._world.bury(node)
            for new in set(self._world.nodes) - before:
                self._enter(new)
            return True

    def _something_happened(self) -> None:
        self._happened += 1
        self._idle.clear()

    def _nothing_left(self) -> None:
        self._something_happened()
        if self._world.ended(self._goals):
            self._finished.set()
        else:
            self._world.go_on(self._goals)

    def _at_point(self, node: Node, name: str) -> None:
        if node.is_in_transaction or node not in self._running:
            return
        if self._crashes and self._random.random() < 0.01:
            self._crashes -= 1
            raise SimulatedCrash(name)
        if self._random.random() < 0.5:
            self._hand_on(node)

    def _hand_on(self, node: Node) -> None:
        """Let another worker run, until it is this one's turn again."""
        mine = self._running[node]
        chosen = self._random.choice(list(self._running))
        if chosen is node or self._finished.is_set():
            return
        mine.clear()
        self._running[chosen].set()
        mine.wait(LONGEST)

    def _wake_any(self) -> None:
        events = list(self._running.values())
        if self._finished.is_set():
            for event in events:
                event.set()
        elif events:
            self._random.choice(events).set()
