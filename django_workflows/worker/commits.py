"""Stores rounds through whatever the database does meanwhile."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.utils import DatabaseError, DataError, IntegrityError, InterfaceError

from django_workflows.store.attempts import rows_of
from django_workflows.store.database import is_held_up
from django_workflows.store.rounds import RunWrite, commit_round, stored_fences

logger = logging.getLogger("django_workflows.worker")

#: Events in one transaction, at most, unless a single run has more.
MAX_EVENTS = 2000


@dataclass(slots=True)
class CommitOutcome:
    """What became of each run of a round; one in no set has to be replayed."""

    stored: set[str] = field(default_factory=set)
    busy: set[str] = field(default_factory=set)
    poisoned: dict[str, Exception] = field(default_factory=dict)


class Committer:
    """Commits rounds, finds out what a lost connection left undecided, and singles
    out a run whose values the database refuses."""

    def __init__(self, database: BaseDatabaseWrapper, worker_id: str) -> None:
        self._database = database
        self._worker_id = worker_id
        #: Says whether to go on trying while the database is away.
        self.may_retry: Callable[[], bool] = lambda: True

    def commit(self, writes: Sequence[RunWrite]) -> CommitOutcome:
        outcome = CommitOutcome()
        part: list[RunWrite] = []
        #: Those that continue as new take more statements: nobody waits for them.
        slow: list[RunWrite] = []
        events = 0
        for write in writes:
            if write.is_held_up:
                self._commit([write], outcome)
                continue
            if write.successor is not None:
                slow.append(write)
                continue
            if part and events + len(write.events) > MAX_EVENTS:
                self._commit(part, outcome)
                part, events = [], 0
            part.append(write)
            events += len(write.events)
        for rest in (part, slow):
            if rest:
                self._commit(rest, outcome)
        return outcome

    def _commit(self, writes: list[RunWrite], outcome: CommitOutcome) -> None:
        pause = 0.05
        while writes:
            try:
                done = commit_round(self._database, self._worker_id, writes)
            except DataError as error:
                self._single_out(writes, outcome, error)
                return
            except IntegrityError:
                # Its log is ahead of what this worker believes: replay decides.
                logger.exception(
                    "a round does not fit the log", extra={"action": "round_refused"}
                )
                if len(writes) > 1:
                    self._single_out(writes, outcome, None)
                return
            except (DatabaseError, InterfaceError) as error:
                if is_held_up(error):
                    self._hold_up(writes, outcome)
                    return
                logger.warning(
                    "the round could not be stored, trying again: %s",
                    error,
                    extra={"action": "round_retried"},
                )
                writes = self._undecided(writes, outcome, pause)
                pause = min(2.0, pause * 2)
                continue
            except Exception as error:
                # Not the database's: a value that cannot be sealed, for example.
                self._single_out(writes, outcome, error)
                return
            outcome.stored |= done.stored
            outcome.busy |= done.busy
            return

    def _hold_up(self, writes: list[RunWrite], outcome: CommitOutcome) -> None:
        """Somebody holds what a round wants, in a transaction that is still open: as a
        rule a token or key that one of its runs claims. The others do not wait."""
        claiming = [write for write in writes if write.claims_names]
        if len(writes) == 1 or not claiming:
            for write in writes:
                write.is_held_up = True
                outcome.busy.add(write.run_id)
            return
        self._commit([write for write in writes if not write.claims_names], outcome)
        for write in claiming:
            self._commit([write], outcome)

    def _single_out(
        self, writes: list[RunWrite], outcome: CommitOutcome, error: Exception | None
    ) -> None:
        """One value is refused: the other runs of the round must not suffer."""
        if len(writes) == 1:
            if error is not None:
                outcome.poisoned[writes[0].run_id] = error
            return
        for write in writes:
            self._commit([write], outcome)

    def _undecided(
        self, writes: list[RunWrite], outcome: CommitOutcome, pause: float
    ) -> list[RunWrite]:
        """After an error in a commit: what has been stored, and what is still to be.

        Asked on a new connection, as soon as there is one. A run that has moved on
        otherwise is in neither: it is lost.
        """
        while self.may_retry():
            time.sleep(pause)
            pause = min(2.0, pause * 2)
            try:
                self._database.close()
                fences = stored_fences(self._database, [w.run_id for w in writes])
                # Where nothing was to be numbered, only these rows tell.
                silent = [w for w in writes if not (w.events or w.release)]
                steps = [row.id for w in silent for row in w.steps]
                missing = set(steps) - rows_of(self._database, steps)
            except (DatabaseError, InterfaceError):
                continue
            rest = []
            for write in writes:
                owner, fence, last_seq = fences.get(write.run_id, ("", -1, -1))
                after = write.fence + 1 if write.release else write.fence
                is_missing = any(row.id in missing for row in write.steps)
                if last_seq == write.last_seq and fence == after and not is_missing:
                    outcome.stored.add(write.run_id)
                elif owner == self._worker_id and fence == write.fence:
                    rest.append(write)
            return rest
        return []
