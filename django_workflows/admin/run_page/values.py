"""What the run was given and what it returned."""

from __future__ import annotations

from typing import Any

from django_workflows.admin.payloads import Payload, payload_of
from django_workflows.admin.run_page.subject import Subject
from django_workflows.models import Run
from django_workflows.replay.registry import registry
from django_workflows.store.rendering import run_call


def panel(subject: Subject) -> dict[str, Any]:
    """Arguments by the names of their parameters, and the output, once there is one."""
    if not subject.shows_payloads:
        return {"arguments": None, "output": None}
    run = subject.run
    call = run_call(run)
    names = _parameters(run.workflow)
    arguments: list[tuple[str, Payload]] = []
    for place, value in enumerate(call["args"]):
        name = names[place] if place < len(names) else f"#{place + 1}"
        arguments.append((name, payload_of(value)))
    arguments += [(name, payload_of(value)) for name, value in call["kwargs"].items()]
    is_completed = run.status == Run.Status.COMPLETED
    output = payload_of(call["output"]) if is_completed else None
    return {"arguments": arguments, "output": output}


def _parameters(name: str) -> list[str]:
    """The names of the parameters that positional arguments are given to."""
    workflow = registry.find_workflow(name)
    if workflow is None:
        return []
    return [
        parameter.name
        for parameter in workflow.signature.parameters.values()
        if parameter.kind
        in (parameter.POSITIONAL_ONLY, parameter.POSITIONAL_OR_KEYWORD)
    ]
