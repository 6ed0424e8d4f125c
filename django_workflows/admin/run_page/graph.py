"""The definition that an execution runs, as a picture of how far it has come."""

from __future__ import annotations

from typing import Any

from django.utils.translation import gettext as _

from django_workflows.admin.definitions.graphs import State, picture_of
from django_workflows.admin.run_page.addresses import step_addresses
from django_workflows.admin.run_page.subject import Subject
from django_workflows.definitions.graph import predecessors
from django_workflows.definitions.progress import look_at_steps
from django_workflows.errors import WorkflowError
from django_workflows.replay.registry import EXECUTING


def panel(subject: Subject) -> dict[str, Any] | None:
    """The picture; None for what is no execution of a definition."""
    run = subject.run
    if run.workflow != EXECUTING:
        return None
    title = _("Definition")
    try:
        definition, states = look_at_steps(run)
    except WorkflowError as error:
        # Its input is of a class, or sealed by a key, that this process does not have.
        return {"title": title, "problem": str(error)}
    beyond = State("never" if run.is_closed else "ahead")
    shown = dict.fromkeys(predecessors(definition.steps), beyond)
    address = step_addresses(subject.request)
    for step_id, state in states.items():
        url = address(state.call_id) if state.call_id else ""
        shown[step_id] = State(state.status, state.attempts, url)
    return {"title": title, "picture": picture_of(definition, shown)}
