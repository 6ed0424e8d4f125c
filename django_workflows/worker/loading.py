"""Brings runs and steps that are due into this process."""

from __future__ import annotations

import logging
from collections import OrderedDict
from collections.abc import Callable, Sequence
from typing import Any

from django.db.backends.base.base import BaseDatabaseWrapper

from django_workflows.conf import conf
from django_workflows.replay.execution import BurstTimeout, RunBlocked
from django_workflows.replay.guard import watching
from django_workflows.replay.options import StepOptions
from django_workflows.replay.registry import registry
from django_workflows.replay.steps import Step
from django_workflows.store import (
    admission,
    attempts,
    history,
    run_claims,
    step_claims,
)
from django_workflows.store.database import to_datetime
from django_workflows.store.run_claims import ClaimedRun
from django_workflows.store.step_claims import ClaimedStep, StepClaim
from django_workflows.worker.attempt import Attempt, load_options
from django_workflows.worker.clock import Clock
from django_workflows.worker.owned import OwnedRun
from django_workflows.worker.steps import lose_attempt

logger = logging.getLogger("django_workflows.worker")

#: Runs claimed at a time: more would keep them from other workers' hands.
CLAIM_BATCH = 50

#: A run that cannot go on with today's code, and why.
Blocked = tuple[OwnedRun, BaseException]
Running = Callable[[str, int], Attempt | None]


