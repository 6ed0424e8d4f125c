"""Workflows as definitions: data that people edit and programs make.

    from django_workflows import definitions

    definitions.register({"id": "hello", "steps": [{"id": "greet", "action": "greet"}]})
    run = definitions.start("hello", {"name": "Ada"})

They run on the engine that runs workflows in code: durable, retried, steered and shown
like those. What needs the database is loaded when it is first used, so that this can be
imported before Django's apps are loaded.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from django_workflows.definitions.actions import action
from django_workflows.definitions.classes import DefinedWorkflow
from django_workflows.definitions.schema import (
    StepDefinition,
    Trigger,
    WorkflowDefinition,
)
from django_workflows.errors import InvalidDefinitionError

if TYPE_CHECKING:
    from django_workflows.definitions.events import ahandle_event, handle_event
    from django_workflows.definitions.executions import (
        acancel,
        ahistory,
        alist_executions,
        apause,
        areplay,
        aresume,
        aretry,
        astart,
        astatus,
        cancel,
        history,
        list_executions,
        pause,
        replay,
        resume,
        retry,
        start,
        status,
    )
    from django_workflows.definitions.storing import (
        adelete_definition,
        aget_definition,
        alist_definitions,
        aregister,
        delete_definition,
        get_definition,
        list_definitions,
        register,
    )

__all__ = [
    "DefinedWorkflow",
    "InvalidDefinitionError",
    "StepDefinition",
    "Trigger",
    "WorkflowDefinition",
    "acancel",
    "action",
    "adelete_definition",
    "aget_definition",
    "ahandle_event",
    "ahistory",
    "alist_definitions",
    "alist_executions",
    "apause",
    "aregister",
    "areplay",
    "aresume",
    "aretry",
    "astart",
    "astatus",
    "cancel",
    "delete_definition",
    "get_definition",
    "handle_event",
    "history",
    "list_definitions",
    "list_executions",
    "pause",
    "register",
    "replay",
    "resume",
    "retry",
    "start",
    "status",
]
_HOMES = {
    "events": "handle_event",
    "executions": (
        "cancel history list_executions pause replay resume retry start status"
    ),
    "storing": "delete_definition get_definition list_definitions register",
}
_HOME_OF = {
    prefix + name: home
    for home, names in _HOMES.items()
    for name in names.split()
    for prefix in ("", "a")
}


def __getattr__(name: str) -> Any:
    home = _HOME_OF.get(name)
    if home is None:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(import_module(f"{__name__}.{home}"), name)
    globals()[name] = value
    return value
