"""Every error of the public API.

    WorkflowError
    ├── FatalError                    raised by a step: do not retry
    ├── RetryableError                raised by a step: retry after this delay
    │   └── FetchStatusError
    ├── StepError                     stands for an exception that can't be rebuilt
    ├── StepFailedError               the circumstances of a step's failure
    ├── StepTimeoutError
    ├── StepCrashedError
    ├── StepCancelledError
    ├── ChildWorkflowError
    ├── SerializationError
    │   └── PayloadTooLargeError
    ├── UnknownCodeError
    ├── ModelGoneError
    ├── HistoryLimitError
    ├── NonDeterminismError
    ├── WorkflowGuardError
    ├── WorkflowNotRegisteredError
    ├── InvalidDefinitionError        also a ValueError
    ├── DuplicateRunError
    ├── InvalidRunStateError
    ├── WorkflowRunNotFoundError
    ├── WorkflowRunFailedError
    ├── WorkflowRunCancelledError
    ├── WorkflowRunTerminatedError
    ├── WorkflowRunTimedOutError
    ├── HookNotFoundError
    ├── HookConflictError
    └── HookDisposedError

Each class has a ``code`` that never changes, for programs to look at.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import ClassVar

from django_workflows.core.durations import Duration, to_seconds


class WorkflowError(Exception):
    """The root of all errors that this package raises on purpose."""

    code: ClassVar[str] = "workflow_error"


class FatalError(WorkflowError):
    """Raised by a step to fail at once: no retries, whatever its policy says."""

    code = "fatal"


class RetryableError(WorkflowError):
    """Raised by a step to be retried after a delay of its own choosing.

    ``retry_after`` is a duration or an aware ``datetime``; without it the step's
    retry policy decides. Raises ``ValueError`` if it is neither.
    """

    code = "retryable"

    def __init__(
        self, message: str = "", *, retry_after: Duration | datetime | None = None
    ) -> None:
        super().__init__(message)
        if isinstance(retry_after, datetime):
            if retry_after.utcoffset() is None:
                raise ValueError(f"naive datetime: {retry_after!r}; give it a zone")
        elif retry_after is not None:
            to_seconds(retry_after)
        self.retry_after = retry_after


class FetchStatusError(RetryableError):
    """A server's answer to ``fetch`` says failure.

    ``status`` is its number, ``excerpt`` the beginning of its body, as text.
    """

    code = "fetch_status"

    def __init__(
        self,
        message: str = "",
        *,
        status: int = 0,
        excerpt: str = "",
        retry_after: Duration | datetime | None = None,
    ) -> None:
        super().__init__(message, retry_after=retry_after)
        self.status = status
        self.excerpt = excerpt


class StepError(WorkflowError):
    """Stands for a step's exception that cannot be rebuilt in this process.

    ``type_name`` is the dotted name of the original class, ``traceback`` its text.
    """

    code = "step_error"

    def __init__(
        self, message: str = "", *, type_name: str = "", traceback: str = ""
    ) -> None:
        super().__init__(message)
        self.type_name = type_name
        self.traceback = traceback


class StepFailedError(WorkflowError):
    """The ``__cause__`` of the exception that a failed step raises in a workflow.

    What the step itself raised that exception ``from`` is the cause of this one.
    """

    code = "step_failed"

    def __init__(
        self,
        message: str = "",
        *,
        step_id: str = "",
        step_name: str = "",
        attempts: int = 0,
        traceback: str = "",
    ) -> None:
        super().__init__(message)
        self.step_id = step_id
        self.step_name = step_name
        self.attempts = attempts
        self.traceback = traceback


class StepTimeoutError(WorkflowError):
    """A step took longer than allowed; its last error, if any, is the cause.

    ``kind`` tells which limit: ``"start_to_close"``, ``"schedule_to_start"``,
    ``"schedule_to_close"`` or ``"heartbeat"``.
    """

    code = "step_timed_out"

    def __init__(self, message: str = "", *, kind: str = "") -> None:
        super().__init__(message)
        self.kind = kind


class StepCrashedError(WorkflowError):
    """A step's process died under it too often; look for memory use or segfaults."""

    code = "step_crashed"


class StepCancelledError(WorkflowError):
    """The step was cancelled; raised by ``heartbeat()`` so that it can clean up."""

    code = "step_cancelled"


