"""What a run has done and is doing, operation by operation: steps with their attempts,
timers, hooks and children, as the log has them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from django_workflows.core.rendering import error_to_json, metadata_to_json
from django_workflows.models import Event, Run, Step
from django_workflows.replay import events as log
from django_workflows.replay.epochs import effective
from django_workflows.replay.events import LogEvent
from django_workflows.store.database import alias, connection, to_datetime
from django_workflows.store.history import batches, read_outline

OPEN = "open"

#: Which events begin an operation, and of what kind it is.
_KINDS = {
    log.STEP_CREATED: "step",
    log.WAIT_CREATED: "wait",
    log.HOOK_CREATED: "hook",
    log.HOOK_CONFLICT: "hook",
    log.HOOK_CARRIED: "hook",
    log.CHILD_CREATED: "child",
}
#: Which events end one, and how.
_ENDS = {
    log.STEP_COMPLETED: "completed",
    log.STEP_FAILED: "failed",
    log.STEP_CANCELLED: "cancelled",
    log.WAIT_COMPLETED: "completed",
    log.WAIT_CANCELLED: "cancelled",
    log.HOOK_DISPOSED: "disposed",
    log.CHILD_COMPLETED: "completed",
    log.CHILD_FAILED: "failed",
    log.CHILD_CANCELLED: "cancelled",
}
#: Which events say what went wrong.
_FAILURES = (
    log.STEP_RETRYING,
    log.STEP_TIMED_OUT,
    log.STEP_FAILED,
    log.CHILD_FAILED,
)


@dataclass(slots=True)
class Attempt:
    """One attempt of a step. ``error`` has the type and message of what it raised."""

    number: int
    started_at: datetime
    finished_at: datetime | None = None
    #: ``running`` or ``completed``; ``cancelled`` or ``failed``; ``timed_out``; or why
    #: another one follows: ``error``, ``crash``, ``shutdown`` and the like.
    outcome: str = "running"
    error: dict[str, str] | None = None
    #: When the next one begins, at the earliest.
    retry_at: datetime | None = None


@dataclass(slots=True)
class Operation:
    """A step, a wait, a hook or a child, from the call in workflow code to its end."""

    kind: str
    id: str
    #: The name of a step or child's workflow, the kind of a wait; hooks have none.
    name: str
    #: The number of the event that begins it; None if that is not in the log yet.
    seq: int | None
    created_at: datetime
    status: str = OPEN
    finished_at: datetime | None = None
    attempts: list[Attempt] = field(default_factory=list)
    error: dict[str, str] | None = None
    #: When a wait is over.
    due_at: datetime | None = None
    #: The child.
    run_id: str = ""
    #: Payloads that a hook has received.
    received: int = 0
    #: What the workflow said about a hook, as JSON data.
    metadata: Any = None

    @property
    def is_open(self) -> bool:
        return self.finished_at is None

    def as_json(self) -> dict[str, Any]:
        """Plain JSON values: what there is of it."""
        shown: dict[str, Any] = {
            "kind": self.kind,
            "id": self.id,
            "name": self.name,
            "seq": self.seq,
            "status": self.status,
            "created_at": self.created_at.isoformat(),
            "finished_at": _iso(self.finished_at),
        }
        if self.kind == "step":
            shown["error"] = self.error
            shown["attempts"] = [
                {
                    "number": attempt.number,
                    "outcome": attempt.outcome,
                    "started_at": attempt.started_at.isoformat(),
                    "finished_at": _iso(attempt.finished_at),
                    "retry_at": _iso(attempt.retry_at),
                    "error": attempt.error,
                }
                for attempt in self.attempts
            ]
        elif self.kind == "wait":
            shown["due_at"] = _iso(self.due_at)
        elif self.kind == "hook":
            shown |= {"received": self.received, "metadata": self.metadata}
        else:
            shown |= {"run_id": self.run_id, "error": self.error}
        return shown


def timeline(run: Run) -> list[Operation]:
    """The operations of a run that count, in the order in which they were called.

    What a retry in place has made void is left out; what is on its way to the log is
    there.
    """
    numbered, unread = read_outline(connection(), run.pk)
    found = _Operations(_errors(run))
    for event in [*effective(numbered), *unread]:
        found.take(event)
    operations = list(found.by_id.values())
    _add_metadata(run, operations)
    _add_what_rows_say(run, operations)
    if run.is_closed:
        _end_with(run, operations)
    return operations


def _errors(run: Run) -> dict[int, dict[str, str]]:
    """What events say went wrong, by the keys of their rows."""
    events = Event.objects.using(alias()).filter(
        run_id=run.pk, type__in=_FAILURES, payload__isnull=False
    )
    return {
        event.pk: error_to_json(bytes(event.payload or b""))
        for event in events.only("payload")
    }


class _Operations:
    """Takes the events of a run in order."""

    def __init__(self, errors: dict[int, dict[str, str]]) -> None:
        self._errors = errors
        self.by_id: dict[str, Operation] = {}

    def take(self, event: LogEvent) -> None:
        kind = _KINDS.get(event.type)
        if kind is not None:
            self._begin(kind, event)
            return
        operation = self.by_id.get(event.correlation_id)
        if operation is None:
            return
        time = to_datetime(event.time)
        if event.type == log.STEP_STARTED:
            number = event.detail["attempt"]
            if not any(each.number == number for each in operation.attempts):
                operation.attempts.append(Attempt(number, time))
            return
        error = self._errors.get(event.row_id or 0)
        if event.type == log.HOOK_RECEIVED:
            operation.received += 1
        elif event.type in (log.STEP_RETRYING, log.STEP_TIMED_OUT):
            outcome = event.detail.get("reason") or "timed_out"
            self._end_attempt(operation, time, outcome, error)
            if operation.attempts and (retry_at := event.detail.get("retry_at")):
                operation.attempts[-1].retry_at = to_datetime(retry_at)
        elif event.type in _ENDS and operation.is_open:
            operation.status = _ENDS[event.type]
            operation.finished_at = time
            operation.error = error
            self._end_attempt(operation, time, operation.status, error)

    def _begin(self, kind: str, event: LogEvent) -> None:
        time, detail = to_datetime(event.time), event.detail
        operation = Operation(kind, event.correlation_id, "", event.seq, time)
        if kind == "hook":
            if event.type == log.HOOK_CONFLICT:
                operation.status, operation.finished_at = "conflict", time
        elif kind == "wait":
            operation.name = detail["kind"]
            operation.due_at = to_datetime(detail["due"])
        else:
            operation.name = detail["name"]
            operation.run_id = detail.get("run_id", "")
        self.by_id[operation.id] = operation

    @staticmethod
    def _end_attempt(
        operation: Operation, time: datetime, outcome: str, error: dict[str, str] | None
    ) -> None:
        if operation.attempts and operation.attempts[-1].finished_at is None:
            attempt = operation.attempts[-1]
            attempt.finished_at, attempt.outcome, attempt.error = time, outcome, error


def _add_metadata(run: Run, operations: Sequence[Operation]) -> None:
    hooks = {operation.id: operation for operation in operations if _is_hook(operation)}
    if not hooks:
        return
    events = Event.objects.using(alias()).filter(
        run_id=run.pk,
        type__in=(log.HOOK_CREATED, log.HOOK_CONFLICT, log.HOOK_CARRIED),
        payload__isnull=False,
    )
    for event in events:
        if event.correlation_id in hooks:
            hooks[event.correlation_id].metadata = metadata_to_json(
                bytes(event.payload or b""), event.details.get("webhook")
            )


def _is_hook(operation: Operation) -> bool:
    return operation.kind == "hook"


def _add_what_rows_say(run: Run, operations: Sequence[Operation]) -> None:
    """How open steps and children stand at this moment."""
    open_ones = [operation for operation in operations if operation.is_open]
    steps = {each.id: each for each in open_ones if each.kind == "step"}
    children = {each.run_id: each for each in open_ones if each.kind == "child"}
    for pk, status in _statuses(Step, steps):
        steps[pk].status = status
    for pk, status in _statuses(Run, children):
        children[pk].status = status


def _statuses(model: type[Step | Run], ids: Iterable[str]) -> Iterable[tuple[str, str]]:
    for part in batches(sorted(ids)):
        rows = model._default_manager.using(alias()).filter(pk__in=part)
        yield from rows.values_list("pk", "status")


def _end_with(run: Run, operations: Sequence[Operation]) -> None:
    """Timers, hooks and steps that were not begun end with their run."""
    for operation in operations:
        if operation.status in (OPEN, Step.Status.PENDING):
            operation.status = "cancelled"
            operation.finished_at = run.finished_at


def _iso(time: datetime | None) -> str | None:
    return None if time is None else time.isoformat()
