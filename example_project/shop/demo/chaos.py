"""When to kill what: the plan that the demo's workers have to survive."""

from __future__ import annotations

from collections.abc import Callable

Kill = Callable[[], str | None]

#: (share of the orders decided, what dies then).
PLAN = (
    (0.02, "worker"),
    (0.10, "cluster"),
    (0.25, "worker"),
    (0.40, "cluster"),
    (0.55, "worker"),
    (0.70, "cluster"),
    (0.85, "worker"),
)

#: Seconds between two kills, so that each one hits workers that are at work again.
PAUSE = 2.5


class Chaos:
    """Carries out `PLAN` as the orders get on.

    `kill_worker` and `kill_cluster` do the killing and say what they killed, or None
    if there was nothing to kill; then it is tried again at the next turn.
    """

    def __init__(self, kill_worker: Kill, kill_cluster: Kill) -> None:
        self._kills = {"worker": kill_worker, "cluster": kill_cluster}
        self._plan = list(PLAN)
        self._not_before = 0.0
        self.killed: list[str] = []

    def turn(self, decided: float, now: float) -> str | None:
        """Kill what is due; return what it was.

        `decided` is the share of orders that are paid or cancelled, `now` a time in
        seconds.
        """
        if not self._plan or decided < self._plan[0][0] or now < self._not_before:
            return None
        victim = self._kills[self._plan[0][1]]()
        if victim is not None:
            del self._plan[0]
            self._not_before = now + PAUSE
            self.killed.append(victim)
        return victim
