"""What is told of each step: its attempts, and what went in and came out."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django_workflows.admin.durations import in_words
from django_workflows.admin.payloads import Payload, payload_of, payload_text
from django_workflows.admin.run_page.addresses import events_addresses
from django_workflows.admin.run_page.arguments import named
from django_workflows.admin.run_page.subject import Subject
from django_workflows.admin.run_page.waterfall import outcome_of, status_of
from django_workflows.core.rendering import (
    error_to_json,
    payload_to_json,
    traceback_of,
)
from django_workflows.models import Event, Step
from django_workflows.replay.registry import registry
from django_workflows.store.database import alias
from django_workflows.store.operations import Attempt, Operation
from django_workflows.store.rendering import data_json
from django_workflows.store.short_payloads import (
    is_too_large,
    payload_in,
    with_payloads,
)


@dataclass(frozen=True, slots=True)
class AttemptRow:
    """An attempt of a step."""

    number: int
    look: str
    outcome: str
    started_at: datetime
    took: str
    worker: str
    #: When the next one begins, at the earliest.
    retry_at: datetime | None
    error_type: str
    message: Payload | None
    traceback: Payload | None


@dataclass(frozen=True, slots=True)
class Row:
    """A step with all its details."""

    id: str
    name: str
    look: str
    status: str
    queue: str
    created_at: datetime
    took: str
    waited: str
    attempts: list[AttemptRow]
    crashes: int
    input: Payload | None
    output: Payload | None
    heartbeat: Payload | None
    #: Some of it is too large to be shown here.
    is_cut: bool
    events: str
    is_open: bool


class StepRows:
    """Reads for all steps of a page at once what their rows and events say."""

    def __init__(self, subject: Subject, steps: Sequence[Operation]) -> None:
        self._subject = subject
        self._events_address = events_addresses(subject.request)
        found = Step.objects.using(alias()).filter(pk__in=[each.id for each in steps])
        self._rows = {
            row.pk: row for row in found.only("queue", "crashes", "heartbeat")
        }
        wanted = {row for each in steps for row in (each.begin_row, each.end_row)}
        wanted |= {attempt.error_row for each in steps for attempt in each.attempts}
        keys = [key for key in wanted if key is not None]
        events = Event.objects.using(alias()).filter(pk__in=keys)
        self._events: dict[int | None, Event] = {
            event.pk: event for event in with_payloads(events)
        }

    def row(self, step: Operation, *, is_open: bool) -> Row:
        look, status = status_of(step)
        row = self._rows.get(step.id)
        events = [self._events.get(key) for key in (step.begin_row, step.end_row)]
        end = step.finished_at or self._subject.run.finished_at or self._subject.now
        began = step.attempts[0].started_at if step.attempts else end
        is_completed = step.status == "completed"
        return Row(
            step.id,
            step.name,
            look,
            status,
            self._subject.run.queue if row is None else row.queue,
            step.created_at,
            in_words(end - step.created_at),
            in_words(began - step.created_at),
            [self._attempt(attempt, end) for attempt in step.attempts],
            0 if row is None else row.crashes,
            self._input(step.name, events[0]),
            self._output(events[1]) if is_completed else None,
            self._heartbeat(row),
            any(event is not None and is_too_large(event) for event in events),
            self._events_address(step.id),
            is_open,
        )

    def _attempt(self, attempt: Attempt, end: datetime) -> AttemptRow:
        look, outcome = outcome_of(attempt)
        event = self._events.get(attempt.error_row)
        sealed = None if event is None else payload_in(event)
        error: dict[str, str] = {} if sealed is None else error_to_json(sealed)
        shows = self._subject.shows_payloads and bool(error)
        traceback = traceback_of(sealed) if shows and sealed is not None else ""
        return AttemptRow(
            attempt.number,
            look,
            outcome,
            attempt.started_at,
            in_words((attempt.finished_at or end) - attempt.started_at),
            attempt.worker,
            attempt.retry_at,
            error.get("type", ""),
            payload_text(error["message"]) if shows else None,
            payload_text(traceback) if traceback else None,
        )

    def _input(self, name: str, event: Event | None) -> Payload | None:
        data = self._data(event)
        if data is None:
            return None
        step = registry.find_step(name)
        signature = None if step is None else step.signature
        return payload_of(dict(named(data["args"], data["kwargs"], signature)))

    def _output(self, event: Event | None) -> Payload | None:
        data = self._data(event)
        return None if data is None else payload_of(data["output"])

    def _data(self, event: Event | None) -> dict[str, Any] | None:
        if event is None or not self._subject.shows_payloads:
            return None
        event.payload = payload_in(event)
        if event.payload is None:
            return None
        return data_json(event, self._subject.run.workflow)

    def _heartbeat(self, row: Step | None) -> Payload | None:
        if row is None or row.heartbeat is None or not self._subject.shows_payloads:
            return None
        return payload_of(payload_to_json(bytes(row.heartbeat)))
