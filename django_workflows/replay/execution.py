"""One run in memory: its function, suspended, and what it is waiting for.

Deliver an event and get back the commands that the function's code issued because of
it: that is a *burst*. Replaying a log is the same, burst by burst, with the commands
known beforehand.
"""

from __future__ import annotations

import asyncio
import gc
import heapq
import logging
import random
import sys
import uuid
from asyncio.events import _get_running_loop, _set_running_loop
from collections.abc import AsyncGenerator, Callable, Sequence
from contextvars import Context
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from types import FrameType
from typing import Any, NoReturn

from django_workflows.conf import conf
from django_workflows.core import failures, serialization
from django_workflows.core.attributes import merged_attributes
from django_workflows.core.ids import derive_id, timed_id
from django_workflows.core.payloads import check_size
from django_workflows.errors import (
    NonDeterminismError,
    SerializationError,
    StepFailedError,
    WorkflowError,
    WorkflowGuardError,
)
from django_workflows.replay import children
from django_workflows.replay import events as log
from django_workflows.replay.blame import blamed
from django_workflows.replay.children import ChildHandle, Children
from django_workflows.replay.closing import RunClosing, bury, close_all
from django_workflows.replay.continuing import RunContinues, check_successor
from django_workflows.replay.definitions import Step, Workflow
from django_workflows.replay.epochs import effective
from django_workflows.replay.events import LogEvent
from django_workflows.replay.forks import Edge, edges_of
from django_workflows.replay.guard import Guard, Unguarded, workflow_location
from django_workflows.replay.hooks import Hook
from django_workflows.replay.interrupts import is_from_outside
from django_workflows.replay.loop import DurableTimer, WorkflowLoop, WorkflowTask
from django_workflows.replay.matching import RecordedCommands
from django_workflows.replay.operations import Operation, SleepCall, StepCall, Timer
from django_workflows.replay.patches import Patches, advice
from django_workflows.replay.secrets import derive, hook_token, seed_of
from django_workflows.replay.starts import prepare

logger = logging.getLogger("django_workflows.replay")
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


class RunBlocked(BaseException):
    """The run cannot go on with today's code; nothing of the burst may be stored."""

    def __init__(self, error: BaseException) -> None:
        super().__init__(str(error))
        self.error = error


class SeedUnknownError(WorkflowError):
    """The run draws on its secret seed, and this history of it has none.

    ``file`` and ``line`` tell where.
    """

    def __init__(self, message: str, file: str, line: int) -> None:
        super().__init__(message)
        self.file = file
        self.line = line


class BurstTimeout(BaseException):
    """Raised into a burst by the watchdog of the worker."""


@dataclass(slots=True)
class RunInfo:
    """What a run knows about itself, as of its log."""

    run_id: str
    workflow_name: str
    version: str = ""
    key: str | None = None
    queue: str = "default"
    priority: int = 0
    attributes: dict[str, Any] = field(default_factory=dict)
    seed: bytes = b""
    base_url: str = ""
    #: As of the event being delivered: both grow with each retry in place.
    attempt: int = 1
    epoch: int = 0


