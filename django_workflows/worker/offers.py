"""Takes what any worker may take: steps on offer, and runs that their limits let in."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from django_workflows.worker.agenda import Agenda
from django_workflows.worker.attempt import Attempt
from django_workflows.worker.loading import Loader

#: Steps on offer taken at a time while own ones wait for a free slot.
STRANGERS = 2


class Slots(Protocol):
    """Where attempts run."""

    def room(self, kind: str) -> int: ...
    def submit(self, attempts: Sequence[Attempt]) -> None: ...


class Offers:
    """What one worker takes of it."""

    def __init__(self, loader: Loader, executor: Slots, agenda: Agenda) -> None:
        self._loader = loader
        self._executor = executor
        self._agenda = agenda
        #: Runs waited for their limits, when last looked.
        self.has_queued_runs = False

    def take(self, queues: Sequence[str], *, is_full: bool) -> bool:
        """Take attempts that are on offer, as many as there is room for, and let queued
        runs begin. Returns whether there was anything.

        `is_full`: steps of this worker's own runs wait for a free slot.
        """
        room = min(self._executor.room("thread"), self._executor.room("async"))
        if is_full:
            # This worker's own steps take every slot that gets free; those on offer
            # have waited longer.
            room = max(room, STRANGERS)
        claimed, claim = self._loader.claim_steps(queues, room)
        if room > 0 and len(claimed) == room:
            self._agenda.looks_due = True
        self._agenda.look_at(claim.next_us)
        self.has_queued_runs = claim.has_queued_runs
        admitted = self._admit_runs(queues) if claim.has_queued_runs else False
        if claim.has_suspects:
            suspects, claim = self._loader.claim_steps(
                queues, self._executor.room("process"), suspects=True
            )
            self._agenda.look_at(claim.next_us)
            claimed += suspects
        if claimed:
            self._executor.submit(claimed)
        return bool(claimed) or admitted

    def _admit_runs(self, queues: Sequence[str]) -> bool:
        """Let queued runs begin as far as their limits allow, to be claimed next."""
        admitted, next_us = self._loader.admit_runs(queues)
        self._agenda.look_at(next_us)
        self._agenda.looks_due |= admitted > 0
        return admitted > 0
