"""One run in memory: its function, suspended, and what it is waiting for.

Deliver an event and get back the commands that the function's code issued because of
it: that is a *burst*. Replaying a log is the same, burst by burst, with the commands
known beforehand.
"""

from __future__ import annotations

import asyncio
import gc
import logging
import sys
from asyncio.events import _get_running_loop, _set_running_loop
from collections.abc import AsyncGenerator, Callable, Sequence
from contextvars import Context
from dataclasses import dataclass, field
from datetime import UTC, datetime
from types import FrameType
from typing import Any, NoReturn

from django_workflows.conf import conf
from django_workflows.core import failures, serialization
from django_workflows.core.attributes import merged_attributes
from django_workflows.core.ids import derive_id
from django_workflows.core.payloads import check_size
from django_workflows.errors import (
    NonDeterminismError,
    SerializationError,
    WorkflowGuardError,
)
from django_workflows.replay import events as log
from django_workflows.replay.blame import blamed
from django_workflows.replay.blocking import BurstTimeout, RunBlocked
from django_workflows.replay.chance import Chance
from django_workflows.replay.children import Children
from django_workflows.replay.closing import RunClosing, bury, close_all
from django_workflows.replay.continuing import RunContinues, check_successor
from django_workflows.replay.definitions import Workflow
from django_workflows.replay.delivery import HANDLERS, note
from django_workflows.replay.divergence import divergence, told, told_all
from django_workflows.replay.events import LogEvent
from django_workflows.replay.forks import Edge
from django_workflows.replay.guard import Guard, Unguarded, workflow_location
from django_workflows.replay.hooks import Hook
from django_workflows.replay.interrupts import is_from_outside
from django_workflows.replay.loop import WorkflowLoop, WorkflowTask
from django_workflows.replay.matching import RecordedCommands
from django_workflows.replay.operations import Operation, StepCall
from django_workflows.replay.patches import Patches
from django_workflows.replay.replaying import replay
from django_workflows.replay.steps import Step
from django_workflows.replay.timers import Timers

