"""Calls of steps that wait for a free slot in this process."""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import lru_cache

from django_workflows.replay.actions import row_name
from django_workflows.replay.operations import StepCall
from django_workflows.replay.registry import registry
from django_workflows.worker import steps
from django_workflows.worker.attempt import KINDS, kind_of
from django_workflows.worker.owned import OwnedRun

logger = logging.getLogger("django_workflows.worker")

#: Microseconds after which a step waiting for a free slot is offered to all workers.
OFFER_US = 200_000


class WaitingCalls:
    """Since when which call of which run waits, oldest first."""

    def __init__(self) -> None:
        self._calls: deque[tuple[int, OwnedRun, StepCall]] = deque()
        #: Some of them may have another priority than others.
        self._has_priorities = False

    def __bool__(self) -> bool:
        return bool(self._calls)

    def clear(self) -> None:
        self._calls.clear()

    @contextmanager
    def apart(self) -> Iterator[None]:
        """Let those that wait now take no part in what is done meanwhile."""
        others, self._calls = self._calls, deque()
        try:
            yield
        finally:
            self._calls = others + self._calls

    def plan(self, run: OwnedRun, now_us: int, queues: Sequence[str]) -> None:
        """Queue what is to be started here; offer the rest to whoever can take it."""
        if run.execution.is_paused or now_us >= run.over_us:
            return
        for call in run.retrying():
            if call.retry_us <= now_us and call not in run.ready:
                run.ready.append(call)
        ready, run.ready = run.ready, []
        for call in ready:
            if call.id not in run.execution.steps:
                continue  # cancelled in the burst that called it
            settings = call.step.settings
            is_here = (settings.queue or run.queue) in queues
            if not is_here or settings.is_limited or not _is_known(call):
                steps.offer(run, call, now_us)
                continue
            run.ready.append(call)
            if call.id not in run.queued:
                run.queued.add(call.id)
                self._calls.append((now_us, run, call))
                if run.priority or settings.priority:
                    self._has_priorities = True

    def begin(
        self, now_us: int, owned: Mapping[str, OwnedRun], room: Callable[[str], int]
    ) -> list[OwnedRun]:
        """Begin attempts while there is room; what waits for long is offered to all.

        Returns the runs that have something to store because of it.
        """
        touched: list[OwnedRun] = []
        if self._has_priorities:
            self._calls = deque(sorted(self._calls, key=_place_in_line))
            self._has_priorities = bool(self._calls)
        free = {kind: room(kind) for kind in KINDS}
        for _ in range(len(self._calls)):
            since_us, run, call = self._calls.popleft()
            if (
                owned.get(run.id) is not run
                or call not in run.ready
                or run.execution.is_paused
            ):
                run.queued.discard(call.id)
                continue
            kind = kind_of(call.step, call.step.settings, call.suspect)
            patient = now_us - since_us <= OFFER_US or call.suspect
            if run.is_frozen or (free[kind] <= 0 and patient):
                self._calls.append((since_us, run, call))
                continue
            run.ready.remove(call)
            run.queued.discard(call.id)
            touched.append(run)
            if free[kind] > 0:
                free[kind] -= 1
                steps.begin_attempt(run, call, now_us)
            else:
                steps.offer(run, call, now_us)
        return touched


def _is_known(call: StepCall) -> bool:
    """Whether this process has the action that a call names, if it names one."""
    action = call.step.settings.action
    if not action:
        return True
    name = row_name(call.step.name, action)
    if name in registry.known_steps():
        return True
    _tell_unknown(registry.action_of_row(name))
    return False


@lru_cache(maxsize=1000)
def _tell_unknown(action: str) -> None:
    """Once for each action."""
    logger.warning(
        "this process has no action %r: steps that name it are left to others",
        action,
        extra={"action": "action_unknown"},
    )


def _place_in_line(waiting: tuple[int, OwnedRun, StepCall]) -> int:
    """What waiting calls are sorted by: those of larger priority come first."""
    _, run, call = waiting
    priority = call.step.settings.priority
    return -(run.priority if priority is None else priority)
