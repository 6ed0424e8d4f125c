"""Drives a workflow function with lists alone: no database, no clock, no threads.

It keeps the log as a worker does: an event, then the commands it caused, one burst per
event; the outcomes of claims (hooks, keys of children) in bursts of their own directly
afterwards.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterable, Sequence
from typing import Any

from django_workflows.core import failures, serialization
from django_workflows.errors import DuplicateRunError
from django_workflows.replay import events as log
from django_workflows.replay.children import ChildHandle, is_claim
from django_workflows.replay.cuts import plan_retry
from django_workflows.replay.definitions import Workflow
from django_workflows.replay.epochs import effective
from django_workflows.replay.events import LogEvent
from django_workflows.replay.execution import Execution, RunInfo
from django_workflows.replay.forks import cut_before, fork_log
from django_workflows.replay.operations import StepCall

START_US = 1_700_000_000_000_000
SECOND = 1_000_000

Trace = list[tuple[str, str, str]]

#: Those that may still be open.
executions: list[Execution] = []


def close_all() -> None:
    """Close every execution made so far: none is left to the collector."""
    while executions:
        executions.pop().close()


class Driver:
    """One run: its log, and the execution that may be dropped and made again.

    ``tokens`` are hook tokens held by other runs, by run id; ``keys`` are keys of
    children that other runs have started. ``carried`` are hooks that a predecessor has
    handed on, and their tokens.
    """

    def __init__(
        self,
        workflow: Workflow[..., Any],
        *args: Any,
        tokens: dict[str, str] | None = None,
        keys: dict[str, str] | None = None,
        carried: dict[str, str] | None = None,
        seed: bytes = b"seed",
        **kwargs: Any,
    ) -> None:
        self.run_id = "wrun_test"
        self.forks = 0
        self.workflow = workflow
        self.tokens = dict(tokens or {})
        self.keys = dict(keys or {})
        self.seed = seed
        self.log: list[LogEvent] = []
        self.now_us = START_US
        self._claims: list[LogEvent] = []
        self._deliveries = 0
        self.execution = self._fresh()
        self._append(
            LogEvent(
                log.RUN_CREATED,
                time=self.now_us,
                payload=serialization.dumps_call(args, kwargs),
            )
        )
        for hook_id, token in (carried or {}).items():
            self._append(
                LogEvent(
                    log.HOOK_CARRIED, hook_id, time=self.now_us, detail={"token": token}
                )
            )
        for event in self.log:
            self.execution.note(event)

    # -- the run in memory ------------------------------------------------------------

    def _fresh(self, workflow: Workflow[..., Any] | None = None) -> Execution:
        info = RunInfo(
            run_id=self.run_id,
            workflow_name=self.workflow.name,
            seed=self.seed,
            base_url="http://test",
        )
        execution = Execution(workflow or self.workflow, info)
        executions.append(execution)
        return execution

    def begin(self) -> Driver:
        self.deliver(LogEvent(log.RUN_STARTED, detail={"base_url": "http://test"}))
        return self

    def drop(self) -> None:
        """Forget the run and make it again from its log."""
        self.execution.close()
        self.execution = self._fresh()
        commands = self.execution.replay([stored(event) for event in self.log])
        self._store(commands)
        self._settle()

    def replay(
        self, upto: int | None = None, workflow: Workflow[..., Any] | None = None
    ) -> tuple[Execution, list[LogEvent]]:
        """A second execution of (the beginning of) this log, and its new commands.

        With another workflow, as a deploy would put it in this one's place.
        """
        execution = self._fresh(workflow)
        history = [stored(event) for event in self.log[:upto]]
        return execution, execution.replay(history)

    def close(self) -> None:
        self.execution.close()

    # -- delivering -------------------------------------------------------------------

    def deliver(self, event: LogEvent) -> None:
        """Number an event, deliver it and keep the commands it causes."""
        assert not self.ended, "the run has ended"
        event.time = self.now_us
        self._append(event)
        if event.type in log.INPUTS:
            self._store(self.execution.deliver(event))
            self._settle()
        else:
            self.execution.note(event)

    def _append(self, event: LogEvent) -> None:
        event.seq = len(self.log) + 1
        self.log.append(event)

    def _store(self, commands: Iterable[LogEvent]) -> None:
        for command in commands:
            self._append(command)
            if command.type == log.HOOK_CREATED or is_claim(command):
                self._claims.append(command)

    def _settle(self) -> None:
        """The commit decides about the claims of a burst; then each is delivered."""
        while self._claims and not self.ended:
            claims, self._claims = self._claims, []
            lost = [c for c in claims if is_claim(c) and not self._take_key(c)]
            hooks = [claim for claim in claims if not is_claim(claim)]
            for claim in sorted(hooks, key=lambda c: c.detail["token"]):
                disposed = any(
                    e.type == log.HOOK_DISPOSED
                    and e.correlation_id == claim.correlation_id
                    for e in self.log
                )
                held_by = self._holder(claim)
                if held_by is not None and not disposed:
                    claim.type = log.HOOK_CONFLICT
                    claim.detail = {**claim.detail, "held_by": held_by}
            for claim in claims:
                self._store(self.execution.deliver(claim))
            for claim in lost:
                self._refuse_key(claim)
        self._claims = []

    def _take_key(self, claim: LogEvent) -> bool:
        """Start a child under its key; False if another run has started that one."""
        key = claim.detail["key"]
        if key in self.keys:
            claim.detail = {**claim.detail, "held_by": self.keys[key]}
            return False
        for event in self.log:
            if event is claim:
                break
            if is_claim(event) and event.detail["key"] == key:
                claim.detail = {
                    **claim.detail,
                    "held_by": event.detail["run_id"],
                    "follows": event.correlation_id,
                }
                break
        return True

    def _refuse_key(self, claim: LogEvent) -> None:
        error = DuplicateRunError("the key is held", run_id=claim.detail["held_by"])
        self.deliver(
            LogEvent(
                log.CHILD_FAILED, claim.correlation_id, payload=failures.capture(error)
            )
        )

    def _holder(self, claim: LogEvent) -> str | None:
        token = claim.detail["token"]
        if token in self.tokens:
            return self.tokens[token]
        history = effective(self.log)
        over = {e.correlation_id for e in history if e.type == log.HOOK_DISPOSED}
        for event in history:
            if event is claim:
                return None
            if (
                event.type == log.HOOK_CREATED
                and event.detail["token"] == token
                and event.correlation_id not in over
            ):
                return "wrun_test"
        return None

    # -- what comes from outside ------------------------------------------------------

    @property
    def steps(self) -> list[StepCall]:
        return list(self.execution.steps.values())

    def step(self, name: str, *args: Any) -> StepCall:
        """The open call of the step whose name ends so, with these arguments."""
        for call in self.steps:
            if call.step.name.endswith(name) and (
                not args or serialization.loads_call(call.args)[0] == args
            ):
                return call
        raise AssertionError(f"no open {name}{args} among {self.steps}")

    def complete(self, call: StepCall, value: Any = None) -> None:
        self.deliver(
            LogEvent(
                log.STEP_COMPLETED,
                call.id,
                payload=serialization.dumps(value),
                detail={"attempt": 1},
            )
        )

    def fail(self, call: StepCall, error: BaseException) -> None:
        self.deliver(
            LogEvent(
                log.STEP_FAILED,
                call.id,
                payload=failures.capture(error),
                detail={"attempt": 1},
            )
        )

    def run_step(self, call: StepCall) -> None:
        """Run the step's function here and deliver what it did."""
        args, kwargs = serialization.loads_call(call.args)
        try:
            value = call.step.func(*args, **kwargs)
        except Exception as error:
            self.fail(call, error)
        else:
            self.complete(call, value)

    def fire(self) -> None:
        """Let the time come for the timer that is due first."""
        timer = self.execution.timers.first()
        assert timer is not None, "no open timer"
        self.now_us = max(self.now_us, timer.due_us)
        self.deliver(LogEvent(log.WAIT_COMPLETED, timer.id))

    def pass_time(self, seconds: float) -> None:
        """Let time pass, firing what becomes due."""
        until = self.now_us + round(seconds * SECOND)
        while not self.ended:
            timer = self.execution.timers.first()
            if timer is None or timer.due_us > until:
                break
            self.fire()
        self.now_us = max(self.now_us, until)

    def send(self, token: str, payload: Any) -> None:
        """Resume the hook that holds a token."""
        for hook in self.execution.hooks.values():
            if hook.token == token:
                self.deliver(
                    LogEvent(
                        log.HOOK_RECEIVED,
                        hook.id,
                        payload=serialization.dumps(payload),
                    )
                )
                return
        raise AssertionError(f"no hook holds {token!r}")

    @property
    def children(self) -> list[ChildHandle]:
        """The children that have not ended, without those that follow another call."""
        return [c for c in self.execution.children.open.values() if not c.follows]

    def complete_child(self, handle: ChildHandle, value: Any = None) -> None:
        payload = serialization.dumps(value)
        self.deliver(LogEvent(log.CHILD_COMPLETED, handle.id, payload=payload))

    def fail_child(self, handle: ChildHandle, error: BaseException) -> None:
        detail = {"status": "failed"}
        payload = failures.capture(error)
        self.deliver(
            LogEvent(log.CHILD_FAILED, handle.id, detail=detail, payload=payload)
        )

    def end_child(self, handle: ChildHandle, status: str) -> None:
        """The child was cancelled, terminated or has timed out."""
        kind = log.CHILD_CANCELLED if status == "cancelled" else log.CHILD_FAILED
        self.deliver(LogEvent(kind, handle.id, detail={"status": status}))

    def cancel(self, reason: str = "") -> None:
        self.deliver(LogEvent(log.CANCEL_REQUESTED, detail={"reason": reason}))

    def wake(self) -> None:
        self.deliver(LogEvent(log.WAKE_REQUESTED))

    def retry(self) -> list[LogEvent]:
        """Retry the run in place, as the store does it. Returns what is redelivered."""
        assert self.ended, "the run is open"
        plan = plan_retry(effective(self.log), self.log)
        epoch = 1 + self.count(log.RUN_RETRIED)
        note = {
            "cut": plan.cut.seq,
            "cut_at": plan.cut.time,
            "epoch": epoch,
            "attempt": epoch + 1,
            "attempts": plan.attempts,
        }
        self._append(LogEvent(log.RUN_RETRIED, time=self.now_us, detail=note))
        self._claims = []
        self.drop()
        if self.execution.started_us == 0:
            self.begin()
        for event in plan.redelivered:
            if self.is_open():
                self.deliver(stored(event))
        return plan.redelivered

    def run(self) -> Driver:
        """Go on to the end: steps in the order of their calls, then timers."""
        if self.execution.started_us == 0:
            self.begin()
        while not self.ended:
            if self.steps:
                self.run_step(self.steps[0])
            else:
                self.fire()
        return self

    # -- looking ----------------------------------------------------------------------

    @property
    def ended(self) -> bool:
        return self.execution.end is not None

    def fork(self, from_step: str | int) -> Driver:
        """A fork of the run, as the store makes it. Tokens of others are not held."""
        history = effective(self.log)
        self.forks += 1
        fork_id = f"{self.run_id.replace('test', 'fork')}_{self.forks}"
        made = fork_log(
            history,
            cut_before(history, self.log, from_step),
            run_id=self.run_id,
            seed=self.seed,
            fork_id=fork_id,
            fork_seed=bytes([len(fork_id)]) * 32,
            now_us=self.now_us,
        )
        other = Driver(self.workflow, tokens=self.tokens, seed=made.seed)
        other.run_id, other.now_us = fork_id, self.now_us
        other.log = made.events
        other.drop()
        if other.execution.started_us == 0:
            other.begin()
        elif made.delivered is not None:
            other.deliver(made.delivered)
        return other

    def is_open(self) -> bool:
        return not self.ended

    @property
    def status(self) -> str:
        return "running" if self.execution.end is None else self.execution.end.type

    @property
    def result(self) -> Any:
        end = self.execution.end
        assert end is not None, "the run has not ended"
        assert end.type == log.RUN_COMPLETED, (end.type, self.error)
        return serialization.loads(end.payload or b"")

    @property
    def error(self) -> BaseException | None:
        end = self.execution.end
        if end is None or end.payload is None or end.type != log.RUN_FAILED:
            return None
        return failures.rebuild(end.payload)

    @property
    def trace(self) -> Trace:
        return trace_of(self.log)

    def types(self) -> list[str]:
        return [event.type for event in self.log]

    def count(self, kind: str) -> int:
        return self.types().count(kind)