class ChildWorkflowError(WorkflowError):
    """A child run did not complete; ``cause`` is why, ``run_id`` the child's."""

    code = "child_workflow_failed"

    def __init__(
        self,
        message: str = "",
        *,
        run_id: str = "",
        cause: BaseException | None = None,
    ) -> None:
        super().__init__(message)
        self.run_id = run_id
        self.cause = cause
        self.__cause__ = cause


class SerializationError(WorkflowError):
    """A value cannot be stored, or stored bytes are damaged; the message says where."""

    code = "serialization"


class PayloadTooLargeError(SerializationError):
    """A value needs more bytes than ``MAX_PAYLOAD_BYTES`` allows; pass a reference."""

    code = "payload_too_large"


class UnknownCodeError(WorkflowError):
    """A stored value needs a class or a key that this process does not have."""

    code = "unknown_code"


class ModelGoneError(WorkflowError):
    """A model instance that was passed on has been deleted in the meantime."""

    code = "model_gone"


class HistoryLimitError(WorkflowError):
    """The run failed because its log has grown to ``HISTORY_LIMIT`` events."""

    code = "history_limit"


class _CodeError(WorkflowError):
    """An error about workflow code at ``file`` and ``line``, where they are known."""

    def __init__(self, message: str = "", *, file: str = "", line: int = 0) -> None:
        super().__init__(message)
        self.file = file
        self.line = line


class NonDeterminismError(_CodeError):
    """Today's workflow code does not do what this run has already done.

    ``seq`` is the number of the log's event that does not fit, if there is one.
    """

    code = "non_determinism"

    def __init__(
        self,
        message: str = "",
        *,
        file: str = "",
        line: int = 0,
        seq: int | None = None,
    ) -> None:
        super().__init__(message, file=file, line=line)
        self.seq = seq


class WorkflowGuardError(_CodeError):
    """Workflow code did what only a step may do; the message names the call."""

    code = "workflow_guard"


class WorkflowNotRegisteredError(WorkflowError):
    """What was to be started is no registered workflow."""

    code = "workflow_not_registered"


class InvalidDefinitionError(WorkflowError, ValueError):
    """A workflow, step or definition is written wrongly; ``problems`` lists all."""

    code = "invalid_definition"

    def __init__(self, message: str = "", *, problems: Sequence[str] = ()) -> None:
        super().__init__(message or "; ".join(problems))
        self.problems = list(problems)


class _RunError(WorkflowError):
    """An error about one run, named by ``run_id``."""

    def __init__(self, message: str = "", *, run_id: str = "") -> None:
        super().__init__(message)
        self.run_id = run_id


class DuplicateRunError(_RunError):
    """The key is taken by the run ``run_id``, and the policy is to refuse."""

    code = "duplicate_run"


class InvalidRunStateError(_RunError):
    """What was asked of the run is impossible in its state; nothing was changed."""

    code = "invalid_run_state"


class WorkflowRunNotFoundError(_RunError):
    """There is no run with this id."""

    code = "run_not_found"


class WorkflowRunFailedError(_RunError):
    """The run failed; ``cause`` is the original exception where it can be rebuilt."""

    code = "run_failed"

    def __init__(
        self,
        message: str = "",
        *,
        run_id: str = "",
        cause: BaseException | None = None,
    ) -> None:
        super().__init__(message, run_id=run_id)
        self.cause = cause
        self.__cause__ = cause


class WorkflowRunCancelledError(_RunError):
    """The run whose result was asked for was cancelled."""

    code = "run_cancelled"


class WorkflowRunTerminatedError(_RunError):
    """The run whose result was asked for was terminated."""

    code = "run_terminated"


class WorkflowRunTimedOutError(_RunError):
    """The run whose result was asked for reached its deadline."""

    code = "run_timed_out"


class HookNotFoundError(WorkflowError):
    """No active hook has this token."""

    code = "hook_not_found"


class HookConflictError(WorkflowError):
    """The hook's ``token`` is already held by the run ``run_id``."""

    code = "hook_conflict"

    def __init__(self, message: str = "", *, token: str = "", run_id: str = "") -> None:
        super().__init__(message)
        self.token = token
        self.run_id = run_id


class HookDisposedError(WorkflowError):
    """The hook was disposed of and has no unread payload left."""

    code = "hook_disposed"