logger = logging.getLogger("django_workflows.replay")
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


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
        self.timers = Timers(self)
        self.hooks: dict[str, Hook] = {}
        self.patches = Patches(self)
        #: The event delivered last.
        self.event: LogEvent | None = None
        self.children = Children()
        #: Hooks that its predecessor handed on and that it has not claimed, by token.
        self.carried: dict[str, Hook] = {}
        self.blocked: BaseException | None = None
        #: The encoded arguments, and the task that runs the function with them.
        self.input: bytes | None = None
        self.main: WorkflowTask | None = None
        #: What the code has issued and nobody has taken yet.
        self.commands: list[LogEvent] = []
        #: What the log holds of the burst being replayed, else None.
        self.recorded: RecordedCommands | None = None
        self._occurrences: dict[str, int] = {}
        #: Ids of all that the code has issued.
        self.known_ids: set[str] = set()
        self._generators: list[AsyncGenerator[Any, Any]] = []
        self._hold_at_most = 64
        #: The run is being, or has been, dropped from memory.
        self.is_closing = False
        #: What the code still does is its way out, and none of it is recorded.
        self.is_over = False
        self._refused = 0
        self.context = Context()
        self.guard = Guard(self.taint) if conf.GUARD else Unguarded()
        #: Where the parts of a fork's log that it has copied end, those to come.
        self.edges: list[Edge] = []
        self.copied = 0
        self.is_copied = False
        self.chance = Chance(self)

    # -- bursts ---------------------------------------------------------------------

    def replay(self, history: Sequence[LogEvent]) -> list[LogEvent]:
        """Run the function against its whole log, as far as no retry made it void.

        Returns the commands that the log does not hold yet: those of the outcome of a
        claim, of a hook or a child's key, in the log's last burst. Raises RunBlocked.
        """
        return replay(self, history)

    def deliver(self, event: LogEvent) -> list[LogEvent]:
        """Deliver one new event. Returns the commands issued. Raises RunBlocked."""
        self.burst(event)
        return self.take_commands()

    def note(self, event: LogEvent) -> None:
        """Take notice of an entry that starts no burst, such as `step_started`."""
        if self.edges and (event.seq or 0) > self.edges[0].until:
            self.pass_edge()
        note(self, event)

    def close(self) -> None:
        """Drop the run from memory, on the thread that owns it."""
        if self.is_closing:
            return
        self.is_closing = self.is_over = True
        self.loop.forget_ready()
        tasks = [task for task in self.loop.tasks if not task.done()]
        stubborn: list[Any] = []

        def close() -> None:
            with self.guard:
                stubborn.extend(close_all(self.main, tasks, self._generators))

        try:
            self._on_loop(close)
        finally:
            self.loop.forget_ready()
        for target in stubborn:
            bury(target)

    def take_commands(self) -> list[LogEvent]:
        commands, self.commands = self.commands, []
        return commands

    def burst(self, event: LogEvent) -> None:
        if self.blocked is not None:
            raise RunBlocked(self.blocked)
        if self.end is not None:
            return
        if self.edges and (event.seq or 0) > self.edges[0].until:
            self.pass_edge()
        self.event = event
        if event.time > self.loop.now_us:
            self.loop.now_us = event.time
        self._on_loop(self._run_burst, event)
        if self.blocked is not None:
            raise RunBlocked(self.blocked)
        if self.main is not None and self.main.done() and self.end is None:
            self._finish(self.main)
            if self.blocked is not None:
                raise RunBlocked(self.blocked)

    def _on_loop(self, action: Callable[..., None], *args: Any) -> None:
        outer_loop = _get_running_loop()
        outer_hooks = sys.get_asyncgen_hooks()
        # What the collector finds has nothing to do with this run; what its finalizers
        # do must not be taken for the workflow's doing.
        is_collecting = gc.isenabled()
        gc.disable()
        _set_running_loop(self.loop)
        sys.set_asyncgen_hooks(self._hold, _keep)
        try:
            action(*args)
        finally:
            sys.set_asyncgen_hooks(*outer_hooks)
            _set_running_loop(outer_loop)
            if is_collecting:
                gc.enable()

    def _run_burst(self, event: LogEvent) -> None:
        try:
            HANDLERS[event.type](self, event)
            with self.guard:
                self._run_ready()
        except (Exception, BurstTimeout) as error:
            # Not the workflow's own error, which its task keeps: the event itself
            # could not be delivered to today's code.
            self.taint(error)
        except (SystemExit, KeyboardInterrupt) as error:
            self.taint(error)
            raise

    def _run_ready(self) -> None:
        while True:
            try:
                self.loop.run_ready(until=self.main)
                return
            except (SystemExit, KeyboardInterrupt) as error:
                # A task that ends with one of these keeps it, as any exception, but
                # asyncio raises it as well, which is meant for loops of a process.
                if is_from_outside(error) or not self.loop.has_raised(error):
                    raise
                if self.end is not None or (self.main and self.main.done()):
                    return

    def _hold(self, generator: AsyncGenerator[Any, Any]) -> None:
        """Async generators are closed with their run, never by the collector."""
        held = self._generators
        held.append(generator)
        if len(held) > self._hold_at_most:
            held[:] = [g for g in held if g.ag_frame is not None]  # type: ignore[attr-defined]
            self._hold_at_most = max(64, 2 * len(held))

    # -- a new epoch ----------------------------------------------------------------

    def pass_edge(self) -> None:
        """What follows in the log of a fork is its own."""
        edge = self.edges.pop(0)
        self.chance.passed += 1
        self.go_on_from(edge.cut_us, edge.time_us, {})

    def go_on_from(self, cut_us: int, time_us: int, attempts: dict[str, int]) -> None:
        """What is open goes on as if it had only just been called."""
        self.chance.begin_anew()
        for call in self.steps.values():
            call.begin_anew(attempts.get(call.id, 0), time_us)
        self.timers.go_on_from(cut_us, time_us)

    def require_known(self, event: LogEvent) -> None:
        """The end of something the code never issued; one it cancelled is fine."""
        if event.correlation_id not in self.known_ids:
            self.diverge(
                f"the log holds {told(event)}, which the code never issued", [event]
            )

    # -- commands out ---------------------------------------------------------------

    def call_step(
        self, step: Step[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> StepCall:
        """Issue a step call. Raises SerializationError for its arguments."""
        paused = self.guard.pause()
        try:
            self.require_task(step.name)
            payload = check_size(serialization.dumps_call(args, kwargs))
            step_id = self.next_id("step", step.name)
            detail = {"name": step.name}
            if step.settings.title:
                detail["title"] = step.settings.title
            event = self.issue(
                LogEvent(log.STEP_CREATED, step_id, detail=detail, payload=payload)
            )
            if event.payload is not None and not self.is_copied:
                payload = event.payload
            call = StepCall(self, event.correlation_id, step, payload)
            self.steps[call.id] = call
            return call
        finally:
            self.guard.unpause(paused)

    def set_attributes(self, changes: dict[str, Any]) -> None:
        """Merge plain JSON values into the run's attributes. Raises ValueError."""
        self.require_task("set_attributes()")
        merged = merged_attributes(self.info.attributes, changes)
        payload = serialization.dumps(changes, root="attributes")
        self.issue(LogEvent(log.ATTRIBUTES_SET, payload=payload))
        self.info.attributes = merged

    def continue_as_new(
        self, args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> NoReturn:
        """End the run here; a successor starts with these arguments.

        Raises TypeError and SerializationError for them, and then nothing has ended.
        """
        paused = self.guard.pause()
        try:
            self.require_task("continue_as_new()")
            payload = check_successor(self.workflow, args, kwargs)
        finally:
            self.guard.unpause(paused)
        if not self.is_over:
            self._record_end(LogEvent(log.RUN_CONTINUED, payload=payload))
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
        self._record_end(end)

    def end_with(self, end: LogEvent) -> None:
        """The run has ended by this entry of its log."""
        self.end = end
        self.is_over = True

    def _record_end(self, end: LogEvent) -> None:
        """Record how the run ends, or compare that with the log while replaying."""
        end.time = self.loop.now_us
        self.end_with(end)
        if self.recorded is None:
            self.commands.append(end)
            return
        for event in self.recorded.left():
            if event.type == end.type:
                self.recorded.take(event)
                return
        left = self.recorded.left()
        self.diverge(
            f"the code ended with {end.type} where the log holds " + told_all(left),
            left,
        )

    def issue(self, event: LogEvent) -> LogEvent:
        """Record a command, or find the recorded one while replaying."""
        self.require_open()
        if self.is_over:
            return event
        self.known_ids.add(event.correlation_id)
        event.time = self.loop.now_us
        if self.recorded is None:
            self.commands.append(event)
            return event
        found = self.recorded.take(event)
        if found is None:
            left = self.recorded.left()
            raise self.diverge(
                f"the code issued {told(event)} where the log holds " + told_all(left),
                left,
            )
        self.known_ids.add(found.correlation_id)
        return found

    def next_id(self, kind: str, name: str) -> str:
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
        self.taint(error)
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

    def require_task(self, name: str) -> None:
        self.require_open()
        if not self.is_over and asyncio.current_task(self.loop) is None:
            self.refuse(
                name,
                "it was called from a callback or a finalizer, outside of the run's "
                "tasks: call it in the workflow function or in a task of it",
            )

    def diverge(self, what: str, left: Sequence[LogEvent] = ()) -> NonDeterminismError:
        """Block the run, because its code does something else than its log says.

        `left` are the entries of the log that have no partner in the code.
        """
        if asyncio.current_task(self.loop) is None:
            location = self.waiting_location()
        else:
            location = workflow_location()
        error = divergence(self.workflow.name, what, left, self.event, location)
        self.taint(error)
        return error

    def waiting_location(self) -> tuple[str, int]:
        """Where the workflow function itself has got to."""
        code = self.workflow.func.__code__
        frame = None if self.main is None else self.main.get_coro().cr_frame  # type: ignore[union-attr]
        return code.co_filename, frame.f_lineno if frame else code.co_firstlineno

    def taint(self, error: BaseException) -> None:
        if self.blocked is None and not self.is_closing:
            self.blocked = error

    def interrupt(self, stack: str, frame: FrameType | None) -> None:
        """Called by the watchdog: the burst in progress does not come to an end.

        `frame` is what its thread is at.
        """
        file, line = "", 0
        if frame is not None:
            file, line = workflow_location(frame)
        self.taint(
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

    def decode(self, payload: bytes | None) -> Any:
        return None if payload is None else serialization.loads(payload)


def _keep(generator: AsyncGenerator[Any, Any]) -> None:
    """The collector leaves async generators alone: their run closes them."""


#: How often a dropped run's code is refused before it is left waiting.
_REFUSALS = 100
__all__ = ["BurstTimeout", "Execution", "Operation", "RunBlocked", "RunInfo"]
