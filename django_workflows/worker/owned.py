"""A run that this worker owns: its execution, and what has to be stored for it."""

from __future__ import annotations

import sys
from collections import deque
from collections.abc import Sequence
from typing import Any

from django_workflows.conf import conf
from django_workflows.core import failures
from django_workflows.replay import events as log
from django_workflows.replay.children import is_claim
from django_workflows.replay.definitions import Workflow
from django_workflows.replay.events import LogEvent
from django_workflows.replay.execution import Execution
from django_workflows.replay.operations import StepCall
from django_workflows.signals import step_finished
from django_workflows.store.history import to_log_event
from django_workflows.store.replays import run_info
from django_workflows.store.rounds import RunWrite
from django_workflows.store.run_claims import ClaimedRun
from django_workflows.worker import pausing, relatives
from django_workflows.worker.attempt import Attempt, Ended
from django_workflows.worker.bounds import Bounds
from django_workflows.worker.growth import outgrown
from django_workflows.worker.succession import succeed

_STATUS = {
    log.RUN_COMPLETED: "completed",
    log.RUN_FAILED: "failed",
    log.RUN_CANCELLED: "cancelled",
    log.RUN_CONTINUED: "continued_as_new",
}


class OwnedRun:
    """A run in memory, advanced by one burst for each event delivered to it."""

    def __init__(
        self, claimed: ClaimedRun, workflow: Workflow[..., Any], worker_id: str
    ) -> None:
        self.id = claimed.id
        self.claimed = claimed
        self.workflow = workflow
        self.worker_id = worker_id
        self.queue = claimed.queue
        self.priority = claimed.priority
        self.fence = claimed.fence
        self.status = claimed.status
        self.last_seq = 0
        self.stored_seq = claimed.last_seq
        self.started_us = claimed.started_us
        #: From then on no code of it runs here any more, whatever its log says: since
        #: its deadline, or at once when it was told to end.
        self.over_us = claimed.deadline_us or sys.maxsize
        self.blocked_times = claimed.blocked_times
        self.execution = Execution(workflow, run_info(claimed))
        #: Events to deliver, oldest first; those with a row came from the inbox.
        self.pending: deque[LogEvent] = deque()
        #: Inbox rows taken in so far, which a second look must not take again.
        self.taken: set[int] = set()
        #: Among them may be a request that ends a run which has not begun.
        self.may_end = False
        #: Steps whose next attempt is to be started here.
        self.ready: list[StepCall] = []
        #: Attempts in flight in this process, by step.
        self.running: dict[str, Attempt] = {}
        #: Attempts begun in this round, which may run once it is stored.
        self.starting: list[Attempt] = []
        #: Claims on hook tokens whose outcome comes with the commit.
        self.claims: list[LogEvent] = []
        #: What the current round has to store, or a round before could not.
        self.write: RunWrite | None = None
        self.ended = False
        #: Its row was locked by somebody: nothing changes until `write` is stored.
        self.is_frozen = False
        #: Its owner died: it is advanced apart from all others, after a mark.
        self.is_suspect = self.is_marked = claimed.suspicion > 0
        #: Ends of attempts that came while it was frozen.
        self.held: list[Ended] = []
        #: The database refused one of its values: `write` says that it has failed.
        self.is_failing = False
        #: Calls that wait for a free slot.
        self.queued: set[str] = set()
        self.bounds = Bounds()
        #: Steps that the run's own end found running: they run on to no effect.
        self.left_running: set[str] = set()
        #: For when the reactor has been told to look at this run again.
        self.timer_us = 0
        #: The time of its last event, which no later one precedes.
        self.last_us = 0
        #: When its last limited step was offered: the next one is behind it in line.
        self.last_offer_us = 0

    # -- loading ----------------------------------------------------------------------

    def load(self, rows: Sequence[Sequence[Any]]) -> None:
        """Replay the log and take in the inbox. Raises RunBlocked."""
        attributes = self.execution.info.attributes
        history = [to_log_event(row) for row in rows if row[1] is not None]
        self.take_in([row for row in rows if row[1] is None])
        self.last_seq = history[-1].seq or 0
        self.last_us = history[-1].time
        commands = self.execution.replay(history)
        if self.execution.started_us and attributes != self.execution.info.attributes:
            # Some were set in a part of the log that is void by now.
            self.to_write().attributes = self.execution.info.attributes
        for call in self.execution.steps.values():
            if call.step.settings.has_schedule_timeout:
                self.bounds.add(call)
        if history[-1].seq == 1:
            return
        if commands:
            self._store(commands)

    def resume(self, claimed: ClaimedRun) -> None:
        """Go on from memory, having been claimed again."""
        self.claimed = claimed
        self.fence = claimed.fence
        self.status = claimed.status
        self.timer_us = 0
        self.queued.clear()
        self.write = None

    def take_in(self, rows: Sequence[Sequence[Any]]) -> None:
        """Queue inbox rows that have not been taken in before.

        Raises what decoding raises, if this process cannot read one of them.
        """
        for row in rows:
            if row[2] == log.RUN_TERMINATED:
                self.over_us = 0
            elif row[7] not in self.taken:
                self.pending.append(to_log_event(row))
                self.taken.add(row[7])
                self.may_end |= row[2] == log.CANCEL_REQUESTED

    # -- advancing --------------------------------------------------------------------

    def advance(self, now_us: int) -> None:
        """Deliver everything that has come, and what is due. Raises RunBlocked.

        A run whose time is over is left as it is, for a look to end it.
        """
        if now_us >= self.over_us:
            return
        if self.may_end and not self.ended and relatives.end_on_request(self, now_us):
            return
        execution = self.execution
        if self.claims:
            claims, self.claims = self.claims, []
            for claim in claims:
                self._store(execution.deliver(claim))
        if execution.started_us == 0 and not self.ended:
            if not pausing.may_begin(self, now_us):
                return
            self._begin(now_us)
        elif execution.is_paused and not pausing.may_go_on(self, now_us):
            return
        while self.pending and not self.ended and not self.claims:
            event = self.pending.popleft()
            if event.type not in log.PAUSING:
                self.deliver(event, now_us)
            elif pausing.obey(self, event, now_us):
                return
        while execution.timers.open and not self.ended and not self.claims:
            timer = execution.timers.first()
            if timer is None or timer.due_us > now_us:
                break
            event = LogEvent(log.WAIT_COMPLETED, timer.id)
            self.deliver(event, max(now_us, timer.due_us))
        if self.last_seq >= conf.HISTORY_LIMIT and not self.ended:
            error = outgrown(self.id, self.last_seq)
            self._store([self._failure(error, now_us)])

    def _begin(self, now_us: int) -> None:
        info = self.execution.info
        detail: dict[str, Any] = {"base_url": info.base_url}
        if info.attributes:
            detail["attributes"] = info.attributes
        event = LogEvent(log.RUN_STARTED, detail=detail)
        self.status = self.to_write().status = "running"
        self.started_us = max(now_us, self.last_us)
        self.to_write().started_us = self.started_us
        self.deliver(event, now_us)

    def deliver(self, event: LogEvent, now_us: int) -> None:
        """Number an event and let the run's code, or its books, know of it."""
        event.time = self.last_us = max(now_us, self.last_us)
        self.append(event)
        if event.type in log.INPUTS:
            self.to_write().trusted = True
            if step_finished.receivers:
                self._note_step_end(event)
            self._store(self.execution.deliver(event))
        else:
            self.execution.note(event)

    def _note_step_end(self, event: LogEvent) -> None:
        """Keep for those who listen what is not known of a step any more later."""
        call = self.execution.steps.get(event.correlation_id)
        if call is None:
            return
        ended = {
            "status": event.type.removeprefix("step_"),
            "step_id": call.id,
            "step_name": call.step.name,
            "attempt": call.attempt,
        }
        self.to_write().ended_steps.append(ended)

    def append(self, event: LogEvent) -> None:
        """Number an event and put it into what is to be stored."""
        self.last_seq += 1
        event.seq = self.last_seq
        write = self.write or self.to_write()
        write.events.append(event)
        write.last_seq = self.last_seq

    def _store(self, commands: Sequence[LogEvent]) -> None:
        execution = self.execution
        for command in commands:
            kind = command.type
            if kind in (log.RUN_FAILED, log.RUN_CANCELLED):
                self._number_late_results()
            self.append(command)
            if kind == log.STEP_CREATED:
                call = execution.steps.get(command.correlation_id)
                if call is not None:
                    self.ready.append(call)
                    if call.step.settings.has_schedule_timeout:
                        self.bounds.add(call)
            elif kind == log.STEP_CANCELLED:
                self.to_write().cancelled_steps.append(command.correlation_id)
            elif kind == log.HOOK_CREATED:
                self.to_write().claims.append(command)
                self.claims.append(command)
            elif kind == log.ATTRIBUTES_SET:
                self.to_write().attributes = execution.info.attributes
            elif kind == log.HOOK_DISPOSED:
                self.to_write().disposed.append(command.correlation_id)
            elif kind in (log.CHILD_CREATED, log.CHILD_CANCEL_REQUESTED):
                relatives.note_command(self, command)
                if is_claim(command):
                    self.claims.append(command)
            elif kind in _STATUS:
                if kind == log.RUN_CONTINUED:
                    self.to_write().successor = succeed(self.execution, command)
                self.end(kind, command.time)

    def _number_late_results(self) -> None:
        """Results that came together with the run's end, for a retry to go on from."""
        results = (log.STEP_COMPLETED, log.CHILD_COMPLETED)
        for event in [e for e in self.pending if e.type in results]:
            self.pending.remove(event)
            event.detail = {**event.detail, "late": True}
            event.time = self.last_us
            self.append(event)

    def end(self, kind: str, time_us: int) -> None:
        """The event just appended ends the run."""
        self.ended = True
        self.status = _STATUS[kind]
        self.ready.clear()
        write = self.to_write()
        write.status = self.status
        write.finished_us = time_us
        write.has_hooks = bool(self.execution.hooks)
        with_row = [c.id for c in self.execution.steps.values() if c.has_row]
        write.cancelled_steps += with_row
        if kind != log.RUN_CANCELLED:
            self.left_running.update(with_row)
        write.claims = [claim for claim in write.claims if claim not in self.claims]
        self.claims = []
        relatives.note_end(self)

    def to_write(self) -> RunWrite:
        if self.write is None:
            self.write = RunWrite(self.id, self.fence, self.status, self.last_seq)
        return self.write

    def stored(self, write: RunWrite) -> None:
        """The round that has written this is stored."""
        self.is_frozen = self.is_marked = False
        self.is_suspect = self.is_suspect and not write.trusted
        self.last_seq = self.stored_seq = write.last_seq
        if self.pending:
            # A payload that came too late for its hook is in the log by now.
            numbered = {e.row_id for e in write.events if e.row_id is not None}
            self.pending = deque(e for e in self.pending if e.row_id not in numbered)

    # -- giving up --------------------------------------------------------------------

    def release_at(self, due_us: int | None) -> None:
        """Give the run up with the next commit; it is due by itself at that time."""
        write = self.to_write()
        write.release = True
        write.wake_us = None if self.execution.is_paused else due_us
        is_served = self.execution.steps or self.execution.children.open
        write.is_waiting = (
            self.is_idle and not is_served and not self.execution.is_paused
        )

    def fail(self, error: Exception, now_us: int) -> None:
        """The database refuses a value of this run: it fails, alone and clearly."""
        end = self._failure(error, now_us)
        end.seq = self.stored_seq + 1
        self.write = RunWrite(self.id, self.fence, "failed", end.seq or 0, [end])
        self.write.finished_us = end.time
        self.write.has_hooks = True
        relatives.note_end(self)
        self.write.cancelled_steps = [
            call.id for call in self.execution.steps.values() if call.has_row
        ]
        self.starting.clear()
        self.ready.clear()
        self.claims.clear()
        self.ended = self.is_failing = self.is_frozen = True

    def _failure(self, error: Exception, now_us: int) -> LogEvent:
        """An end that the run's code has nothing to do with."""
        return LogEvent(
            log.RUN_FAILED,
            time=max(now_us, self.last_us),
            detail={"by": "engine"},
            payload=failures.capture(error),
        )

    # -- what is next -----------------------------------------------------------------

    def next_due_us(self) -> int | None:
        """When the run goes on by itself, or None if only something from outside
        can make it go on."""
        timer = self.execution.timers.first()
        dues = [] if timer is None else [timer.due_us]
        dues += [call.retry_us for call in self.retrying()]
        if self.bounds.calls:
            dues += [due for due, _, _ in self.bounds.dues(self.execution.steps)]
        return min(dues, default=None)

    def retrying(self) -> list[StepCall]:
        """Steps that wait for their next attempt, to be started here."""
        return [
            call
            for call in self.execution.steps.values()
            if call.attempt and not call.worker and not call.has_row
        ]

    @property
    def is_idle(self) -> bool:
        """Nothing in this process will make the run go on."""
        return not (
            self.pending
            or self.ready
            or self.running
            or self.claims
            or self.ended
            or self.is_frozen
        )

    def close(self) -> None:
        self.execution.close()
