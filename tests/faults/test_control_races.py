"""People steer a run in the very moment in which workers advance it, round by round.

Whatever comes first: there is one defined outcome, the callers hear of it, and the log
is valid. ``FAULTS=all`` plays thousands of rounds.
"""

from __future__ import annotations

import math
import random
import threading
import time
from collections import Counter
from collections.abc import Callable

import pytest
from django.db import connections

from django_workflows import start
from django_workflows.errors import InvalidRunStateError
from django_workflows.models import Run
from django_workflows.replay import events as log
from django_workflows.store import sweep
from django_workflows.store.database import connection
from tests.cluster.harness import DEADLINE
from tests.faults import checks, workflows
from tests.faults.driver import World, state
from tests.faults.sampling import unless_all

ROUNDS = unless_all(12, 2000)

pytestmark = [
    pytest.mark.django_db(transaction=True),
    pytest.mark.timeout(max(300, 4 * ROUNDS)),
]

#: Seconds by which the contestants begin one after the other, besides a handicap.
JITTER = 0.004


class Handicap:
    """Seconds by which those who act begin late.

    In the first round they are through before the others begin, in the second one it is
    the other way round. Then who wins is held back in the next round, so that both
    sides win about equally often.
    """

    def __init__(self) -> None:
        self.seconds = -math.inf
        self._step = 0.001
        self._last: bool | None = None

    def adjust(self, acting_won: bool) -> None:
        if math.isinf(self.seconds):
            self.seconds = math.inf if self.seconds < 0 else 0.0
            return
        repeated = acting_won is self._last
        self._step = min(0.2, self._step * 2) if repeated else self._step / 2
        self._step = max(0.0005, self._step)
        self._last = acting_won
        self.seconds += self._step if acting_won else -self._step


class Contest:
    """One round: some act on a run, while two workers advance it."""

    def __init__(
        self, world: World, run: Run, seed: int, handicap: Handicap | None = None
    ) -> None:
        self._late = handicap.seconds if handicap is not None else 0.0
        self.world = world
        self.run = run
        self.heard: dict[str, bool] = {}
        self._random = random.Random(seed)
        self._errors: list[BaseException] = []

    def play(self, **actions: Callable[[Run], None]) -> None:
        """Let all act at about the same time; remember who was refused."""
        acting = [
            threading.Thread(
                target=self._act, args=(name, action, self._delay(self._late))
            )
            for name, action in actions.items()
        ]
        over = threading.Event()
        working = [
            threading.Thread(
                target=self._work, args=(number, over, self._delay(-self._late))
            )
            for number in range(len(self.world.nodes))
        ]
        if self._late == math.inf:
            self.world.run(self.run)
        for thread in acting:
            thread.start()
        if self._late == -math.inf:
            self._join(acting)
        for thread in working:
            thread.start()
        self._join(acting)
        over.set()
        self._join(working)
        if self._errors:
            raise self._errors[0]
        self.world.idle()
        self.run.refresh_from_db()

    def _join(self, threads: list[threading.Thread]) -> None:
        for thread in threads:
            thread.join(DEADLINE)
            assert not thread.is_alive(), state([self.run])

    def _delay(self, late: float) -> float:
        jitter = self._random.uniform(0, JITTER)
        return jitter if math.isinf(late) else max(0.0, late) + jitter

    def _act(self, name: str, action: Callable[[Run], None], delay: float) -> None:
        try:
            time.sleep(delay)
            action(Run.objects.get(pk=self.run.pk))
            self.heard[name] = True
        except InvalidRunStateError:
            self.heard[name] = False
        except BaseException as error:
            self._errors.append(error)
        finally:
            connections.close_all()

    def _work(self, number: int, over: threading.Event, delay: float) -> None:
        try:
            time.sleep(delay)
            while not over.is_set():
                self.world.nodes[number].turn()
        except BaseException as error:
            self._errors.append(error)
        finally:
            connections.close_all()

    # -- afterwards -------------------------------------------------------------------

    def finish(self) -> str:
        """Let the run come to its end, resumed if need be, and check its log."""
        if self.run.status == "paused":
            self.run.resume()
        self.world.run(self.run)
        sweep.delete_strays(connection())
        checks.check_log(self.run)
        checks.check_replays(self.run)
        checks.check_stands_still(self.run)
        return self.run.status

    def types(self) -> list[str]:
        return [event.type for event in self.run.history()]


def _seed(name: str, number: int) -> int:
    return random.Random(f"{name} {number}").randrange(2**32)


