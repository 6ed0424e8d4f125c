"""What workflow code gets back from a call: something to await, any number of times."""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Generator
from typing import TYPE_CHECKING, Any

from django_workflows.core import failures
from django_workflows.errors import StepTimeoutError
from django_workflows.replay.events import STEP_CANCELLED, LogEvent
from django_workflows.replay.loop import WorkflowFuture

if TYPE_CHECKING:
    from django_workflows.replay.execution import Execution
    from django_workflows.replay.steps import Step


class OperationFuture(WorkflowFuture):
    """The outcome of an operation. Cancelling it cancels the operation."""

    def __init__(self, operation: Operation) -> None:
        super().__init__(loop=operation.execution.loop)
        self.operation = operation

    def cancel(self, msg: Any | None = None) -> bool:
        if self.done():
            return False
        self.operation.cancel_requested()
        return super().cancel(msg)


class Operation(Coroutine[Any, Any, Any]):
    """Something durable that was issued. Awaiting it gives its outcome.

    It is a Coroutine so that gather, create_task, TaskGroup, wait_for and shield all
    take it; unlike a coroutine it may be awaited again and again.
    """

    def __init__(self, execution: Execution, operation_id: str) -> None:
        self.execution = execution
        self.id = operation_id
        self.future = OperationFuture(self)
        self._driven: Generator[Any, Any, Any] | None = None

    def __hash__(self) -> int:
        return hash(self.future)

    def __await__(self) -> Generator[Any, Any, Any]:
        return self.future.__await__()

    def send(self, value: Any) -> Any:
        return self._drive(lambda driven: driven.send(value))

    def throw(self, *exc_info: Any) -> Any:
        return self._drive(lambda driven: driven.throw(*exc_info))

    def close(self) -> None:
        if self._driven is not None:
            self._driven.close()
            self._driven = None

    def _drive(self, action: Callable[[Generator[Any, Any, Any]], Any]) -> Any:
        if self._driven is None:
            self._driven = self.__await__()
        try:
            return action(self._driven)
        except BaseException:
            self._driven = None
            raise

    def cancel_requested(self) -> None:
        """The workflow's code cancelled this operation: record that it did."""
        raise NotImplementedError(f"{type(self).__name__} cannot be cancelled")

    def succeed(self, value: Any) -> None:
        if not self.future.done():
            self.future.set_result(value)

    def fail(self, error: BaseException) -> None:
        if not self.future.done():
            self.future.set_exception(error)
            # An operation that nobody awaits is no forgotten task.
            self.future._log_traceback = False


class StepCall(Operation):
    """One call of a step. The worker reads and keeps its progress here."""

    def __init__(
        self, execution: Execution, operation_id: str, step: Step[..., Any], args: bytes
    ) -> None:
        super().__init__(execution, operation_id)
        self.step = step
        #: The encoded arguments, and the time of the call in microseconds.
        self.args = args
        self.created_us = execution.loop.now_us
        #: Attempts begun so far, and those of them that count as errors.
        self.attempt = 0
        self.errors = 0
        self.crashes = 0
        #: The last of those errors as it was stored; of time-outs only the first.
        self.last_error: bytes | None = None
        #: The attempt in flight: its worker, else "" when none is.
        self.worker = ""
        self.started_us = 0
        #: When the next attempt is due, in microseconds.
        self.retry_us = 0
        #: The Step row decides about this attempt, not the run's fence.
        self.has_row = False
        #: The last crash makes it suspect: it runs again apart from all others.
        self.suspect = False

    def begin_anew(self, attempt: int, time_us: int) -> None:
        """Its run is retried: another attempt, as if those so far were none of its."""
        self.attempt = max(self.attempt, attempt)
        self.errors = self.crashes = 0
        self.last_error = None
        self.worker = ""
        self.created_us = self.retry_us = time_us
        self.has_row = self.suspect = False

    def error_before(self, timed_out: str | None) -> BaseException | None:
        """The cause of a time-out: the error of an attempt before it, if there is one.

        Time-outs of the same kind say nothing new.
        """
        if not timed_out or self.last_error is None:
            return None
        error = failures.rebuild(self.last_error)
        is_same = isinstance(error, StepTimeoutError) and error.kind == timed_out
        return None if is_same else error

    def cancel_requested(self) -> None:
        execution = self.execution
        if not execution.is_over and execution.steps.pop(self.id, None) is not None:
            execution.issue(LogEvent(STEP_CANCELLED, self.id))
