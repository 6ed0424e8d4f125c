"""Runs and events as JSON for people; see ``core.rendering``.

Tokens of hooks are left out: whoever has one can send to the run.
"""

from __future__ import annotations

import inspect
from collections.abc import Sequence
from typing import Any

from django_workflows.core.details import UNREADABLE
from django_workflows.core.rendering import (
    call_to_json,
    error_to_json,
    metadata_to_json,
    payload_to_json,
    text_to_show,
    to_json,
)
from django_workflows.core.serialization.hiding import HIDDEN
from django_workflows.models import Event, Run, Schedule, Step
from django_workflows.models.event import PAYLOAD_NAMES
from django_workflows.replay import events as log
from django_workflows.replay.registry import registry
from django_workflows.store.database import alias
from django_workflows.store.history import sealed_end, sealed_input


def run_call(run: Run) -> dict[str, Any]:
    """A run's `args` and `kwargs`; its `output`, None while it has not completed; and
    the `error` with its type and message, None unless it has failed."""
    signature = _workflow_signature(run.workflow)
    call = {**call_to_json(sealed_input(run), signature), "output": None, "error": None}
    if run.status == Run.Status.COMPLETED:
        call["output"] = payload_to_json(sealed_end(run))
    elif run.status == Run.Status.FAILED:
        call["error"] = error_to_json(sealed_end(run))
    return call


def schedule_call(schedule: Schedule) -> dict[str, Any]:
    """The `args` and `kwargs` of a schedule's runs. Raises WorkflowError where this
    process could not make them."""
    if not (schedule.args or schedule.kwargs):
        return {"args": [], "kwargs": {}}
    sealed = bytes(schedule.sealed_input or b"")
    return call_to_json(sealed, _workflow_signature(schedule.workflow))


def schedule_error(schedule: Schedule) -> str:
    """Why the last start of a schedule failed; empty if it did not."""
    return text_to_show(schedule.last_error)


def event_json(event: Event, workflow: str) -> dict[str, Any]:
    """An event of a run of this workflow: `seq, type, correlation_id, data` and
    `created_at`."""
    return {
        "seq": event.seq,
        "type": event.type,
        "correlation_id": event.correlation_id,
        "data": data_json(event, workflow),
        "created_at": event.created_at.isoformat(),
    }


def data_json(event: Event, workflow: str) -> dict[str, Any]:
    """What an event of a run of this workflow says, as `Event.data` does."""
    details = event.details
    data: dict[str, Any] = to_json(_for_clients(event.type, details))
    if event.payload is None:
        return data
    payload = bytes(event.payload)
    name = PAYLOAD_NAMES.get(event.type)
    if name is None:
        data["error"] = error_to_json(payload)
    elif name == "input":
        data |= call_to_json(payload, _signature(event.type, details, workflow))
    elif name == "metadata":
        data[name] = metadata_to_json(payload, details.get("webhook"))
    else:
        data[name] = payload_to_json(payload)
    return data


def step_calls(run: Run, steps: Sequence[Step]) -> dict[str, dict[str, Any]]:
    """By the id of a step: its `args` and `kwargs`, its `output` and its `error`, which
    is its last one while it is tried again."""
    calls: dict[str, dict[str, Any]] = {
        step.pk: {"args": [], "kwargs": {}, "output": None, "error": None}
        for step in steps
    }
    signatures = {step.pk: _step_signature(step.name) for step in steps}
    events = Event.objects.using(alias()).filter(
        run_id=run.pk, correlation_id__in=list(calls), payload__isnull=False
    )
    # In the order in which they were stored: those on their way have no number yet.
    for event in events.order_by("id"):
        call, payload = calls[event.correlation_id], bytes(event.payload or b"")
        if event.type == log.STEP_CREATED:
            call |= call_to_json(payload, signatures[event.correlation_id])
        elif event.type == log.STEP_COMPLETED:
            call |= {"output": payload_to_json(payload), "error": None}
        else:
            call["error"] = error_to_json(payload)
    return calls


def _for_clients(kind: str, details: dict[str, Any]) -> dict[str, Any]:
    """What anybody may know who may see the run: neither tokens nor who did something,
    which names users and, by who sat at the command line, machines."""
    if UNREADABLE in details:
        # Where such things belong, they may be.
        is_secret = kind.startswith("hook_") or '"by"' in str(details[UNREADABLE])
        text = HIDDEN if is_secret else text_to_show(str(details[UNREADABLE]))
        return {UNREADABLE: text}
    details = {k: value for k, value in details.items() if k not in ("by", "way")}
    token = details.get("token")
    if token is None:
        return details
    # The name of a hook is its token, if that was given.
    return {
        name: HIDDEN if name == "token" or (value and value == token) else value
        for name, value in details.items()
    }


def _signature(
    kind: str, details: dict[str, Any], workflow: str
) -> inspect.Signature | None:
    if kind == log.STEP_CREATED:
        return _step_signature(details.get("name", ""))
    called = workflow if kind == log.RUN_CREATED else details.get("name", "")
    return _workflow_signature(called)


def _step_signature(name: str) -> inspect.Signature | None:
    found = registry.find_step_of_row(name)
    return None if found is None else found.signature


def _workflow_signature(name: str) -> inspect.Signature | None:
    found = registry.find_workflow(name)
    return None if found is None else found.signature
