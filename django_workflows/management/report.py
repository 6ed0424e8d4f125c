"""A run as people want to see it: how it stands and why, and what it has done."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import datetime
from typing import Any

from rich.console import Group, RenderableType
from rich.text import Text

from django_workflows.api.serializers import run_detail
from django_workflows.management.output import Output, cell, short
from django_workflows.models import Run
from django_workflows.store.health import database_now
from django_workflows.store.operations import Attempt, Operation
from django_workflows.store.people.deeds import who_ended
from django_workflows.store.situations import cause_of, waiting_for
from django_workflows.store.timeline import timeline

_COLUMNS = ("seq", "what", "name", "status", "began", "took", "note")
#: Those that a narrow terminal may do without, the most wanted first.
_SPARE = ("note", "took", "what", "seq", "began")


class RunReport:
    """How a run stands at this moment."""

    def __init__(self, run: Run) -> None:
        self._operations = timeline(run)
        self._waiting_for = waiting_for(run, self._operations)
        self._cause = cause_of(run)
        self._ended_by = who_ended(run)
        self._detail = run_detail(run, {})
        self._run = run
        self._now = database_now()

    def as_json(self) -> dict[str, Any]:
        """The run as the REST API shows it, with what it waits for, the cause of its
        end, who brought that about and its timeline."""
        return {
            **self._detail,
            "waiting_for": self._waiting_for,
            "cause": None if self._cause is None else self._cause.as_json(),
            "ended_by": self._ended_by or None,
            "timeline": [operation.as_json() for operation in self._operations],
        }

    def write(self, output: Output) -> None:
        """Write it to a terminal or a file."""
        for line in self._header():
            output.line(line)
        if self._operations:
            output.line()
            output.table(_COLUMNS, self._rows(), _SPARE)

    def drawn(self, output: Output) -> RenderableType:
        """The same, for a terminal that shows it again and again."""
        header = [Text(output.writable(line)) for line in self._header()]
        return Group(*header, output.drawn(_COLUMNS, self._rows(), _SPARE))

    def _header(self) -> Iterator[str]:
        run, detail = self._run, self._detail
        blocked = ", blocked" if run.blocked_reason and not run.is_closed else ""
        yield f"run:       {run.pk}"
        version = f" (version {run.version})" if run.version else ""
        yield f"workflow:  {run.workflow}{version}"
        yield f"status:    {run.status}{blocked}"
        attempt = f", attempt {run.attempt}" if run.attempt > 1 else ""
        yield f"queue:     {run.queue}{attempt}"
        for name in ("key", "parent", "continued_from", "attributes"):
            if detail[name]:
                yield f"{name + ':':<10} {cell(detail[name])}"
        yield f"created:   {cell(run.created_at)}"
        if run.started_at is not None:
            took = self._took(run.started_at, run.finished_at)
            yield f"started:   {cell(run.started_at)}, {took}"
        if run.finished_at is not None:
            yield f"finished:  {cell(run.finished_at)}"
        yield f"input:     {_call(detail['args'], detail['kwargs'])}"
        if run.status == Run.Status.COMPLETED:
            yield f"output:    {short(_text(detail['output']))}"
        if self._ended_by:
            yield f"ended by:  {self._ended_by}"
        if self._cause is not None:
            yield f"cause:     {self._cause.text}"
            for line in self._cause.lines:
                yield f"           at {line}"
                if line.code:
                    yield f"               {line.code}"
        if self._waiting_for:
            yield self._waiting_for

    def _rows(self) -> Iterator[tuple[Any, ...]]:
        for operation in self._operations:
            yield (
                operation.seq,
                operation.kind,
                operation.name or operation.id,
                operation.status,
                operation.created_at,
                self._took(operation.created_at, operation.finished_at),
                _note(operation),
            )
            if len(operation.attempts) > 1:
                for attempt in operation.attempts:
                    yield self._attempt(attempt)

    def _attempt(self, attempt: Attempt) -> tuple[Any, ...]:
        return (
            None,
            "",
            f"  attempt {attempt.number}",
            attempt.outcome,
            attempt.started_at,
            self._took(attempt.started_at, attempt.finished_at),
            _error(attempt.error),
        )

    def _took(self, begin: datetime, end: datetime | None) -> str:
        seconds = ((end or self._now) - begin).total_seconds()
        return f"{max(seconds, 0):,.3f} s"


def _note(operation: Operation) -> str:
    if operation.kind == "wait":
        return f"until {cell(operation.due_at)}"
    if operation.kind == "child":
        return f"{operation.run_id} {_error(operation.error)}".rstrip()
    if operation.kind == "hook":
        metadata = cell(operation.metadata)
        return f"{operation.received} received {metadata}".rstrip()
    return _error(operation.error)


def _error(error: dict[str, str] | None) -> str:
    return "" if error is None else short(f"{error['type']}: {error['message']}")


def _call(args: list[Any], kwargs: dict[str, Any]) -> str:
    given = [*map(_text, args), *(f"{name}={_text(v)}" for name, v in kwargs.items())]
    return short(", ".join(given)) or "nothing"


def _text(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False)
