"""When a worker has to look into the database, and after which of its runs."""

from __future__ import annotations

import heapq
from collections.abc import Container, Iterator

from django_workflows.worker.clock import Clock
from django_workflows.worker.owned import OwnedRun

#: Microseconds between looks into the database when nothing calls for one.
LOOK_US = 250_000
#: Microseconds for which this process surely goes on looking by itself.
SOON_US = 10_000_000


class Agenda:
    """What is due when. One thread keeps it; any may set `looks_due`."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        #: There may be something new in the database.
        self.looks_due = True
        #: A look before that may rest upon the last one for steps on offer.
        self.next_steps_us = 0
        self._next_look_us = 0
        #: When something that was given up is due again, for whoever claims it.
        self._looks: list[int] = []
        #: When runs that are kept go on by themselves.
        self._timers: list[tuple[int, str]] = []

    def take_look(self, now_us: int) -> bool:
        """Whether it is time for a look. The next one is due some time after it."""
        while self._looks and self._looks[0] <= now_us:
            heapq.heappop(self._looks)
            self.looks_due = True
        if not self.looks_due and now_us < self._next_look_us:
            return False
        self.looks_due = False
        self._next_look_us = now_us + LOOK_US
        return True

    def look_for_steps(self) -> None:
        """Look in the next round, and for steps on offer and queued runs as well."""
        self.looks_due, self.next_steps_us = True, 0

    def look_at(self, due_us: int | None) -> None:
        """Look when something is due that was given up, if that is soon; what is due
        later is the broker's to notice."""
        if due_us is None or self._looks[:1] == [due_us]:
            return
        if due_us < self._clock.now_us() + SOON_US:
            heapq.heappush(self._looks, due_us)

    def set_timer(self, run: OwnedRun) -> None:
        """Go after a run when it goes on by itself."""
        due_us = run.next_due_us()
        if due_us is not None and due_us != run.timer_us:
            run.timer_us = due_us
            self.come_back(run, due_us)

    def come_back(self, run: OwnedRun, due_us: int) -> None:
        """Go after a run at that time."""
        heapq.heappush(self._timers, (due_us, run.id))

    def due_runs(self, now_us: int) -> Iterator[str]:
        """The runs whose time has come, the first one first."""
        while self._timers and self._timers[0][0] <= now_us:
            yield heapq.heappop(self._timers)[1]

    def next_us(self, owned: Container[str]) -> int | None:
        """When something is due next by itself, if anything is."""
        while self._timers and self._timers[0][1] not in owned:
            heapq.heappop(self._timers)
        dues = [self._timers[0][0]] if self._timers else []
        dues += self._looks[:1]
        return min(dues, default=None)
