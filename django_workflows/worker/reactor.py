"""The reactor: owns many runs at once and advances them in rounds.

A round claims what is due, collects what has come, advances each run by one burst per
event, stores all of it in one transaction, and only then lets the started steps run.
Nobody waits for a round to fill: it takes what arrived during the last commit.
"""

from __future__ import annotations

import logging
import random
from collections import deque
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from queue import Empty, SimpleQueue
from typing import Any, Protocol

from django.db.backends.base.base import BaseDatabaseWrapper

from django_workflows.conf import conf
from django_workflows.replay.execution import BurstTimeout, RunBlocked
from django_workflows.replay.guard import watching
from django_workflows.store import announcements, history
from django_workflows.store.announcements import News
from django_workflows.store.attempts import cut_attempts, running_at
from django_workflows.store.control.expiring import end_expired
from django_workflows.store.rounds import free_run, mark_alone, owned_runs
from django_workflows.store.scheduling import serve_schedules
from django_workflows.worker import pausing, steps
from django_workflows.worker.agenda import LOOK_US, Agenda
from django_workflows.worker.attempt import (
    Attempt,
    Ended,
    Verdict,
    judge,
    report_ends,
)
from django_workflows.worker.bounds import time_out_calls
from django_workflows.worker.clock import Clock
from django_workflows.worker.commits import Committer
from django_workflows.worker.growth import warn_of_growth
from django_workflows.worker.loading import CLAIM_BATCH, Blocked, Loader
from django_workflows.worker.offers import Offers, Slots
from django_workflows.worker.owned import OwnedRun
from django_workflows.worker.parking import park
from django_workflows.worker.waiting import OFFER_US, WaitingCalls

logger = logging.getLogger("django_workflows.worker")

#: Runs owned at most.
CAPACITY = 2000
#: Suspects advanced in one look, each in a round of its own.
SUSPECTS = 10
#: Microseconds for which a run that is due again is kept rather than given up.
KEEP_US = 100_000
#: Microseconds until a run whose row somebody has locked is offered again.
BUSY_US = 20_000
#: Microseconds after which a running step gets its row, for people to see.
SHOW_US = 1_000_000


class Executor(Slots, Protocol):
    """What the reactor needs of an executor."""

    def cancel(self, step_id: str) -> None: ...
    def running(self, step_id: str, number: int) -> Attempt | None: ...


