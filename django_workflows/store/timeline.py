"""What a run has done and is doing, operation by operation: steps with their attempts,
timers, hooks and children, as the log has them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import lru_cache

from django_workflows.core.rendering import error_to_json, metadata_to_json
from django_workflows.models import Event, Run, Step
from django_workflows.replay import events as log
from django_workflows.replay.epochs import effective
from django_workflows.replay.events import LogEvent
from django_workflows.store.database import alias, connection, to_datetime
from django_workflows.store.history import batches, outline, read_outline
from django_workflows.store.operations import OPEN, Attempt, Mark, Operation

#: The most rows that are asked for by their keys.
_BY_KEYS = 500

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
_FAILURES = {
    log.STEP_RETRYING,
    log.STEP_TIMED_OUT,
    log.STEP_FAILED,
    log.CHILD_FAILED,
}
#: What is asked of a run from outside.
_MARKS = {
    log.RUN_PAUSED,
    log.RUN_RESUMED,
    log.RUN_RETRIED,
    log.CANCEL_REQUESTED,
    log.WAKE_REQUESTED,
}


@dataclass(frozen=True, slots=True)
class Timeline:
    """The operations of a run that count, in the order in which they were called, and
    what was asked of it.

    What a retry in place has made void is left out; what is on its way to the log is
    there. Errors and metadata are not: see `add_payloads`.
    """

    operations: list[Operation]
    marks: list[Mark]


def timeline(run: Run) -> list[Operation]:
    """The operations of a run, with what they say went wrong and the metadata of hooks;
    otherwise as in `Timeline`."""
    operations = read_timeline(run).operations
    add_payloads(operations)
    return operations


def read_timeline(run: Run) -> Timeline:
    """What a run has done and is doing, without any payloads: as fast for a long log as
    it gets."""
    known = _read(run)
    if known is None:
        known = _read_with_retries(run)
    operations = list(known.by_id.values())
    _add_what_rows_say(run, operations)
    if run.is_closed:
        _end_with(run, operations)
    return Timeline(operations, known.marks)


@dataclass(frozen=True, slots=True)
class _Known:
    """What the log says of operations, and what was asked of the run."""

    by_id: dict[str, Operation] = field(default_factory=dict)
    marks: list[Mark] = field(default_factory=list)


def _read(run: Run) -> _Known | None:
    """None if a retry in place may have made some of the log void.

    No event is kept: the garbage collector would be at work with those of a long log
    for as long as all the rest takes.
    """
    known = _Known()
    for event in outline(connection(), run.pk):
        if event.type == log.RUN_RETRIED:
            return None
        if event.type in _MARKS:
            known.marks.append(_mark(event))
        _take(known.by_id, event)
    return known


def _read_with_retries(run: Run) -> _Known:
    numbered, unread = read_outline(connection(), run.pk)
    known = _Known()
    known.marks.extend(_mark(each) for each in numbered + unread if each.type in _MARKS)
    counting = effective(_readable(numbered))
    for events in (counting, unread):
        for event in events:
            _take(known.by_id, event)
    _end_attempts(known.by_id, numbered, {event.seq for event in counting})
    return known


def _readable(numbered: Sequence[LogEvent]) -> Sequence[LogEvent]:
    """The entries without retries of which nobody knows what they have made void."""
    if all("cut" in each.detail for each in numbered if each.type == log.RUN_RETRIED):
        return numbered
    return [
        event
        for event in numbered
        if event.type != log.RUN_RETRIED or "cut" in event.detail
    ]


def add_payloads(operations: Sequence[Operation]) -> None:
    """Add what went wrong, attempt by attempt, and the metadata of hooks."""
    wanted = {row: None for each in operations for row in _payload_rows(each)}
    events: dict[int | None, Event] = {}
    for part in batches(list(wanted)):
        rows = Event.objects.using(alias()).filter(pk__in=part, payload__isnull=False)
        events |= {event.pk: event for event in rows}
    for operation in operations:
        if operation.kind == "hook":
            if (event := events.get(operation.begin_row)) is not None:
                operation.metadata = metadata_to_json(
                    bytes(event.payload or b""), event.details.get("webhook")
                )
        elif (event := events.get(operation.end_row)) is not None:
            operation.error = _error(event)
        for attempt in operation.attempts:
            if (event := events.get(attempt.error_row)) is not None:
                attempt.error = _error(event)


def _payload_rows(operation: Operation) -> Iterator[int]:
    row = operation.begin_row if operation.kind == "hook" else operation.end_row
    if row is not None and (operation.kind == "hook" or operation.status == "failed"):
        yield row
    for attempt in operation.attempts:
        if attempt.error_row is not None:
            yield attempt.error_row


def _error(event: Event) -> dict[str, str]:
    error: dict[str, str] = error_to_json(bytes(event.payload or b""))
    return error


#: What happens in one round has one time.
_moment = lru_cache(maxsize=64)(to_datetime)


def _mark(event: LogEvent) -> Mark:
    cut, cut_us = event.detail.get("cut"), event.detail.get("cut_at")
    cut_at = None if cut_us is None else to_datetime(cut_us)
    return Mark(event.type, _moment(event.time), event.seq, cut, cut_at)


def _take(by_id: dict[str, Operation], event: LogEvent) -> None:
    """Take the events of a run in order."""
    kind = _KINDS.get(event.type)
    if kind is not None:
        by_id[event.correlation_id] = _begun(kind, event)
        return
    operation = by_id.get(event.correlation_id)
    if operation is None:
        return
    if event.type == log.STEP_STARTED:
        _begin_attempt(operation, event)
    elif event.type == log.HOOK_RECEIVED:
        operation.received += 1
    elif event.type in (log.STEP_RETRYING, log.STEP_TIMED_OUT):
        outcome = event.detail.get("reason") or "timed_out"
        _end_attempt(operation, event, outcome)
        if operation.attempts and (retry_at := event.detail.get("retry_at")):
            operation.attempts[-1].retry_at = to_datetime(retry_at)
    elif event.type in _ENDS and operation.is_open:
        operation.status = _ENDS[event.type]
        operation.finished_at = _moment(event.time)
        operation.end_row = event.row_id
        _end_attempt(operation, event, operation.status)


def _begun(kind: str, event: LogEvent) -> Operation:
    time, detail = _moment(event.time), event.detail
    operation = Operation(kind, event.correlation_id, "", event.seq, time)
    operation.begin_row = event.row_id
    if kind == "hook":
        if event.type == log.HOOK_CONFLICT:
            operation.status, operation.finished_at = "conflict", time
    elif kind == "wait":
        operation.name = detail.get("kind", "")
        if (due := detail.get("due")) is not None:
            operation.due_at = to_datetime(due)
    else:
        operation.name = detail.get("title", detail.get("name", ""))
        operation.run_id = detail.get("run_id", "")
    return operation


def _begin_attempt(operation: Operation, event: LogEvent) -> None:
    attempts = operation.attempts
    number = event.detail.get("attempt", len(attempts) + 1)
    if not attempts or attempts[-1].number < number:
        worker = event.detail.get("worker", "")
        attempts.append(Attempt(number, _moment(event.time), worker=worker))


def _end_attempts(
    by_id: dict[str, Operation], numbered: Sequence[LogEvent], counting: set[int | None]
) -> None:
    """Attempts ended as they did, even where a retry in place has made that void."""
    for event in numbered:
        operation = by_id.get(event.correlation_id)
        if operation is None or event.seq in counting or event.type not in _ENDS:
            continue
        time = _moment(event.time)
        for attempt in operation.attempts:
            if attempt.finished_at is None and attempt.started_at <= time:
                attempt.finished_at, attempt.outcome = time, _ENDS[event.type]
                attempt.error_row = event.row_id if event.type in _FAILURES else None
                break


def _end_attempt(operation: Operation, event: LogEvent, outcome: str) -> None:
    if operation.attempts and operation.attempts[-1].finished_at is None:
        attempt = operation.attempts[-1]
        attempt.finished_at, attempt.outcome = _moment(event.time), outcome
        if event.type in _FAILURES:
            attempt.error_row = event.row_id


def _add_what_rows_say(run: Run, operations: Sequence[Operation]) -> None:
    """How open steps and children stand at this moment."""
    open_ones = [operation for operation in operations if operation.is_open]
    steps = {each.id: each for each in open_ones if each.kind == "step"}
    children = {each.run_id: each for each in open_ones if each.kind == "child"}
    for pk, status in _statuses(Step, "run", run, steps):
        steps[pk].status = status
    for pk, status in _statuses(Run, "parent", run, children):
        children[pk].status = status


def _statuses(
    model: type[Step | Run], of: str, run: Run, ids: Iterable[str]
) -> Iterable[tuple[str, str]]:
    """How these rows stand. Many are found by their run, in a single query still."""
    rows = model._default_manager.using(alias())
    wanted = set(ids)
    if not wanted:
        return
    if len(wanted) <= _BY_KEYS:
        rows = rows.filter(pk__in=wanted)
    else:
        rows = rows.filter(**{of: run.pk})
    for pk, status in rows.values_list("pk", "status"):
        if pk in wanted:
            yield pk, status


def _end_with(run: Run, operations: Sequence[Operation]) -> None:
    """Timers, hooks and steps that were not begun end with their run."""
    for operation in operations:
        if operation.status in (OPEN, Step.Status.PENDING):
            operation.status = "cancelled"
            operation.finished_at = run.finished_at
