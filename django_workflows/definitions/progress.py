"""How an execution stands, told by its log, in the shape of the original's objects."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django_workflows.core import serialization
from django_workflows.core.failures import Failure
from django_workflows.core.rendering import to_json
from django_workflows.core.serialization.names import display_name
from django_workflows.definitions.flow import Flow
from django_workflows.definitions.interpreter import ACTION, REFUSED
from django_workflows.definitions.schema import WorkflowDefinition
from django_workflows.errors import SerializationError, UnknownCodeError
from django_workflows.models import Run
from django_workflows.replay import events as log
from django_workflows.replay.epochs import effective
from django_workflows.replay.events import LogEvent
from django_workflows.store.database import connection
from django_workflows.store.history import read_logs, to_log_event

Status = dict[str, Any]
HistoryEntry = dict[str, Any]

_NAMES: dict[str, str] = {
    Run.Status.TERMINATED: "cancelled",
    Run.Status.TIMED_OUT: "failed",
}


def look(runs: Sequence[Run]) -> list[Status]:
    """How executions stand."""
    return [Log(run, events).status() for run, events in _logs(runs)]


def histories(runs: Sequence[Run]) -> list[list[HistoryEntry]]:
    """All that has happened in executions."""
    return [Log(run, events).history() for run, events in _logs(runs)]


@dataclass(frozen=True, slots=True)
class StepState:
    """How a step of an execution stands: waiting, running, completed, failed, skipped
    or cancelled; in how many attempts, and under which id in the log, if it is there.
    """

    status: str
    attempts: int
    call_id: str


def look_at_steps(run: Run) -> tuple[WorkflowDefinition, dict[str, StepState]]:
    """The definition that an execution runs, and how its steps stand that it has come
    to. Raises WorkflowError for an input that cannot be read here."""
    [(_, events)] = _logs([run])
    try:
        log_of_run = Log(run, events)
        return log_of_run.definition, log_of_run.step_states()
    except (LookupError, TypeError, ValueError) as error:
        name = display_name(type(error))
        raise SerializationError(f"damaged log: {name}") from error


def _logs(runs: Sequence[Run]) -> list[tuple[Run, list[LogEvent]]]:
    rows = read_logs(connection(), [run.pk for run in runs])
    found = []
    for run in runs:
        events = [to_log_event(row) for row in rows[run.pk]]
        found.append((run, [event for event in events if event.seq is not None]))
    return found


class Log:
    """The log of an execution."""

    def __init__(self, run: Run, events: Sequence[LogEvent]) -> None:
        self._run = run
        self._events = events
        args, _ = serialization.loads_call(events[0].payload or b"")
        _, content, self._given = args
        self.definition = WorkflowDefinition.model_validate(content)
        #: What was called, by the id in the log: the step's, the action, its params.
        self._calls: dict[str, tuple[str, Any, Any]] = {
            event.correlation_id: _call(event)
            for event in events
            if event.type == log.STEP_CREATED
            and event.detail.get("name") in (ACTION, REFUSED)
        }

    def status(self) -> Status:
        """The execution as the original shows it."""
        flow, attempts = self._told()
        run, steps = self._run, self.definition.steps
        ahead = [index for index, step in enumerate(steps) if not flow.is_past(step.id)]
        completed = run.status == Run.Status.COMPLETED
        return {
            "id": run.pk,
            "workflowId": self.definition.id,
            "status": status_of(run),
            "input": to_json(self._given, redact=False),
            "state": to_json(flow.outputs, redact=False),
            "output": to_json(flow.outputs, redact=False) if completed else None,
            "error": self._error(),
            "currentStepIndex": ahead[0] if ahead else len(steps),
            "completedSteps": list(flow.outputs),
            "stepResults": self._results(flow, attempts),
            "startedAt": _milliseconds(run.started_at),
            "completedAt": _milliseconds(run.finished_at),
            "history": self.history(),
        }

    def history(self) -> list[HistoryEntry]:
        """Every entry of the log, those included that a retry has made void."""
        return [
            {
                "timestamp": event.time // 1000,
                "type": event.type,
                "stepId": self._step_of(event),
                "data": self._data(event),
            }
            for event in self._events
        ]

    def _told(self) -> tuple[Flow, dict[str, int]]:
        """A flow that was told what has happened, and the attempts of steps."""
        flow = Flow(self.definition, self._given)
        attempts: dict[str, int] = {}
        flow.begin()
        for event in effective(self._events):
            step_id = self._step_of(event)
            if step_id is None or event.detail.get("late"):
                continue
            if event.type == log.STEP_CREATED:
                attempts.setdefault(step_id, 0)
            elif event.type == log.STEP_STARTED:
                attempts[step_id] = event.detail["attempt"]
            elif event.type == log.STEP_COMPLETED:
                flow.complete(step_id, _value(event.payload))
            elif event.type == log.STEP_FAILED:
                flow.fail(step_id, Failure.of(event.payload or b"").message)
        return flow, attempts

    def step_states(self) -> dict[str, StepState]:
        """By step: how it stands."""
        flow, attempts = self._told()
        ids = {call[0]: call_id for call_id, call in self._calls.items()}
        states = {step_id: each.status for step_id, each in flow.outcomes.items()}
        for step in flow.unsettled:
            if self._run.is_closed:
                states[step.id] = "cancelled"
            else:
                states[step.id] = "running" if step.id in attempts else "waiting"
        return {
            step_id: StepState(status, attempts.get(step_id, 0), ids.get(step_id, ""))
            for step_id, status in states.items()
        }

    def _results(self, flow: Flow, attempts: dict[str, int]) -> dict[str, Any]:
        results = {
            step_id: _result(
                outcome.status, attempts.get(step_id, 0), outcome.output, outcome.error
            )
            for step_id, outcome in flow.outcomes.items()
        }
        for step in flow.unsettled:
            if not self._run.is_closed:
                results[step.id] = _result("running", attempts.get(step.id, 0))
            elif step.id in attempts:
                results[step.id] = _result("cancelled", attempts[step.id])
        return results

    def _error(self) -> str | None:
        end = self._events[-1]
        if end.type == log.RUN_FAILED and end.payload is not None:
            return Failure.of(end.payload).message
        if end.type == log.RUN_TIMED_OUT:
            return "the deadline of the execution has passed"
        return None

    def _step_of(self, event: LogEvent) -> str | None:
        call = self._calls.get(event.correlation_id)
        return None if call is None else call[0]

    def _data(self, event: LogEvent) -> dict[str, Any]:
        if event.type == log.RUN_CREATED:
            return {"input": to_json(self._given, redact=False)}
        if event.type == log.STEP_CREATED:
            _, action, params = self._calls[event.correlation_id]
            return {"action": action, "params": params}
        data: dict[str, Any] = to_json(dict(event.detail), redact=False)
        if event.payload is None:
            return data
        if event.type in (log.STEP_COMPLETED, log.RUN_COMPLETED):
            data["output"] = to_json(_value(event.payload), redact=False)
        elif event.type in (log.STEP_FAILED, log.STEP_RETRYING, log.RUN_FAILED):
            data["error"] = Failure.of(event.payload).message
        return data


def status_of(run: Run) -> str:
    """How a run stands, in the original's words."""
    if run.status == Run.Status.RUNNING and run.is_waiting:
        return "waiting"
    return _NAMES.get(run.status, run.status)


def _call(event: LogEvent) -> tuple[str, Any, Any]:
    """The step's id, its action and its params. Nothing is built of what it was given:
    its classes may be gone."""
    args, _ = serialization.to_plain(event.payload or b"")
    if event.detail["name"] == REFUSED:
        return args[1], None, None
    return args[1], args[2], args[3]


def _value(payload: bytes | None) -> Any:
    """What a step has returned; as JSON if its class is gone."""
    if payload is None:
        return None
    try:
        return serialization.loads(payload)
    except UnknownCodeError:
        return serialization.to_plain(payload)


def _result(
    status: str, attempts: int, output: Any = None, error: Any = None
) -> dict[str, Any]:
    return {
        "status": status,
        "output": to_json(output, redact=False),
        "error": error,
        "retries": max(0, attempts - 1),
    }


def _milliseconds(moment: datetime | None) -> int | None:
    return None if moment is None else round(moment.timestamp() * 1000)