def test_cancel_against_complete() -> None:
    """Who cancels in time has the run cancelled; else it completes, and the log holds
    no request, for nobody obeyed it."""
    outcomes: Counter[str] = Counter()
    handicap = Handicap()
    with World(nodes=2) as world:
        for number in range(ROUNDS):
            run = start(workflows.short, f"c{number}")
            contest = Contest(world, run, _seed("cancel", number), handicap)
            contest.play(cancel=lambda run: run.cancel())
            outcome = contest.finish()
            handicap.adjust(outcome == "cancelled")
            outcomes[outcome] += 1
            if outcome == "completed":
                assert log.CANCEL_REQUESTED not in contest.types()
                assert contest.run.result() == [1, 5, 2]
            else:
                assert outcome == "cancelled"
                assert contest.heard == {"cancel": True}
                assert contest.types().count(log.CANCEL_REQUESTED) <= 1
    assert set(outcomes) == {"completed", "cancelled"}


def test_terminate_against_complete() -> None:
    """Who hears no refusal has ended it."""
    outcomes: Counter[str] = Counter()
    handicap = Handicap()
    with World(nodes=2) as world:
        for number in range(ROUNDS):
            run = start(workflows.short, f"t{number}")
            contest = Contest(world, run, _seed("end", number), handicap)
            contest.play(terminate=lambda run: run.terminate())
            outcome = contest.finish()
            handicap.adjust(outcome == "terminated")
            outcomes[outcome] += 1
            assert contest.heard == {"terminate": outcome == "terminated"}
            assert outcome in ("completed", "terminated")
    assert set(outcomes) == {"completed", "terminated"}


def test_pause_against_timers() -> None:
    """The timer fires before the pause, or after the resume; never in between."""
    stood_still: Counter[bool] = Counter()
    handicap = Handicap()
    with World(nodes=2) as world:
        for number in range(ROUNDS):
            run = start(workflows.alarm, f"p{number}")
            world.idle()
            world.pass_time(10)
            contest = Contest(world, run, _seed("pause", number), handicap)
            contest.play(pause=lambda run: run.pause())
            handicap.adjust(contest.run.status == "paused")
            stood_still[contest.run.status == "paused"] += 1
            assert contest.run.status in ("paused", "completed")
            assert contest.finish() == "completed"
            assert contest.run.result() == [1, 2]
    assert set(stood_still) == {True, False}


def test_pause_against_resume() -> None:
    """In whatever order: the run stands still or goes on, and can be told to go on."""
    with World(nodes=2) as world:
        for number in range(ROUNDS):
            run = start(workflows.alarm, f"r{number}")
            world.idle()
            if number % 2:
                run.pause()
                world.idle()
            contest = Contest(world, run, _seed("resume", number))
            contest.play(
                pause=lambda run: run.pause(),
                resume=lambda run: run.resume(),
                again=lambda run: run.pause(),
            )
            assert contest.run.status in ("paused", "running")
            assert contest.finish() == "completed"


def test_cancel_against_pause() -> None:
    """Both are obeyed: the run is cancelled, at once or when its clean-up goes on."""
    with World(nodes=2) as world:
        for number in range(ROUNDS):
            run = start(workflows.tidy, f"x{number}")
            world.idle()
            contest = Contest(world, run, _seed("both", number))
            contest.play(pause=lambda run: run.pause(), cancel=lambda run: run.cancel())
            assert contest.heard["cancel"]
            assert contest.finish() == "cancelled"
            assert contest.types().count(log.CANCEL_REQUESTED) == 1
            assert contest.types().count(log.STEP_COMPLETED) == 1


def test_everybody_at_once() -> None:
    """Deadlines come in as well. One end, and it is the last entry."""
    outcomes: Counter[str] = Counter()
    with World(nodes=2) as world:
        for number in range(ROUNDS):
            run = workflows.tidy.options(timeout="2h").start(f"e{number}")
            world.idle()
            contest = Contest(
                world, run, _seed("all", number), None if number else Handicap()
            )
            actions: dict[str, Callable[[Run], None]] = {
                "pause": lambda run: run.pause(),
                "resume": lambda run: run.resume(),
                "wake": lambda run: run.wake(),
                "cancel": lambda run: run.cancel(),
                "time": lambda run: world.pass_time(1.5 * 3600),
            }
            if number % 3 == 0:
                actions["terminate"] = lambda run: run.terminate()
            contest.play(**actions)
            outcome = contest.finish()
            outcomes[outcome] += 1
            assert outcome in ("completed", "cancelled", "terminated", "timed_out")
            if "terminate" in actions:
                assert contest.heard["terminate"] == (outcome == "terminated")
    assert len(outcomes) > 1


def test_two_cancels_at_once_are_one() -> None:
    """Whichever is obeyed first counts; the clean-up is not cut off."""
    with World(nodes=2) as world:
        for number in range(ROUNDS):
            run = start(workflows.tidy, f"d{number}")
            world.idle()
            contest = Contest(world, run, _seed("twice", number))
            contest.play(one=lambda run: run.cancel(), two=lambda run: run.cancel())
            assert contest.heard == {"one": True, "two": True}
            assert contest.finish() == "cancelled"
            assert contest.types().count(log.STEP_COMPLETED) == 1
