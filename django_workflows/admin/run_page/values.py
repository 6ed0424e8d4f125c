"""What the run was given and what it returned."""

from __future__ import annotations

from typing import Any

from django.utils.translation import gettext as _

from django_workflows.admin.payloads import Payload, payload_of
from django_workflows.admin.run_page.arguments import named
from django_workflows.admin.run_page.subject import Subject
from django_workflows.models import Run
from django_workflows.replay.registry import registry
from django_workflows.store.rendering import run_call


def panel(subject: Subject) -> dict[str, Any]:
    """Arguments by the names of their parameters, and the output, once there is one."""
    title = _("Input and output")
    if not subject.shows_payloads:
        return {"title": title, "arguments": None, "output": None}
    run = subject.run
    call = run_call(run)
    workflow = registry.find_workflow(run.workflow)
    signature = None if workflow is None else workflow.signature
    arguments: list[tuple[str, Payload]] = [
        (name, payload_of(value))
        for name, value in named(call["args"], call["kwargs"], signature)
    ]
    is_completed = run.status == Run.Status.COMPLETED
    output = payload_of(call["output"]) if is_completed else None
    return {"title": title, "arguments": arguments, "output": output}