class Reactor:
    """Advances runs. One thread calls `round`; any thread calls `wake` and `report`."""

    def __init__(
        self,
        database: BaseDatabaseWrapper,
        worker_id: str,
        queues: Sequence[str],
        executor: Executor,
        clock: Clock,
        code: str,
    ) -> None:
        self.database = database
        self.worker_id = worker_id
        self.queues = tuple(queues)
        self.executor = executor
        self.clock = clock
        self.code = code
        self.owned: dict[str, OwnedRun] = {}
        #: Other threads put ends of attempts here, or None to wake the reactor.
        self.arrivals: SimpleQueue[Ended | None] = SimpleQueue()
        self._to_show: SimpleQueue[Attempt] = SimpleQueue()
        self.agenda = Agenda(clock)
        self.committer = Committer(database, worker_id)
        self.loader = Loader(database, worker_id, clock, executor.running)
        self._offers = Offers(self.loader, executor, self.agenda)
        #: Begun or ended bursts, for whoever watches that they come to an end.
        self.on_burst: Callable[[OwnedRun | None], None] = lambda run: None
        #: Held by others while an end is on its way from the executor to `arrivals`.
        self.handover: AbstractContextManager[Any] = nullcontext()
        self._ends: deque[Ended] = deque()
        self._changed: dict[str, OwnedRun] = {}
        self._waiting = WaitingCalls()
        self._random = random.Random()
        self._next_show_us = 0
        self._next_ending_us = 0
        self._next_schedule_us = 0
        self._next_check_us = 0
        self._met_suspects = False

    # -- from other threads -----------------------------------------------------------

    def wake(self) -> None:
        """Say that there may be something new in the database."""
        self.agenda.looks_due = True
        self.arrivals.put(None)

    def look_at_all(self) -> None:
        """Look for everything in the next round, however short ago the last look was.

        For time that stands still. Real time lets a look rest upon the last one.
        """
        self.agenda.looks_due = True
        self.agenda.next_steps_us = self._next_ending_us = self._next_schedule_us = 0

    def report(self, ended: Ended) -> None:
        """Hand in the end of an attempt."""
        self.arrivals.put(ended)

    def show(self, attempt: Attempt) -> None:
        """Write the row of an attempt soon: it has something to say to others."""
        self._to_show.put(attempt)
        self.arrivals.put(None)

    # -- rounds -----------------------------------------------------------------------

    def wait(self, timeout: float) -> list[Ended]:
        """Wait at most `timeout` seconds for something to arrive; take all there is."""
        found: list[Ended] = []
        try:
            arrival = (
                self.arrivals.get(timeout=timeout)
                if timeout > 0
                else self.arrivals.get_nowait()
            )
            while True:
                if arrival is not None:
                    found.append(arrival)
                arrival = self.arrivals.get_nowait()
        except Empty:
            return found

    def round(self, ended: Sequence[Ended], *, claim: bool = True) -> bool:
        """Do one round. Returns whether anything happened in it.

        Raises the driver's errors of everything but commits; `recover` then.
        """
        now_us = self.clock.now_us()
        self._ends.extend(ended)
        busy = bool(self._ends)
        self._collect_ends(now_us)
        if self.agenda.take_look(now_us):
            busy |= self._look(now_us, claim)
        self._collect_timers(now_us)
        self._show_long_steps(now_us)
        if not self._changed and not self._waiting:
            return busy
        self._advance(self.clock.now_us())
        return True

    def seconds_to_next(self, longest: float) -> float:
        """How long nothing will be due by itself, at most `longest` seconds."""
        if self._changed or self.agenda.looks_due:
            return 0.0
        if self._waiting:
            longest = min(longest, OFFER_US / 1_000_000)
        due_us = self.agenda.next_us(self.owned)
        if due_us is None:
            return longest
        left = (due_us - self.clock.now_us()) / 1_000_000
        return max(0.0, min(longest, left))

    @property
    def is_busy(self) -> bool:
        """Whether there is work that will go on in this process by itself."""
        if self._changed:
            return True
        return any(not run.is_idle for run in self.owned.values())

    # -- look -------------------------------------------------------------------------

    def _look(self, now_us: int, claim: bool) -> bool:
        """Claim what is due and read the inboxes of what is owned."""
        found = False
        if claim and now_us >= self._next_ending_us:
            found = self._end_expired(now_us)
        if claim and now_us >= self._next_schedule_us:
            found |= self._serve_schedules(now_us)
        if self.owned:
            inboxes = history.read_owned_inboxes(self.database, self.worker_id)
            for run_id, rows in inboxes.items():
                run = self.owned.get(run_id)
                if run is not None and self._take_in(run, rows) and run.pending:
                    self._changed[run.id] = run
                    found = True
        if not claim:
            return found
        claimed = self._claim_runs()
        if not claimed or self._met_suspects or now_us >= self.agenda.next_steps_us:
            self.agenda.next_steps_us = now_us + LOOK_US
            claimed |= self._claim_suspects()
            is_full = bool(self._waiting)
            claimed |= self._offers.take(self.queues, is_full=is_full)
        return found or claimed

    def _end_expired(self, now_us: int) -> bool:
        """End runs whose time is over, and let go of those ended by anybody.

        Nobody tells a worker that its run was ended: here it finds out while it waits
        for a step, and cancels that.
        """
        self._next_ending_us = now_us + LOOK_US
        expired = end_expired(self.database)
        if expired.next_us is not None and expired.next_us < now_us + LOOK_US:
            self._next_ending_us = expired.next_us
            self.agenda.look_at(expired.next_us)
        lost = {run_id for run_id in expired.ids if run_id in self.owned}
        if self.owned and now_us >= self._next_check_us:
            self._next_check_us = now_us + SHOW_US
            fences = dict(owned_runs(self.database, self.worker_id))
            lost |= {
                run.id
                for run in self.owned.values()
                if not run.is_frozen and fences.get(run.id) != run.fence
            }
        for run in [self.owned[run_id] for run_id in sorted(lost)]:
            for step_id in run.running:
                self.executor.cancel(step_id)
            self._forget(run)
        return bool(expired.ids)

    def _serve_schedules(self, now_us: int) -> bool:
        """Start what schedules say is due."""
        self._next_schedule_us = now_us + LOOK_US
        served = serve_schedules(self.database)
        if served.next_us is not None and served.next_us < now_us + LOOK_US:
            self._next_schedule_us = served.next_us
            self.agenda.look_at(served.next_us)
        return served.count > 0

    def _claim_runs(self) -> bool:
        limit = min(CLAIM_BATCH, CAPACITY - len(self.owned))
        claimed = self.loader.claim_runs(self.queues, limit)
        if claimed:
            runs, blocked = self.loader.load(claimed)
            self._own(runs, blocked)
            if len(claimed) == limit:
                self.agenda.looks_due = True
        return bool(claimed)

    def _claim_suspects(self) -> bool:
        """Advance suspects, each in a round of its own: nothing else is at stake."""
        self._met_suspects = False
        for _ in range(SUSPECTS):
            claimed = self.loader.claim_runs(self.queues, 1, suspects=True)
            if not claimed:
                return self._met_suspects
            self._met_suspects = self.agenda.looks_due = True
            others, self._changed = self._changed, {}
            try:
                with self._waiting.apart():
                    runs, blocked = self.loader.load(claimed)
                    self._own(runs, blocked)
                    self._advance(self.clock.now_us())
            finally:
                self._changed = others | self._changed
        return True

    def _own(self, runs: Sequence[OwnedRun], blocked: Sequence[Blocked]) -> None:
        for run, error in blocked:
            self._block(run, error)
        for run in runs:
            self.owned[run.id] = self._changed[run.id] = run

    # -- collect ----------------------------------------------------------------------

    def _collect_ends(self, now_us: int) -> None:
        """Take in how attempts have ended; each stays queued until that is done."""
        recorded = self._report_ends(now_us)
        while self._ends:
            end = self._ends[0]
            attempt = end.attempt
            run = self.owned.get(attempt.run_id)
            if run is not None and run.is_frozen and not attempt.has_row:
                run.held.append(end)
                self._ends.popleft()
                continue
            if end.is_recorded:
                recorded.add(attempt.run_id)
            if attempt.settings.is_limited:
                # Somebody may be waiting for it to end.
                self.agenda.look_for_steps()
            if run is not None:
                if run.running.get(attempt.step_id) is attempt:
                    is_judged = end.is_recorded or end.is_void or attempt.has_row
                    # Since a retry of the run the step may be one of an epoch before.
                    if not is_judged and attempt.step_id in run.execution.steps:
                        verdict = self._judge(end, now_us)
                        steps.end_attempt(run, attempt, verdict, now_us)
                    del run.running[attempt.step_id]
                self._changed[run.id] = run
            self._ends.popleft()
        mine = sorted(run_id for run_id in recorded if run_id in self.owned)
        if mine:
            inboxes = history.read_inboxes(self.database, mine)
            for run_id, rows in inboxes.items():
                self._take_in(self.owned[run_id], rows)

    def _report_ends(self, now_us: int) -> set[str]:
        """Store the ends of all attempts that have rows; returns whose they are."""
        told = [
            end
            for end in self._ends
            if end.attempt.has_row and not (end.is_recorded or end.is_void)
        ]
        if told:
            verdicts = [(end.attempt, self._judge(end, now_us)) for end in told]
            report_ends(self.database, verdicts, now_us)
        return {end.attempt.run_id for end in told}

    def _judge(self, end: Ended, now_us: int) -> Verdict:
        return judge(end, now_us, conf.MAX_STEP_CRASHES, self._random)

    def _take_in(self, run: OwnedRun, rows: Sequence[Sequence[Any]]) -> bool:
        """Take in inbox rows. False if this process cannot read one of them."""
        try:
            run.take_in(rows)
        except Exception as error:
            self._block(run, error)
            return False
        return True

    def _collect_timers(self, now_us: int) -> None:
        for run_id in self.agenda.due_runs(now_us):
            run = self.owned.get(run_id)
            if run is not None:
                run.timer_us = 0
                self._changed[run_id] = run

    # -- advance and commit -----------------------------------------------------------

    def _advance(self, now_us: int) -> None:
        """Burst, store, dispatch: for all runs that something has happened to."""
        changed, self._changed = self._changed, {}
        for run in changed.values():
            if run.bounds.calls and run.id in self.owned and not run.is_frozen:
                self._time_out_calls(run, now_us)
        runs = [run for run in changed.values() if run.id in self.owned]
        for run in [run for run in runs if run.is_suspect and not run.is_frozen]:
            runs.remove(run)
            self._advance_alone(run, now_us)
        with watching:
            for run in runs:
                if not run.is_frozen and self._advance_one(run, now_us):
                    self._waiting.plan(run, now_us, self.queues)
        runs += self._waiting.begin(now_us, self.owned, self.executor.room)
        touched = {run.id: run for run in runs}.values()
        for run in touched:
            if not run.is_frozen:
                self._plan_release(run, now_us)
        writing = [
            run for run in touched if run.write is not None and run.id in self.owned
        ]
        if writing:
            self._commit(writing)

    def _time_out_calls(self, run: OwnedRun, now_us: int) -> None:
        if now_us >= run.over_us:
            return
        ended, has_news = time_out_calls(self.database, run, now_us)
        if has_news:
            inboxes = history.read_inboxes(self.database, [run.id])
            self._take_in(run, inboxes.get(run.id, []))
        for step_id in ended:
            self.executor.cancel(step_id)

    def _advance_alone(self, run: OwnedRun, now_us: int) -> None:
        """Advance a suspect in a round of its own, after a mark that says so.

        Should its code kill this process, the mark tells whose it was. It is trusted
        again once an event has been delivered to it and that is stored.
        """
        if not run.is_marked and not mark_alone(
            self.database, self.worker_id, run.id, run.fence
        ):
            self._forget(run)
            return
        run.is_marked = True
        with watching:
            if not self._advance_one(run, now_us):
                return
        self._waiting.plan(run, now_us, self.queues)
        self._plan_release(run, now_us)
        run.to_write()
        self._commit([run])

    def _advance_one(self, run: OwnedRun, now_us: int) -> bool:
        error: BaseException
        try:
            try:
                self.on_burst(run)
                run.advance(now_us)
            finally:
                self.on_burst(None)
            return True
        except RunBlocked as blocked:
            error = blocked.error
        except BurstTimeout as timeout:
            # It came when the code was through already, or before that was noted.
            self.on_burst(None)
            error = run.execution.blocked or timeout
        self._block(run, error)
        return False

    def _plan_release(self, run: OwnedRun, now_us: int) -> None:
        """Give a run up with the commit that leaves it waiting."""
        if run.execution.is_paused and not run.ended:
            pausing.stand_still(run, now_us)
            return
        if run.ended or not run.is_idle:
            return
        due_us = run.next_due_us()
        if due_us is not None and due_us - now_us < KEEP_US:
            self.agenda.set_timer(run)
            return
        run.release_at(due_us)

    def _commit(self, runs: list[OwnedRun]) -> None:
        """Store what the runs have done, then let their attempts run."""
        outcome = self.committer.commit([run.write for run in runs if run.write])
        started: list[Attempt] = []
        news: list[News] = []
        is_heard = announcements.is_heard()
        for run in runs:
            if run.id in outcome.stored:
                if is_heard and run.write is not None:
                    news += announcements.news_of_round(run.workflow.name, run.write)
                started += self._stored(run)
            elif run.id in outcome.poisoned and not run.is_failing:
                run.fail(outcome.poisoned[run.id], self.clock.now_us())
                self._changed[run.id] = run
            elif run.id in outcome.busy:
                # Nothing more happens to it until this much of it is stored.
                run.is_frozen = True
                again_us = self.clock.now_us() + BUSY_US
                self.agenda.come_back(run, again_us)
            else:
                self._forget(run)
        if started:
            self.executor.submit(started)
        if news:
            announcements.send(news)

    def _stored(self, run: OwnedRun) -> list[Attempt]:
        """The round is stored for this run. Returns the attempts that may run now."""
        write, run.write = run.write, None
        assert write is not None, "only runs with something to store are stored"
        if run.stored_seq < conf.HISTORY_WARNING <= write.last_seq:
            warn_of_growth(run.id, run.workflow.name, write.last_seq)
        run.stored(write)
        if run.held:
            self._ends.extend(run.held)
            run.held.clear()
            self.arrivals.put(None)
        for step_id in write.cancelled_steps:
            run.running.pop(step_id, None)
            if step_id not in run.left_running:
                self.executor.cancel(step_id)
        for row in write.steps:
            self.agenda.look_at(row.due_us)
            if row.status == "running" and row.id in run.running:
                run.running[row.id].has_row = True
        if write.family is not None:
            self.agenda.looks_due = True
        started, run.starting = run.starting, []
        if run.ended:
            if self._offers.has_queued_runs:
                # Perhaps for this one to end.
                self.agenda.look_for_steps()
            del self.owned[run.id]
            if run.status == "cancelled":
                for step_id in run.running:
                    self.executor.cancel(step_id)
            run.close()
            self.agenda.looks_due |= write.successor is not None
        elif write.release:
            del self.owned[run.id]
            self.loader.keep(run)
            self.agenda.look_at(write.wake_us)
        elif run.claims:
            self._changed[run.id] = run
        else:
            self.agenda.set_timer(run)
        return [attempt for attempt in started if attempt.step_id in run.running]

    # -- long steps and letting go ----------------------------------------------------

    def _show_long_steps(self, now_us: int) -> None:
        """Steps that take long get their row, so that people see them running; those
        that have something to say get it at once."""
        while not self._to_show.empty():
            attempt = self._to_show.get()
            run = self.owned.get(attempt.run_id)
            if run is not None and steps.promote(run, attempt):
                self._changed[run.id] = run
        if now_us < self._next_show_us:
            return
        self._next_show_us = now_us + SHOW_US
        for run in self.owned.values():
            if not run.is_frozen and steps.promote_since(run, now_us - SHOW_US):
                self._changed[run.id] = run

    def let_go(self) -> bool:
        """Give all runs up; attempts in flight go on, decided by their rows.

        False if some have to be kept for now, because somebody has locked their rows.
        """
        now_us = self.clock.now_us()
        for run in list(self.owned.values()):
            if run.is_frozen:
                self._commit([run])
                continue
            while run.claims and self._settle_claims(run, now_us):
                pass
        runs = [run for run in self.owned.values() if not run.is_frozen]
        for run in runs:
            steps.promote_since(run, now_us)
            run.release_at(run.next_due_us() if run.is_idle else now_us)
        if runs:
            self._commit(runs)
        if not self.owned:
            self._changed.clear()
            self._waiting.clear()
        return not self.owned

    def _settle_claims(self, run: OwnedRun, now_us: int) -> bool:
        """Deliver the outcome of stored claims. False if that is all for now."""
        with watching:
            advanced = self._advance_one(run, now_us)
        if advanced and run.write is not None:
            self._commit([run])
        return run.id in self.owned and not run.is_frozen

    def take_ends(self) -> list[Ended]:
        """All ends of attempts that this reactor has not dealt with."""
        ends = [*self.wait(0), *self._ends]
        self._ends.clear()
        for run in self.owned.values():
            ends += run.held
            run.held.clear()
        return ends

    def recover(self) -> None:
        """After a round broke off because of the database: lose nothing of it.

        Runs and steps that were claimed and did not get into memory are given up
        again, and every run with something to do is looked at in the next round.
        """
        self.database.close()
        for run_id, fence in owned_runs(self.database, self.worker_id):
            run = self.owned.get(run_id)
            if run is None or run.fence != fence:
                free_run(self.database, self.worker_id, run_id, fence)
        self._recover_attempts()
        for run in self.owned.values():
            self._changed[run.id] = run
        self.agenda.looks_due = True

    def _recover_attempts(self) -> None:
        """Compare the attempts that run here by the database's account with memory.

        Their rows may be stored although the answer was lost: then this worker does not
        know that they have one, or of a claimed attempt nothing at all.
        """
        stored = running_at(self.database, self.worker_id)
        with self.handover:
            self._ends.extend(self.wait(0))
            ends = [*self._ends]
            for run in self.owned.values():
                ends += run.held
            known = {(e.attempt.step_id, e.attempt.number): e.attempt for e in ends}
            for key in stored:
                attempt = self.executor.running(*key)
                if attempt is not None:
                    known[key] = attempt
        for key in stored:
            if key in known:
                known[key].has_row = True
        lost = [key for key in stored if key not in known]
        if lost:
            cut_attempts(self.database, lost, "lost")

    def forget_all(self) -> None:
        """This worker was taken for dead: nothing in its memory counts any more."""
        for run in self.owned.values():
            run.close()
        self.owned.clear()
        self.loader.forget()
        self._changed.clear()
        self._waiting.clear()

    # -- trouble ----------------------------------------------------------------------

    def _forget(self, run: OwnedRun) -> None:
        """The run is lost: what was done here since the last commit is void."""
        self.owned.pop(run.id, None)
        for attempt in run.running.values():
            if not attempt.has_row:
                # Only who owns the run could store its end.
                self.executor.cancel(attempt.step_id)
        run.close()
        free_run(self.database, self.worker_id, run.id, run.fence)
        logger.info(
            "run %s is not this worker's any more",
            run.id,
            extra={"action": "run_lost", "run_id": run.id},
        )

    def _block(self, run: OwnedRun, error: BaseException) -> None:
        """Park a run that cannot go on with today's code."""
        self.owned.pop(run.id, None)
        self._changed.pop(run.id, None)
        park(self.database, run, error, self.code, self.clock.now_us())
