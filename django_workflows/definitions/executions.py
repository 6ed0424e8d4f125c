"""Executions of definitions: started, steered, listed. Each is a run like any other."""

from __future__ import annotations

from typing import Any

from asgiref.sync import sync_to_async
from django.db import transaction

from django_workflows.core.texts import is_storable, require_text
from django_workflows.definitions import storing
from django_workflows.definitions.interpreter import run_definition
from django_workflows.definitions.progress import HistoryEntry, Status, histories, look
from django_workflows.definitions.schema import WorkflowDefinition
from django_workflows.errors import (
    WorkflowNotRegisteredError,
    WorkflowRunNotFoundError,
)
from django_workflows.models import Run
from django_workflows.models.run import RunQuerySet
from django_workflows.replay.definitions import Workflow
from django_workflows.replay.registry import EXECUTING
from django_workflows.store.database import alias
from django_workflows.store.launching import get_run

#: The original's words for how an execution stands, and which runs they mean.
_STATUSES: dict[str, dict[str, Any]] = {
    "pending": {"status": Run.Status.PENDING},
    "running": {"status": Run.Status.RUNNING, "is_waiting": False},
    "waiting": {"status": Run.Status.RUNNING, "is_waiting": True},
    "paused": {"status": Run.Status.PAUSED},
    "completed": {"status": Run.Status.COMPLETED},
    "failed": {"status__in": (Run.Status.FAILED, Run.Status.TIMED_OUT)},
    "cancelled": {"status__in": (Run.Status.CANCELLED, Run.Status.TERMINATED)},
}


def start(definition_id: str, input: Any = None, **options: Any) -> Run:  # noqa: A002
    """Start an execution of a definition's newest version, in the caller's transaction.

    `input` is what the steps are given; `{}` if it is None. `options` are those of
    ``Workflow.options()``: `key, delay, queue, priority, attributes, timeout, …`. A
    `key` is unique among the executions of all definitions. Raises
    WorkflowNotRegisteredError for an unknown or deleted definition, and what
    ``start()`` of a workflow raises.
    """
    with transaction.atomic(using=alias()):
        definition = storing.stored(definition_id)
        if definition is None:
            known = [each.id for each in storing.list_definitions()]
            raise WorkflowNotRegisteredError(
                f"there is no definition {definition_id!r}; known are "
                f"{', '.join(known) or 'none'}"
            )
        return start_definition(definition, {} if input is None else input, options)


async def astart(
    definition_id: str,
    input: Any = None,  # noqa: A002
    **options: Any,
) -> Run:
    return await sync_to_async(start)(definition_id, input, **options)


def start_definition(
    definition: WorkflowDefinition, given: Any, options: dict[str, Any]
) -> Run:
    """Start an execution of a stored definition."""
    workflow, args = call_of(definition, given, options)
    run: Run = workflow.start(*args)
    return run


def call_of(
    definition: WorkflowDefinition, given: Any, options: dict[str, Any]
) -> tuple[Workflow[..., Any], tuple[Any, ...]]:
    """The workflow that runs a stored definition, and its arguments."""
    attributes = {
        **options.get("attributes", {}),
        "definition": definition.id,
        "definition_version": definition.version,
    }
    configured = run_definition.options(**{**options, "attributes": attributes})
    return configured, (definition.id, definition.content(), given)


def status(run_id: str) -> Status | None:
    """How an execution stands, as JSON data in the names of JSON; None if there is no
    such execution."""
    try:
        return look([_find(run_id)])[0]
    except WorkflowRunNotFoundError:
        return None


async def astatus(run_id: str) -> Status | None:
    return await sync_to_async(status)(run_id)


def pause(run_id: str) -> Status:
    """Let an execution stand still; see ``Run.pause()``. Returns its status.

    Raises WorkflowRunNotFoundError and InvalidRunStateError, as all of these do.
    """
    run = _find(run_id)
    run.pause()
    return look([run])[0]


async def apause(run_id: str) -> Status:
    return await sync_to_async(pause)(run_id)


def resume(run_id: str) -> Status:
    """Let a paused execution go on; see ``Run.resume()``. Returns its status."""
    run = _find(run_id)
    run.resume()
    return look([run])[0]


async def aresume(run_id: str) -> Status:
    return await sync_to_async(resume)(run_id)


def cancel(run_id: str, reason: str = "") -> Status:
    """Ask an execution to stop; see ``Run.cancel()``. Returns its status."""
    run = _find(run_id)
    run.cancel(reason)
    return look([run])[0]


async def acancel(run_id: str, reason: str = "") -> Status:
    return await sync_to_async(cancel)(run_id, reason)


def retry(run_id: str) -> Status:
    """Let a failed execution go on from the step that failed; see ``Run.retry()``.
    Returns its status."""
    run = _find(run_id)
    run.retry()
    return look([run])[0]


async def aretry(run_id: str) -> Status:
    return await sync_to_async(retry)(run_id)


def replay(run_id: str) -> Run:
    """Start a new execution of the same version with the same input."""
    return _find(run_id).replay()


async def areplay(run_id: str) -> Run:
    return await sync_to_async(replay)(run_id)


def history(run_id: str) -> list[HistoryEntry]:
    """All that has happened in an execution: `timestamp, type, stepId, data` each."""
    return histories([_find(run_id)])[0]


async def ahistory(run_id: str) -> list[HistoryEntry]:
    return await sync_to_async(history)(run_id)


def list_executions(
    workflow_id: str | None = None,
    status: str | None = None,
    limit: int = 100,
) -> list[Status]:
    """The status of executions, the newest first.

    `workflow_id` is the id of a definition, `status` one of `pending, running, waiting,
    paused, completed, failed, cancelled`. Raises ValueError for another status and for
    a limit that is not positive, TypeError for an id that is no text.
    """
    if type(limit) is not int or limit < 1:
        raise ValueError(f"limit must be 1 or more, not {limit!r}")
    runs = _executions().order_by("-created_at", "-id")
    if workflow_id is not None:
        is_possible = is_storable(require_text("the id of a definition", workflow_id))
        wanted = runs.filter(attributes__definition=workflow_id)
        runs = wanted if is_possible else runs.none()
    if status is not None:
        if status not in _STATUSES:
            raise ValueError(
                f"no execution has the status {status!r}; there are: "
                f"{', '.join(_STATUSES)}"
            )
        runs = runs.filter(**_STATUSES[status])
    return look(list(runs[:limit]))


async def alist_executions(
    workflow_id: str | None = None,
    status: str | None = None,
    limit: int = 100,
) -> list[Status]:
    return await sync_to_async(list_executions)(workflow_id, status, limit)


def _executions() -> RunQuerySet:
    runs: RunQuerySet = Run.objects.using(alias()).filter(workflow=EXECUTING)
    return runs


def _find(run_id: str) -> Run:
    run = get_run(run_id)
    if run.workflow != EXECUTING:
        raise WorkflowRunNotFoundError(
            f"run {run_id} is of {run.workflow}, not of a definition", run_id=run_id
        )
    return run
