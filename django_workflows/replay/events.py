"""One entry of a run's log, and what each type of entry means to replay."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

RUN_CREATED: Final = "run_created"
RUN_STARTED: Final = "run_started"
RUN_COMPLETED: Final = "run_completed"
RUN_FAILED: Final = "run_failed"
RUN_CANCELLED: Final = "run_cancelled"
RUN_TERMINATED: Final = "run_terminated"
RUN_TIMED_OUT: Final = "run_timed_out"
RUN_CONTINUED: Final = "run_continued"
RUN_PAUSED: Final = "run_paused"
RUN_RESUMED: Final = "run_resumed"
RUN_RETRIED: Final = "run_retried"
CANCEL_REQUESTED: Final = "cancel_requested"
WAKE_REQUESTED: Final = "wake_requested"
STEP_CREATED: Final = "step_created"
STEP_STARTED: Final = "step_started"
STEP_RETRYING: Final = "step_retrying"
STEP_TIMED_OUT: Final = "step_timed_out"
STEP_COMPLETED: Final = "step_completed"
STEP_FAILED: Final = "step_failed"
STEP_CANCELLED: Final = "step_cancelled"
HOOK_CREATED: Final = "hook_created"
HOOK_CONFLICT: Final = "hook_conflict"
HOOK_RECEIVED: Final = "hook_received"
HOOK_DISPOSED: Final = "hook_disposed"
HOOK_CARRIED: Final = "hook_carried"
WAIT_CREATED: Final = "wait_created"
WAIT_COMPLETED: Final = "wait_completed"
WAIT_CANCELLED: Final = "wait_cancelled"
CHILD_CREATED: Final = "child_created"
CHILD_CANCEL_REQUESTED: Final = "child_cancel_requested"
CHILD_COMPLETED: Final = "child_completed"
CHILD_FAILED: Final = "child_failed"
CHILD_CANCELLED: Final = "child_cancelled"
PATCH_RECORDED: Final = "patch_recorded"
ATTRIBUTES_SET: Final = "attributes_set"

#: What a workflow function's code causes: recorded after the event that led to it.
COMMANDS: Final = frozenset(
    {
        STEP_CREATED,
        STEP_CANCELLED,
        WAIT_CREATED,
        WAIT_CANCELLED,
        HOOK_CREATED,
        HOOK_CONFLICT,
        HOOK_DISPOSED,
        CHILD_CREATED,
        CHILD_CANCEL_REQUESTED,
        PATCH_RECORDED,
        ATTRIBUTES_SET,
        RUN_COMPLETED,
        RUN_FAILED,
        RUN_CANCELLED,
        RUN_CONTINUED,
    }
)
#: What is delivered to the workflow function, each in a burst of its own.
INPUTS: Final = frozenset(
    {
        RUN_STARTED,
        CANCEL_REQUESTED,
        WAKE_REQUESTED,
        STEP_COMPLETED,
        STEP_FAILED,
        HOOK_RECEIVED,
        WAIT_COMPLETED,
        CHILD_COMPLETED,
        CHILD_FAILED,
        CHILD_CANCELLED,
    }
)
#: Notes that tell whether the run stands still.
PAUSING: Final = frozenset({RUN_PAUSED, RUN_RESUMED})
#: The entries that end a run.
TERMINAL: Final = frozenset(
    {
        RUN_COMPLETED,
        RUN_FAILED,
        RUN_CANCELLED,
        RUN_TERMINATED,
        RUN_TIMED_OUT,
        RUN_CONTINUED,
    }
)
#: Every type of entry there is.
ALL: Final = (
    COMMANDS
    | INPUTS
    | PAUSING
    | TERMINAL
    | {RUN_CREATED, RUN_RETRIED, STEP_STARTED, STEP_RETRYING, STEP_TIMED_OUT}
    | {HOOK_CARRIED}
)

_NOTHING: Final[Mapping[str, Any]] = {}


class LogEvent:
    """An entry of a run's log, numbered once it is stored.

    ``time`` is in microseconds since the epoch, UTC. ``detail`` holds plain JSON
    values that belong to the engine, ``payload`` the user's value as encoded by
    :mod:`django_workflows.core.serialization`, or None. ``row_id`` is the key of the
    database row, known only for what came out of the database.
    """

    __slots__ = ("correlation_id", "detail", "payload", "row_id", "seq", "time", "type")

    def __init__(
        self,
        type: str,  # noqa: A002 (as the column is called)
        correlation_id: str = "",
        *,
        time: int = 0,
        detail: Mapping[str, Any] = _NOTHING,
        payload: bytes | None = None,
        seq: int | None = None,
        row_id: int | None = None,
    ) -> None:
        self.type = type
        self.correlation_id = correlation_id
        self.time = time
        self.detail = detail
        self.payload = payload
        self.seq = seq
        self.row_id = row_id

    @property
    def subject(self) -> str:
        """What the entry is about, for people: a name, or else an id. What a hook is
        named by is its token, a secret."""
        is_hook = self.type in (HOOK_CREATED, HOOK_CONFLICT)
        name: str = "" if is_hook else self.detail.get("name", "")
        return name or self.correlation_id

    def __repr__(self) -> str:
        number = "unnumbered" if self.seq is None else f"#{self.seq}"
        return f"<{number} {self.type} {self.subject}>"