class Loader:
    """Claims runs and steps; loads runs from memory if they are still there, else by
    replaying their log."""

    def __init__(
        self,
        database: BaseDatabaseWrapper,
        worker_id: str,
        clock: Clock,
        running: Running,
    ) -> None:
        self._database = database
        self._worker_id = worker_id
        self._clock = clock
        self._running = running
        #: Given up and kept in memory, by the fence that a next claim must return.
        self._kept: OrderedDict[str, tuple[int, OwnedRun]] = OrderedDict()
        #: Begun or ended replays, for whoever watches that they come to an end.
        self.on_burst: Callable[[OwnedRun | None], None] = lambda run: None

    # -- runs -------------------------------------------------------------------------

    def claim_runs(
        self, queues: Sequence[str], limit: int, *, suspects: bool = False
    ) -> list[ClaimedRun]:
        """Claim due runs; `suspects` claims one whose owner died."""
        return run_claims.claim_runs(
            self._database,
            self._worker_id,
            queues,
            registry.workflow_keys(),
            min(limit, 1 if suspects else CLAIM_BATCH),
            suspects=suspects,
        )

    def admit_runs(self, queues: Sequence[str]) -> tuple[int, int | None]:
        """Let queued runs begin as far as their limits allow.

        Returns how many, and when a rate limit lets the next one begin.
        """
        return admission.admit_runs(self._database, queues, registry.workflow_keys())

    def load(
        self, claimed: Sequence[ClaimedRun]
    ) -> tuple[list[OwnedRun], list[Blocked]]:
        """Claimed runs in memory; apart from them those that cannot go on."""
        runs: list[OwnedRun] = []
        rest: list[ClaimedRun] = []
        for claim in claimed:
            run = self._take_kept(claim)
            if run is None:
                rest.append(claim)
            else:
                runs.append(run)
        unread = {claim.id for claim in claimed if claim.has_unread}
        loaded: list[OwnedRun] = []
        try:
            blocked = self._read_inboxes([run for run in runs if run.id in unread])
            blocked += self._replay(rest, loaded)
        except BaseException:
            # Left to the collector, their clean-up code would run for real.
            for run in runs + loaded:
                run.close()
            raise
        stuck = {id(run) for run, _ in blocked}
        return [run for run in runs + loaded if id(run) not in stuck], blocked

    def _take_kept(self, claim: ClaimedRun) -> OwnedRun | None:
        fence, run = self._kept.pop(claim.id, (0, None))
        if run is None:
            return None
        if fence != claim.fence or claim.suspicion:
            run.close()
            return None
        run.resume(claim)
        # What was in flight may have ended meanwhile; its end is in the inbox then.
        run.running = {
            step_id: attempt
            for step_id, attempt in run.running.items()
            if self._running(step_id, attempt.number) is attempt
        }
        return run

    def _read_inboxes(self, runs: Sequence[OwnedRun]) -> list[Blocked]:
        if not runs:
            return []
        blocked: list[Blocked] = []
        inboxes = history.read_inboxes(self._database, [run.id for run in runs])
        for run in runs:
            try:
                run.take_in(inboxes.get(run.id, []))
            except Exception as error:
                blocked.append((run, error))
        return blocked

    def _replay(
        self, claimed: Sequence[ClaimedRun], loaded: list[OwnedRun]
    ) -> list[Blocked]:
        logs = {
            claim.id: [history.first_row(claim.id, claim.created_us, claim.input)]
            for claim in claimed
            if claim.input is not None and not claim.has_unread
        }
        begun = [claim.id for claim in claimed if claim.id not in logs]
        if begun:
            logs |= history.read_logs(self._database, begun)
        blocked: list[Blocked] = []
        for claim in claimed:
            workflow = registry.workflow(claim.workflow, claim.version)
            run = OwnedRun(claim, workflow, self._worker_id)
            loaded.append(run)
            try:
                try:
                    self.on_burst(run)
                    with watching:
                        run.load(logs[run.id])
                finally:
                    self.on_burst(None)
            except RunBlocked as refusal:
                blocked.append((run, refusal.error))
                continue
            except BurstTimeout as timeout:
                # It came when the code was through already, or before that was noted.
                self.on_burst(None)
                blocked.append((run, run.execution.blocked or timeout))
                continue
            except Exception as error:
                # Its log cannot be read by today's code, in whatever way.
                blocked.append((run, error))
                continue
            self._adopt_steps(run)
        return blocked

    def _adopt_steps(self, run: OwnedRun) -> None:
        """Find out what has become of steps that were open when the run was let go."""
        calls = list(run.execution.steps.values())
        if not calls:
            return
        # Looked up after the inbox was read: a step that has ended since has a row,
        # and its end will be in the inbox at the next look.
        with_row = attempts.rows_of(self._database, [call.id for call in calls])
        orphans = {call.worker for call in calls if call.worker}
        dead = attempts.dead_workers(self._database, orphans - {self._worker_id})
        told = {event.correlation_id for event in run.pending}
        now_us = self._clock.now_us()
        for call in calls:
            call.has_row = call.id in with_row
            if call.has_row or call.id in told:
                continue  # whoever runs it, or takes it, will tell or has told
            if not call.worker:
                if not call.attempt:
                    run.ready.append(call)
                continue
            attempt = self._running(call.id, call.attempt)
            if call.worker == self._worker_id and attempt is not None:
                run.running[call.id] = attempt
            else:
                # Without a row only the run's owner could have stored its end.
                reason = "crash" if call.worker in dead else "lost"
                lose_attempt(run, call, now_us, reason)

    # -- memory -----------------------------------------------------------------------

    def keep(self, run: OwnedRun) -> None:
        """Keep a run that was given up, to be claimed again without a replay."""
        self._kept[run.id] = (run.fence + 2, run)
        while len(self._kept) > conf.CACHED_RUNS:
            _, (_, oldest) = self._kept.popitem(last=False)
            oldest.close()

    def forget(self) -> None:
        """Drop all that was kept."""
        for _, run in self._kept.values():
            run.close()
        self._kept.clear()

    # -- steps ------------------------------------------------------------------------

    def claim_steps(
        self, queues: Sequence[str], limit: int, *, suspects: bool = False
    ) -> tuple[list[Attempt], StepClaim]:
        """Take attempts that are on offer; they may run at once.

        `suspects` takes those whose last attempt died with its process.
        """
        claim = step_claims.claim_steps(
            self._database,
            self._worker_id,
            queues,
            registry.known_steps(),
            limit,
            suspects=suspects,
        )
        return [self._attempt(step) for step in claim.steps], claim

    def _attempt(self, claimed: ClaimedStep) -> Attempt:
        step = registry.find_step_of_row(claimed.name)
        assert step is not None, "only known steps are claimed"
        return Attempt(
            step=step,
            settings=_options(step, claimed),
            run_id=claimed.run_id,
            step_id=claimed.id,
            number=claimed.attempt,
            args=claimed.args,
            workflow={
                "run_id": claimed.run_id,
                "workflow_name": claimed.workflow,
                "version": claimed.version,
                "started_at": to_datetime(claimed.run_started_us),
                "url": f"{conf.BASE_URL.rstrip('/')}/runs/{claimed.run_id}/",
                "attempt": claimed.run_attempt,
                "key": claimed.key,
                "queue": claimed.run_queue,
                "attributes": claimed.attributes,
            },
            worker_id=self._worker_id,
            queue=claimed.queue,
            priority=0,
            run_queue=claimed.run_queue,
            created_us=claimed.created_us,
            started_us=claimed.started_us,
            errors=claimed.errors,
            crashes=claimed.crashes,
            has_row=True,
            alone=claimed.suspect,
            heartbeat=claimed.heartbeat,
        )


def _options(step: Step[..., Any], claimed: ClaimedStep) -> StepOptions:
    """The options of the call; those of the step itself if its row is damaged."""
    try:
        return load_options(claimed.options)
    except (AttributeError, LookupError, RecursionError, TypeError, ValueError):
        logger.exception(
            "the options of step %s cannot be read: it runs with those of %s",
            claimed.id,
            claimed.name,
            extra={"action": "step_options_unreadable", "step": claimed.id},
        )
        return step.settings
