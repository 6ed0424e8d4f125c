"""The options of a run that has been, for starting another one."""

from __future__ import annotations

from typing import Any

from django_workflows.admin.starting.options import StartOptionsForm
from django_workflows.core.rendering import to_json
from django_workflows.models import Event, Run
from django_workflows.replay import events as log
from django_workflows.replay.definitions import Workflow
from django_workflows.store.database import alias

#: Attributes that say which schedule has started a run: a person is none.
_OF_SCHEDULES = ("schedule", "scheduled_at")
#: Attributes that say what an execution executes: another one says it anew.
_OF_DEFINITIONS = ("definition", "definition_version")


def earlier_options(origin: Run, workflow: Workflow[..., Any]) -> dict[str, Any]:
    """The options that a run was started with, but for its key and its times."""
    events = Event.objects.using(alias()).filter(run=origin, type=log.RUN_STARTED)
    started = events.order_by("-seq").first()
    attributes = origin.attributes
    if started is not None:
        attributes = started.details.get("attributes", {})
    if not isinstance(attributes, dict):
        attributes = {}
    others = (*_OF_SCHEDULES, *(_OF_DEFINITIONS if origin.definition_id else ()))
    shown = to_json(attributes)
    # What is redacted is in no form: whoever starts again may enter it anew.
    attributes = {
        name: value
        for name, value in attributes.items()
        if name not in others and shown[name] == value
    }
    found: dict[str, Any] = {}
    if origin.queue != workflow.settings.queue:
        found["queue"] = origin.queue
    if origin.priority != workflow.settings.priority:
        found["priority"] = origin.priority
    if attributes:
        entry: Any = StartOptionsForm.base_fields["attributes"]
        found["attributes"] = entry.written(attributes)
    return found
