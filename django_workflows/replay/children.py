"""Child runs: started by workflow code, each with a log of its own."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

from django_workflows.core import failures
from django_workflows.core.ids import timed_id
from django_workflows.errors import (
    ChildWorkflowError,
    WorkflowRunCancelledError,
    WorkflowRunTerminatedError,
    WorkflowRunTimedOutError,
)
from django_workflows.replay import events as log
from django_workflows.replay.events import LogEvent
from django_workflows.replay.operations import Operation
from django_workflows.replay.starts import Start, prepare

if TYPE_CHECKING:
    from django_workflows.replay.definitions import Workflow
    from django_workflows.replay.execution import Execution

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
#: Ends of a child that are no failure of its code: how to say it, and the cause.
_CAUSES = {
    "cancelled": ("was cancelled", WorkflowRunCancelledError),
    "terminated": ("was terminated", WorkflowRunTerminatedError),
    "timed_out": ("reached its deadline", WorkflowRunTimedOutError),
}


class ChildHandle(Operation):
    """A child run. Awaiting it gives what it returns, any number of times.

    An await raises ChildWorkflowError, with the reason as its cause, for a child that
    failed, timed out, was cancelled or terminated. ``run_id`` is known at once.
    """

    def __init__(
        self, execution: Execution, operation_id: str, run_id: str, start: Start
    ) -> None:
        super().__init__(execution, operation_id)
        self.run_id = run_id
        self.start = start
        #: An earlier call, whose child this one is too: it had the key already.
        self.follows = ""
        self._is_cancelling = False

    def cancel(self) -> None:
        """Ask the child to stop. Awaiting it still gives what becomes of it.

        Cancelling an await of it asks too, and does not wait.
        """
        self.execution.require_open()
        if not self.future.done():
            self.cancel_requested()

    def cancel_requested(self) -> None:
        if not self._is_cancelling:
            self._is_cancelling = True
            if not self.execution.is_over:
                self.execution.issue(_cancel_event(self))

    def ended(self, event: LogEvent) -> None:
        """Called by the execution: the child has ended as `event` tells."""
        if event.type == log.CHILD_COMPLETED:
            self.succeed(self.execution.decode(event.payload))
            return
        child = f"child run {self.run_id} of {self.start.workflow.name}"
        status = event.detail.get("status", "failed")
        if status in _CAUSES:
            how, error = _CAUSES[status]
            message = f"{child} {how}"
            cause: BaseException = error(message, run_id=self.run_id)
        else:
            payload = event.payload or b""
            cause = failures.rebuild(payload)
            message = f"{child} failed: {failures.Failure.of(payload)}"
        self.fail(ChildWorkflowError(message, run_id=self.run_id, cause=cause))


class Children:
    """The children of a run that have not ended, by the call that started them."""

    def __init__(self) -> None:
        self.open: dict[str, ChildHandle] = {}
        self.issued = 0
        #: Some child has to be told when this run ends.
        self.have_policy = False
        self._followers: dict[str, list[str]] = {}

    def add(self, handle: ChildHandle) -> None:
        self.issued += 1
        self.open[handle.id] = handle
        if handle.start.options.parent_close_policy != "abandon":
            self.have_policy = True

    def claimed(self, event: LogEvent) -> str | None:
        """Take in the outcome of a start under a key.

        The child may be one that this run has started before: returns the call that
        did. That the key is somebody else's is told by a `child_failed`.
        """
        handle = self.open.get(event.correlation_id)
        follows: str | None = event.detail.get("follows")
        if handle is None or follows is None:
            return None
        handle.follows = follows
        handle.run_id = event.detail["held_by"]
        self._followers.setdefault(follows, []).append(handle.id)
        return follows

    def take(self, call_id: str) -> list[ChildHandle]:
        """The handles of a child that has ended, which is forgotten."""
        ids = [call_id, *self._followers.pop(call_id, ())]
        return [self.open.pop(each) for each in ids if each in self.open]


def start_child(
    execution: Execution,
    workflow: Workflow[..., Any],
    args: tuple[Any, ...],
    kwargs: dict[str, Any],
) -> ChildHandle:
    """Issue the start of a child run. Raises what `prepare` raises for it."""
    paused = execution.guard.pause()
    try:
        execution.require_task(workflow.name)
        start = prepare(
            workflow,
            args,
            kwargs,
            _EPOCH + timedelta(microseconds=execution.loop.now_us),
        )
        call_id = execution.next_id("child", workflow.name)
        run_id = timed_id(
            "wrun",
            execution.loop.now_us // 1000,
            execution.children.issued,
            execution.chance.child_secret(call_id),
        )
        event = execution.issue(_created_event(call_id, run_id, start))
        handle = ChildHandle(
            execution, event.correlation_id, event.detail["run_id"], start
        )
        execution.children.add(handle)
        return handle
    finally:
        execution.guard.unpause(paused)


def _created_event(call_id: str, run_id: str, start: Start) -> LogEvent:
    """The command that starts a child."""
    options = start.options
    detail: dict[str, Any] = {"name": start.workflow.name, "run_id": run_id}
    if options.key is not None:
        detail["key"] = options.key
    if options.parent_close_policy != "cancel":
        detail["parent_close_policy"] = options.parent_close_policy
    return LogEvent(log.CHILD_CREATED, call_id, detail=detail, payload=start.input)


def _cancel_event(handle: ChildHandle) -> LogEvent:
    """The command that asks a child to stop."""
    detail = {"follows": handle.follows} if handle.follows else {}
    return LogEvent(log.CHILD_CANCEL_REQUESTED, handle.id, detail=detail)


def is_claim(event: LogEvent) -> bool:
    """Whether only the commit tells if this child starts: its key may be held."""
    return event.type == log.CHILD_CREATED and "key" in event.detail