class Execution:
    """A workflow function driven by its log."""

    def __init__(self, workflow: Workflow[..., Any], info: RunInfo) -> None:
        self.workflow = workflow
        self.info = info
        self.loop = WorkflowLoop(self)  # type: ignore[abstract]
        self.is_replaying = False
        #: The event that ended the run, once there is one.
        self.end: LogEvent | None = None
        self.cancel_delivered = False
        #: It stands still, by the last entry of its log that says so.
        self.is_paused = False
        self.started_us = 0
        self.steps: dict[str, StepCall] = {}
        self.timers: dict[str, Timer] = {}
        self.hooks: dict[str, Hook] = {}
        self.patches = Patches(self)
        #: The event delivered last.
        self.event: LogEvent | None = None
        self.children = Children()
        #: Hooks that its predecessor handed on and that it has not claimed, by token.
        self.carried: dict[str, Hook] = {}
        self.blocked: BaseException | None = None
        self._input: bytes | None = None
        self._main: WorkflowTask | None = None
        self._commands: list[LogEvent] = []
        self._recorded: RecordedCommands | None = None
        self._outcomes: list[LogEvent] = []
        self._occurrences: dict[str, int] = {}
        self._known_ids: set[str] = set()
        self._timer_heap: list[tuple[int, int, str]] = []
        self._generators: list[AsyncGenerator[Any, Any]] = []
        self._hold_at_most = 64
        #: The run is being, or has been, dropped from memory.
        self.is_closing = False
        self._refused = 0
        self._context = Context()
        self._guard = Guard(self._taint) if conf.GUARD else Unguarded()
        #: Where the parts of a fork's log that it has copied end, those to come.
        self._edges: list[Edge] = []
        self._passed = 0
        self._copied = 0
        self._is_copied = False
        self._random: random.Random | None = None
        self._uuids: random.Random | None = None

    # -- bursts ---------------------------------------------------------------------

    def replay(self, history: Sequence[LogEvent]) -> list[LogEvent]:
        """Run the function against its whole log, as far as no retry made it void.

        Returns the commands that the log does not hold yet: those of the outcome of a
        claim, of a hook or a child's key, in the log's last burst. Raises RunBlocked.
        """
        self.is_replaying = True
        if history and history[-1].detail.get("by") == "engine":
            # Not the code's doing: to replay, the run is open up to there.
            self.replay(history[:-1])
            self.end = history[-1]
            return []
        history = effective(history)
        position = 0
        while position < len(history):
            event = history[position]
            position += 1
            if event.type not in log.INPUTS or event.detail.get("late"):
                self._note(event)
                continue
            recorded = []
            last = position
            while last < len(history) and (
                history[last].type not in log.INPUTS or history[last].detail.get("late")
            ):
                if history[last].type in log.COMMANDS and not (
                    self.patches.is_deprecated(history[last])
                ):
                    recorded.append(history[last])
                last += 1
            self._is_copied = (event.seq or 0) <= self._copied
            self._recorded = RecordedCommands(recorded, is_loose=self._is_copied)
            self._burst(event)
            self._replay_outcomes(recorded, is_last=last == len(history))
            if self._recorded:
                left = self._recorded.left()
                error = self._divergence(
                    f"the log holds {_told(left[0])}, which the code "
                    f"did not issue after {_told(event)}",
                    left,
                )
                raise RunBlocked(error)
            for informational in history[position:last]:
                if informational.type not in log.COMMANDS:
                    self._note(informational)
            position = last
        while self._edges and (history[-1].seq or 0) >= self._edges[0].until:
            self._pass_edge()
        self._recorded = None
        self.is_replaying = self._is_copied = False
        return self._take_commands()

    def deliver(self, event: LogEvent) -> list[LogEvent]:
        """Deliver one new event. Returns the commands issued. Raises RunBlocked."""
        self._burst(event)
        return self._take_commands()

    def note(self, event: LogEvent) -> None:
        """Take notice of an entry that starts no burst, such as `step_started`."""
        self._note(event)

    def close(self) -> None:
        """Drop the run from memory, on the thread that owns it."""
        if self.is_closing:
            return
        self.is_closing = True
        self.loop.forget_ready()
        tasks = [task for task in self.loop.tasks if not task.done()]
        stubborn: list[Any] = []

        def close() -> None:
            with self._guard:
                stubborn.extend(close_all(self._main, tasks, self._generators))

        try:
            self._on_loop(close)
        finally:
            self.loop.forget_ready()
        for target in stubborn:
            bury(target)

    def _take_commands(self) -> list[LogEvent]:
        commands, self._commands = self._commands, []
        return commands

    def _replay_outcomes(self, recorded: Sequence[LogEvent], *, is_last: bool) -> None:
        """Deliver the outcomes of the claims among a burst's recorded commands.

        The claims of one burst had their outcomes in one round, those that these
        bursts made theirs in the next. So the bursts of one round are in the log all
        together; with nothing behind the claims they may be new ones.
        """
        claims = (log.HOOK_CREATED, log.HOOK_CONFLICT)
        waiting = [e for e in recorded if e.type in claims or children.is_claim(e)]
        while waiting:
            unissued = set(map(id, self._recorded.left() if self._recorded else ()))
            made = [claim for claim in waiting if id(claim) not in unissued]
            if not made:
                return  # claims of the log that the code does not make
            waiting = [claim for claim in waiting if id(claim) in unissued]
            if is_last and not self._recorded:
                self._recorded = None
                self.is_replaying = False
            for outcome in made:
                self._burst(outcome)

    def _burst(self, event: LogEvent) -> None:
        if self.blocked is not None:
            raise RunBlocked(self.blocked)
        if self.end is not None:
            return
        if self._edges and (event.seq or 0) > self._edges[0].until:
            self._pass_edge()
        self.event = event
        if event.time > self.loop.now_us:
            self.loop.now_us = event.time
        self._on_loop(lambda: self._run_burst(event))
        if self.blocked is not None:
            raise RunBlocked(self.blocked)
        if self._main is not None and self._main.done() and self.end is None:
            self._finish(self._main)
            if self.blocked is not None:
                raise RunBlocked(self.blocked)

    def _on_loop(self, action: Callable[[], None]) -> None:
        outer_loop = _get_running_loop()
        outer_hooks = sys.get_asyncgen_hooks()
        # What the collector finds has nothing to do with this run; what its finalizers
        # do must not be taken for the workflow's doing.
        is_collecting = gc.isenabled()
        gc.disable()
        _set_running_loop(self.loop)
        sys.set_asyncgen_hooks(self._hold, _keep)
        try:
            action()
        finally:
            sys.set_asyncgen_hooks(*outer_hooks)
            _set_running_loop(outer_loop)
            if is_collecting:
                gc.enable()

    def _run_burst(self, event: LogEvent) -> None:
        try:
            _HANDLERS[event.type](self, event)
            with self._guard:
                self._run_ready()
        except (Exception, BurstTimeout) as error:
            # Not the workflow's own error, which its task keeps: the event itself
            # could not be delivered to today's code.
            self._taint(error)
        except (SystemExit, KeyboardInterrupt) as error:
            self._taint(error)
            raise

    def _run_ready(self) -> None:
        while True:
            try:
                self.loop.run_ready(until=self._main)
                return
            except (SystemExit, KeyboardInterrupt) as error:
                # A task that ends with one of these keeps it, as any exception, but
                # asyncio raises it as well, which is meant for loops of a process.
                if is_from_outside(error) or not self.loop.has_raised(error):
                    raise
                if self.end is not None or (self._main and self._main.done()):
                    return

    def _hold(self, generator: AsyncGenerator[Any, Any]) -> None:
        """Async generators are closed with their run, never by the collector."""
        held = self._generators
        held.append(generator)
        if len(held) > self._hold_at_most:
            held[:] = [g for g in held if g.ag_frame is not None]  # type: ignore[attr-defined]
            self._hold_at_most = max(64, 2 * len(held))

    # -- events in ------------------------------------------------------------------

    def _note(self, event: LogEvent) -> None:
        if self._edges and (event.seq or 0) > self._edges[0].until:
            self._pass_edge()
        if event.type == log.RUN_CREATED:
            self._input = event.payload
            self._edges = edges_of(event)
            self._copied = self._edges[-1].until if self._edges else 0
            return
        if event.type == log.RUN_RETRIED:
            self._retried(event)
            return
        call = self.steps.get(event.correlation_id)
        if call is None:
            if event.type in _STANDS_STILL:
                self.is_paused = _STANDS_STILL[event.type]
            elif event.type == log.HOOK_CARRIED:
                hook = Hook(self, event.correlation_id, event.detail["token"])
                self.hooks[hook.id] = self.carried[hook.token] = hook
            return
        if event.type == log.STEP_STARTED:
            call.attempt = event.detail["attempt"]
            call.worker = event.detail.get("worker", "")
            call.started_us = event.time
            call.has_row = bool(event.detail.get("row"))
            call.suspect = False
        elif event.type == log.STEP_TIMED_OUT:
            call.errors += 1
            if call.last_error is None:
                call.last_error = event.payload
            if "retry_at" in event.detail:  # else the step fails, in the next event
                call.worker = ""
                call.retry_us = event.detail["retry_at"]
                call.suspect = False
        elif event.type == log.STEP_RETRYING:
            call.worker = ""
            call.retry_us = event.detail.get("retry_at", event.time)
            reason = event.detail.get("reason", "error")
            call.suspect = reason == "crash"
            if reason == "error":
                call.errors += 1
                call.last_error = event.payload
            elif reason == "crash" and event.detail.get("alone"):
                call.crashes += 1

    def _retried(self, event: LogEvent) -> None:
        """The run was closed and goes on in a new epoch."""
        self.is_paused = False
        self.info.attempt = event.detail["attempt"]
        self.info.epoch = event.detail["epoch"]
        cut_us = event.detail.get("cut_at", event.time)
        self._go_on_from(cut_us, event.time, event.detail.get("attempts", {}))

    def _pass_edge(self) -> None:
        """What follows in the log of a fork is its own."""
        edge = self._edges.pop(0)
        self._passed += 1
        self._go_on_from(edge.cut_us, edge.time_us, {})

    def _go_on_from(self, cut_us: int, time_us: int, attempts: dict[str, int]) -> None:
        """What is open goes on as if it had only just been called."""
        # What other code was given by chance is not given to this again.
        if self._random is not None:
            self._random.seed(self._secret(*self._purpose("random")))
        if self._uuids is not None:
            self._uuids.seed(self._secret(*self._purpose("uuid4")))
        for call in self.steps.values():
            call.begin_anew(attempts.get(call.id, 0), time_us)
        # Time-outs stood still meanwhile; sleeps did not.
        for timer in self.timers.values():
            if timer.kind == "timer":
                left_us = timer.due_us - cut_us
                timer.due_us = time_us + (left_us if left_us > 0 else timer.delay_us)
        self._timer_heap = [(t.due_us, t.number, t.id) for t in self.timers.values()]
        heapq.heapify(self._timer_heap)

    def _on_run_started(self, event: LogEvent) -> None:
        self.started_us = event.time
        self.info.base_url = event.detail.get("base_url", self.info.base_url)
        self.info.attributes = event.detail.get("attributes", {})
        args, kwargs = serialization.loads_call(self._input or b"")
        self.workflow.require_async()
        self._main = self.loop.create_task(
            self.workflow.func(*args, **kwargs), name="workflow", context=self._context
        )

    def _on_step_end(self, event: LogEvent) -> None:
        call = self.steps.pop(event.correlation_id, None)
        if call is None:
            self._require_known(event)
            return
        if event.type == log.STEP_COMPLETED:
            call.succeed(self.decode(event.payload))
            return
        error = failures.rebuild(event.payload or b"")
        view = failures.Failure.of(event.payload or b"")
        attempts = event.detail.get("attempt", 1)
        circumstances = StepFailedError(
            f"step {call.step.name} failed after {attempts} "
            f"{'attempt' if attempts == 1 else 'attempts'}: {view.message}",
            step_id=call.id,
            step_name=call.step.name,
            attempts=attempts,
            traceback=view.traceback,
        )
        raised = call.error_before(event.detail.get("kind"))
        if raised is None:
            raised = error
        else:
            error.__cause__ = raised
        # What the step raised it from comes after the circumstances.
        circumstances.__cause__, raised.__cause__ = raised.__cause__, circumstances
        call.fail(error)

    def _on_wait_completed(self, event: LogEvent) -> None:
        timer = self.timers.pop(event.correlation_id, None)
        if timer is None:
            self._require_known(event)
            return
        self._fire(timer)

    def _fire(self, timer: Timer) -> None:
        if isinstance(timer.target, DurableTimer):
            self.loop._ready.append(timer.target)
        else:
            timer.target.succeed(None)

    def _on_wake_requested(self, event: LogEvent) -> None:
        for timer in sorted(self.timers.values(), key=lambda t: t.number):
            if timer.kind == "sleep":
                del self.timers[timer.id]
                self._fire(timer)

    def _on_hook_received(self, event: LogEvent) -> None:
        hook = self.hooks.get(event.correlation_id)
        if hook is None:
            self._require_known(event)
            return
        hook.received(event.payload or b"")

    def _on_hook_claimed(self, event: LogEvent) -> None:
        hook = self.hooks.get(event.correlation_id)
        if hook is None:
            return  # disposed of in the burst that claimed it
        if event.type == log.HOOK_CONFLICT:
            del self.hooks[event.correlation_id]
            hook.claimed(event.detail["held_by"])
        else:
            hook.claimed(None)

    def _on_child_claimed(self, event: LogEvent) -> None:
        if (follows := self.children.claimed(event)) is not None:
            self._known_ids.add(follows)

    def _on_child_end(self, event: LogEvent) -> None:
        handles = self.children.take(event.correlation_id)
        for handle in handles:
            handle.ended(event)
        if not handles and not self.info.epoch:
            # After a retry, children of what is void by then still come to an end.
            self._require_known(event)

    def _on_cancel_requested(self, event: LogEvent) -> None:
        if self._main is None or self.cancel_delivered:
            return
        self.cancel_delivered = True
        self._main.cancel(event.detail.get("reason") or None)
        # Clean-up code must see an ordinary task: a TaskGroup in an except block
        # behaves differently in one that is still being cancelled.
        self._main.uncancel()

    def _require_known(self, event: LogEvent) -> None:
        """The end of something the code never issued; one it cancelled is fine."""
        if event.correlation_id not in self._known_ids:
            self._divergence(
                f"the log holds {_told(event)}, which the code never issued", [event]
            )

    # -- commands out ---------------------------------------------------------------

    def call_step(
        self, step: Step[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> StepCall:
        """Issue a step call. Raises SerializationError for its arguments."""
        paused = self._guard.pause()
        try:
            self._require_task(step.name)
            payload = check_size(serialization.dumps_call(args, kwargs))
            step_id = self._next_id("step", step.name)
            event = self._issue(
                LogEvent(
                    log.STEP_CREATED,
                    step_id,
                    detail={"name": step.name},
                    payload=payload,
                )
            )
            if event.payload is not None and not self._is_copied:
                payload = event.payload
            call = StepCall(self, event.correlation_id, step, payload)
            self.steps[call.id] = call
            return call
        finally:
            self._guard.unpause(paused)

    def start_child(
        self,
        workflow: Workflow[..., Any],
        args: tuple[Any, ...],
        kwargs: dict[str, Any],
    ) -> ChildHandle:
        """Issue the start of a child run. Raises what `prepare` raises for it."""
        paused = self._guard.pause()
        try:
            self._require_task(workflow.name)
            start = prepare(workflow, args, kwargs, _at(self.loop.now_us))
            call_id = self._next_id("child", workflow.name)
            run_id = timed_id(
                "wrun",
                self.loop.now_us // 1000,
                self.children.issued,
                self._secret("child", call_id),
            )
            event = self._issue(children.created_event(call_id, run_id, start))
            handle = ChildHandle(
                self, event.correlation_id, event.detail["run_id"], start
            )
            self.children.add(handle)
            return handle
        finally:
            self._guard.unpause(paused)

    def cancel_child(self, handle: ChildHandle) -> None:
        if not self.is_over:
            self._issue(children.cancel_event(handle))

    def cancel_step(self, step_id: str) -> None:
        if not self.is_over and self.steps.pop(step_id, None) is not None:
            self._issue(LogEvent(log.STEP_CANCELLED, step_id))

    def create_timer(self, target: DurableTimer, kind: str) -> None:
        if self.is_over:
            return  # clean-up code waits in vain, and is closed again
        when = target.when()
        delay = when - self.loop.time()
        due_us = self.loop.now_us + max(1, round(delay * 1_000_000))
        while due_us / 1_000_000 < when:
            due_us += 1
        if due_us <= _LAST_US:
            target.timer_id = self._create_wait(
                kind, _named(kind, delay), due_us, target
            )

    def create_sleep(self, delay: float | datetime) -> SleepCall:
        """Issue a sleep, in seconds or until a point in time."""
        self._require_task("sleep()")
        if isinstance(delay, datetime):
            due_us = (delay - _EPOCH) // _MICROSECOND
            name = f"sleep:{delay.astimezone(UTC).isoformat()}"
        else:
            due_us = self.loop.now_us + round(delay * 1_000_000)
            name = _named("sleep", delay)
        if due_us > _LAST_US:
            raise ValueError("cannot sleep until after the year 9999")
        sleep = SleepCall(self, "")
        if due_us <= self.loop.now_us:
            sleep.succeed(None)
        else:
            sleep.id = self._create_wait("sleep", name, due_us, sleep)
        return sleep

    def _create_wait(
        self, kind: str, name: str, due_us: int, target: SleepCall | DurableTimer
    ) -> str:
        event = self._issue(
            LogEvent(
                log.WAIT_CREATED,
                self._next_id("wait", name),
                detail={"name": name, "kind": kind, "due": due_us},
            )
        )
        timer = Timer(
            event.correlation_id,
            event.detail["due"],
            self.loop.next_number(),
            kind,
            target,
            event.detail["due"] - self.loop.now_us,
        )
        self.timers[timer.id] = timer
        heapq.heappush(self._timer_heap, (timer.due_us, timer.number, timer.id))
        return timer.id

    def cancel_timer(self, timer_id: str) -> None:
        if not self.is_over and self.timers.pop(timer_id, None) is not None:
            self._issue(LogEvent(log.WAIT_CANCELLED, timer_id))

    def create_hook(self, token: str | None, metadata: Any) -> Hook:
        """Claim a token, or one that nobody can guess."""
        self._require_task("create_hook()")
        payload = None
        if metadata is not None:
            payload = check_size(serialization.dumps(metadata, root="metadata"))
        carried = None if token is None else self.carried.pop(token, None)
        hook_id = carried.id if carried else self._next_id("hook", token or "")
        mark = {"carried": True} if carried else {}
        generated = hook_token(seed_of(self.info.seed, self._passed), hook_id)
        event = self._issue(
            LogEvent(
                log.HOOK_CREATED,
                hook_id,
                detail={"name": token or "", "token": token or generated, **mark},
                payload=payload,
            )
        )
        hook = carried or Hook(self, event.correlation_id, event.detail["token"])
        self.hooks[hook.id] = hook
        return hook

    def record_patch(self, event: LogEvent) -> bool:
        """Record a change of the code that the run goes by, if this burst is new.

        In a burst of the log it was recorded then, or the run has passed this point
        with the old code: False.
        """
        self._require_task("patched()")
        if self.is_over:
            return False
        if self._recorded is not None:
            return self._recorded.take(event) is not None
        event.time = self.loop.now_us
        self._commands.append(event)
        return True

    def take_patch(self, event: LogEvent) -> None:
        """Take a recorded change, if this burst is of the log and has one."""
        self._require_task("deprecate_patch()")
        if self._recorded is not None:
            self._recorded.take(event)

    def dispose_hook(self, hook: Hook) -> None:
        if self.is_over:
            return
        self.hooks.pop(hook.id, None)
        self._issue(LogEvent(log.HOOK_DISPOSED, hook.id))

    def set_attributes(self, changes: dict[str, Any]) -> None:
        """Merge plain JSON values into the run's attributes. Raises ValueError."""
        self._require_task("set_attributes()")
        merged = merged_attributes(self.info.attributes, changes)
        payload = serialization.dumps(changes, root="attributes")
        self._issue(LogEvent(log.ATTRIBUTES_SET, payload=payload))
        self.info.attributes = merged

    def continue_as_new(
        self, args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> NoReturn:
        """End the run here; a successor starts with these arguments.

        Raises TypeError and SerializationError for them, and then nothing has ended.
        """
        paused = self._guard.pause()
        try:
            self._require_task("continue_as_new()")
            payload = check_successor(self.workflow, args, kwargs)
        finally:
            self._guard.unpause(paused)
        if not self.is_over:
            self._end_with(LogEvent(log.RUN_CONTINUED, payload=payload))
            self.loop.stop_here()
        raise RunContinues

    def _finish(self, main: WorkflowTask) -> None:
        """The function has ended: record how."""
        if main.cancelled():
            error: BaseException | None = asyncio.CancelledError()
        else:
            error = main.exception()
        if error is None:
            try:
                payload = check_size(
                    serialization.dumps(main.result(), root="return value")
                )
            except SerializationError as failure:
                error = failure
            else:
                end = LogEvent(log.RUN_COMPLETED, payload=payload)
        if isinstance(error, asyncio.CancelledError) and self.cancel_delivered:
            end = LogEvent(log.RUN_CANCELLED)
        elif error is not None:
            end = LogEvent(
                log.RUN_FAILED, detail=blamed(error), payload=failures.capture(error)
            )
        self._end_with(end)

    def _end_with(self, end: LogEvent) -> None:
        """Record how the run ends, or compare that with the log while replaying."""
        self.end = end
        self.end.time = self.loop.now_us
        if self._recorded is None:
            self._commands.append(self.end)
            return
        for event in self._recorded.left():
            if event.type == self.end.type:
                self._recorded.take(event)
                return
        left = self._recorded.left()
        self._divergence(
            f"the code ended with {self.end.type} where the log holds "
            + _told_all(left),
            left,
        )

    def _issue(self, event: LogEvent) -> LogEvent:
        """Record a command, or find the recorded one while replaying."""
        self.require_open()
        if self.is_over:
            return event
        self._known_ids.add(event.correlation_id)
        event.time = self.loop.now_us
        if self._recorded is None:
            self._commands.append(event)
            return event
        found = self._recorded.take(event)
        if found is None:
            left = self._recorded.left()
            raise self._divergence(
                f"the code issued {_told(event)} where the log holds "
                + _told_all(left),
                left,
            )
        self._known_ids.add(found.correlation_id)
        return found

    def _next_id(self, kind: str, name: str) -> str:
        slot = f"{kind} {name}"
        occurrence = self._occurrences.get(slot, 0)
        self._occurrences[slot] = occurrence + 1
        return derive_id(
            kind, self.info.run_id, str(self.info.epoch), name, str(occurrence)
        )

    # -- refusals -------------------------------------------------------------------

    def refuse(self, call: str, fix: str) -> NoReturn:
        """Refuse a call that workflow code must not make, and block the run."""
        self.require_open()
        file, line = workflow_location()
        error = WorkflowGuardError(
            f"{call} in workflow code at {file}:{line}: {fix}", file=file, line=line
        )
        self._taint(error)
        raise error

    def require_open(self) -> None:
        """Refuse every call of a run that is blocked, or dropped from memory."""
        if self.is_over:
            self._refused += 1
            if self._refused <= _REFUSALS:
                if self.is_closing:
                    raise RunClosing("this run has been dropped from memory")
                raise RunContinues
            # Code that swallows even this gets something that never settles, so that
            # it suspends sooner or later and can be buried.
        elif self.blocked is not None:
            raise self.blocked

    @property
    def is_over(self) -> bool:
        """What the code still does is its way out, and none of it is recorded."""
        return self.is_closing or self.end is not None

    def _require_task(self, name: str) -> None:
        self.require_open()
        if not self.is_over and asyncio.current_task(self.loop) is None:
            self.refuse(
                name,
                "it was called from a callback or a finalizer, outside of the run's "
                "tasks: call it in the workflow function or in a task of it",
            )

    def _divergence(
        self, what: str, left: Sequence[LogEvent] = ()
    ) -> NonDeterminismError:
        """Block the run, because its code does something else than its log says.

        `left` are the entries of the log that have no partner in the code.
        """
        if asyncio.current_task(self.loop) is None:
            file, line = self.waiting_location()
        else:
            file, line = workflow_location()
        unfitting = left[0] if left else self.event
        error = NonDeterminismError(
            f"{self.workflow.name} no longer follows its log: {what} ({file}:{line}). "
            + advice(left),
            file=file,
            line=line,
            seq=None if unfitting is None else unfitting.seq,
        )
        self._taint(error)
        return error

    def waiting_location(self) -> tuple[str, int]:
        """Where the workflow function itself has got to."""
        code = self.workflow.func.__code__
        frame = None if self._main is None else self._main.get_coro().cr_frame  # type: ignore[union-attr]
        return code.co_filename, frame.f_lineno if frame else code.co_firstlineno

    def _taint(self, error: BaseException) -> None:
        if self.blocked is None and not self.is_closing:
            self.blocked = error

    def interrupt(self, stack: str, frame: FrameType | None) -> None:
        """Called by the watchdog: the burst in progress does not come to an end.

        `frame` is what its thread is at.
        """
        file, line = "", 0
        if frame is not None:
            file, line = workflow_location(frame)
        self._taint(
            WorkflowGuardError(
                "workflow code ran too long without awaiting anything (see "
                f"WORKFLOWS['BURST_TIMEOUT']); move the work into a @step:\n{stack}",
                file=file,
                line=line,
            )
        )

    def report(self, context: dict[str, Any]) -> None:
        """What asyncio has to say about a task or a callback of this run."""
        error = context.get("exception")
        if self.is_silent or self.end is not None:
            return
        logger.error(
            "%s: %s",
            self.workflow.name,
            context.get("message", "error in a callback"),
            exc_info=error,
            extra={"action": "workflow_callback_error", "run_id": self.info.run_id},
        )

    @property
    def is_silent(self) -> bool:
        """Nothing that the code says now is news."""
        return self.is_replaying or self.is_closing

    # -- what the worker asks -------------------------------------------------------

    def next_timer(self) -> Timer | None:
        """The open timer that is due first, in the order of due time and creation."""
        heap = self._timer_heap
        while heap:
            timer = self.timers.get(heap[0][2])
            if timer is not None:
                return timer
            heapq.heappop(heap)
        return None

    def decode(self, payload: bytes | None) -> Any:
        return None if payload is None else serialization.loads(payload)

    # -- determinism for workflow code ----------------------------------------------

    def random(self) -> random.Random:
        self._require_seed("random()")
        if self._random is None:
            self._random = random.Random(self._secret(*self._purpose("random")))
        return self._random

    def uuid4(self) -> uuid.UUID:
        self._require_seed("uuid4()")
        if self._uuids is None:
            self._uuids = random.Random(self._secret(*self._purpose("uuid4")))
        return uuid.UUID(int=self._uuids.getrandbits(128), version=4)

    def _require_seed(self, name: str) -> None:
        self.require_open()
        if not self.info.seed:
            error = SeedUnknownError(
                f"the code calls {name}, whose values derive from the run's secret "
                "seed, and this history has none: export it with --with-seed, or "
                "replay it where the run is in the database",
                *workflow_location(),
            )
            self._taint(error)
            raise error

    def _purpose(self, name: str) -> tuple[str, ...]:
        return (name, str(self.info.epoch)) if self.info.epoch else (name,)

    def _secret(self, *purpose: str) -> bytes:
        return derive(seed_of(self.info.seed, self._passed), *purpose)


def _at(us: int) -> datetime:
    return _EPOCH + timedelta(microseconds=us)


def _keep(generator: AsyncGenerator[Any, Any]) -> None:
    """The collector leaves async generators alone: their run closes them."""


def _told_all(events: Sequence[LogEvent]) -> str:
    return " and ".join(map(_told, events[:3])) or "nothing more"


def _named(kind: str, delay: float) -> str:
    """A timer is named by its delay. The noise of adding it to the time and taking
    that away again must not be part of the name."""
    return f"{kind}:{round(delay, 4):.12g}"


def _told(event: LogEvent) -> str:
    name = event.detail.get("name")
    number = "" if event.seq is None else f" (event {event.seq})"
    return f"{event.type} {name or event.correlation_id}".strip() + number


_MICROSECOND = datetime.resolution
#: Entries after which a run is paused, or is not any more.
_STANDS_STILL = {log.RUN_PAUSED: True, log.RUN_RESUMED: False, log.RUN_RETRIED: False}
#: How often a dropped run's code is refused before it is left waiting.
_REFUSALS = 100
_LAST_US = (datetime.max.replace(tzinfo=UTC) - _EPOCH) // _MICROSECOND
_HANDLERS: dict[str, Callable[[Execution, LogEvent], None]] = {
    log.RUN_STARTED: Execution._on_run_started,
    log.STEP_COMPLETED: Execution._on_step_end,
    log.STEP_FAILED: Execution._on_step_end,
    log.WAIT_COMPLETED: Execution._on_wait_completed,
    log.WAKE_REQUESTED: Execution._on_wake_requested,
    log.HOOK_RECEIVED: Execution._on_hook_received,
    log.HOOK_CREATED: Execution._on_hook_claimed,
    log.HOOK_CONFLICT: Execution._on_hook_claimed,
    log.CANCEL_REQUESTED: Execution._on_cancel_requested,
    log.CHILD_CREATED: Execution._on_child_claimed,
    log.CHILD_COMPLETED: Execution._on_child_end,
    log.CHILD_FAILED: Execution._on_child_end,
    log.CHILD_CANCELLED: Execution._on_child_end,
}
__all__ = ["BurstTimeout", "Execution", "Operation", "RunBlocked", "RunInfo"]