def stored(event: LogEvent) -> LogEvent:
    """The event as it would come back from the database."""
    other = copy.copy(event)
    other.detail = dict(event.detail)
    return other


def trace_of(events: Sequence[LogEvent]) -> Trace:
    """A log to compare: type, id and payload of every entry.

    Of a failure only the message counts: a traceback names lines of the engine.
    """
    return [(event.type, event.correlation_id, _comparable(event)) for event in events]


def _comparable(event: LogEvent) -> str:
    if event.payload is None:
        return str(event.detail.get("name", ""))
    if event.type in (log.RUN_FAILED, log.STEP_FAILED, log.CHILD_FAILED):
        return failures.Failure.of(event.payload).message
    return serialization.canonical(event.payload).decode()


def drive(workflow: Workflow[..., Any], *args: Any, **kwargs: Any) -> Driver:
    """A run of a workflow that has begun."""
    return Driver(workflow, *args, **kwargs).begin()


def check_replays(
    driver: Driver, check: Callable[[Execution], None] | None = None
) -> None:
    """Every prefix of the log that ends where a burst begins replays without news."""
    for position, event in enumerate(driver.log):
        if position and (event.type in log.INPUTS):
            execution, commands = driver.replay(position)
            assert commands == [], (position, commands)
            execution.close()
    execution, commands = driver.replay()
    assert commands == []
    assert (execution.end is None) == (driver.execution.end is None)
    if check is not None:
        check(execution)
    execution.close()
