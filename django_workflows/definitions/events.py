"""Business events: what has happened in the project, and what starts by that."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from functools import lru_cache
from typing import Any
from urllib.parse import quote

from asgiref.sync import sync_to_async
from django.db import transaction

from django_workflows.core.expressions import (
    Expression,
    ExpressionError,
    compile_expression,
)
from django_workflows.definitions.executions import start_definition
from django_workflows.definitions.schema import WorkflowDefinition
from django_workflows.definitions.storing import listening_definitions
from django_workflows.models import Run
from django_workflows.replay.options import check_name
from django_workflows.replay.registry import registry
from django_workflows.store.database import alias

#: Characters of the name or the id of an event.
LONGEST_ID = 1000
#: Characters of a run's key.
_LONGEST_KEY = 255


def handle_event(event: str, data: Any, event_id: str | None = None) -> list[Run]:
    """Start whatever waits for an event, in the caller's transaction.

    Every definition with a trigger of this name whose condition holds is started with
    the data as its input, once, and every workflow with ``@workflow(on=event)`` with
    the data as its argument. A condition that cannot be evaluated does not hold.

    With an `event_id` the same event starts nothing twice: what it has started is
    returned again. Raises ValueError for what is no event or id, and what ``start()``
    raises; then nothing is started at all.
    """
    check_name("an event", event, LONGEST_ID)
    if event_id is not None:
        check_name("an event_id", event_id, LONGEST_ID)
    with transaction.atomic(using=alias()):
        return [
            *_start_definitions(event, data, event_id),
            *_start_code(event, data, event_id),
        ]


async def ahandle_event(
    event: str, data: Any, event_id: str | None = None
) -> list[Run]:
    return await sync_to_async(handle_event)(event, data, event_id)


def _start_definitions(event: str, data: Any, event_id: str | None) -> Iterator[Run]:
    for current in listening_definitions(event):
        if _is_triggered(current.definition, event, data):
            definition = current.stored()
            options = _options(event_id, definition.id)
            yield start_definition(definition, data, options)


def _start_code(event: str, data: Any, event_id: str | None) -> Iterator[Run]:
    for workflow in registry.all_workflows():
        is_newest = registry.find_workflow(workflow.name) is workflow
        if workflow.on == event and is_newest and _holds(workflow.when, data):
            yield workflow.options(**_options(event_id)).start(data)


def _is_triggered(definition: WorkflowDefinition, event: str, data: Any) -> bool:
    return any(
        trigger.event == event and _holds(trigger.condition, data)
        for trigger in definition.triggers
    )


def _holds(condition: str | None, data: Any) -> bool:
    if condition is None:
        return True
    fields = data if isinstance(data, Mapping) else {}
    try:
        return _compiled(condition).holds(fields)
    except ExpressionError:
        return False  # data that a condition does not fit are not what it is about


@lru_cache(maxsize=1024)
def _compiled(condition: str) -> Expression:
    return compile_expression(condition)


def _options(event_id: str | None, definition_id: str = "") -> dict[str, Any]:
    """The start's key: executions of all definitions share one workflow."""
    if event_id is None:
        return {}
    # Quoted, so that no colon of an id is taken for the one between the ids.
    key = ":".join(filter(None, ("event", quote(definition_id, safe=""), event_id)))
    if len(key) > _LONGEST_KEY:
        key = f"event:{hashlib.sha256(key.encode()).hexdigest()}"
    return {"key": key}
