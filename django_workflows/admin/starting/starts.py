"""Starts of workflows by people, as the forms of the start page describe them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from django.db import transaction
from django.http import HttpRequest
from django.views.decorators.debug import sensitive_variables

from django_workflows.admin.runs.steering import (
    DONE,
    STARTED,
    STARTED_AGAIN,
    log_change,
    noted,
)
from django_workflows.definitions.interpreter import WORKFLOW as INTERPRETER
from django_workflows.errors import DuplicateRunError
from django_workflows.models import Run
from django_workflows.replay.definitions import Workflow
from django_workflows.replay.registry import registry
from django_workflows.store.database import alias
from django_workflows.store.launching import get_run

#: Workflows that nobody starts with plain arguments.
INTERNAL = frozenset({INTERPRETER})


@dataclass(frozen=True)
class Started:
    """What has come of a start."""

    run: Run
    #: False for the run that had the key before.
    is_new: bool


def startable_workflows() -> list[Workflow[..., Any]]:
    """What may be started from a form, by name, in its newest version."""
    names = {workflow.name for workflow in registry.all_workflows()} - INTERNAL
    return [registry.workflow(name) for name in sorted(names)]


@sensitive_variables()
def start_noted(
    request: HttpRequest,
    workflow: Workflow[..., Any],
    args: tuple[Any, ...],
    kwargs: dict[str, Any],
    origin: Run | None = None,
) -> Started:
    """Start a run, and note in the admin's log who did it.

    `origin` is the run whose input was changed. Raises what `start()` raises; nothing
    has happened then.
    """

    def act() -> Started:
        with transaction.atomic(using=alias()):
            return _start(request, workflow, args, kwargs, origin)

    return noted(act)


@sensitive_variables()
def _start(
    request: HttpRequest,
    workflow: Workflow[..., Any],
    args: tuple[Any, ...],
    kwargs: dict[str, Any],
    origin: Run | None,
) -> Started:
    policy = workflow.settings.on_conflict
    try:
        with transaction.atomic(using=alias()):
            run: Run = workflow.options(on_conflict="reject").start(*args, **kwargs)
    except DuplicateRunError as duplicate:
        holder = get_run(duplicate.run_id)
        if policy == "reject" or (policy == "restart_closed" and not holder.is_closed):
            return Started(holder, False)
        run = workflow.start(*args, **kwargs)
        if run.pk == holder.pk:
            return Started(run, False)
        if not holder.is_closed:
            # The reason that the run's own log has.
            reason = "replaced by a new run with the same key"
            log_change(request, holder, f"{DONE['terminate']}: {reason}")
    if origin is None:
        log_change(request, run, str(STARTED))
    else:
        log_change(request, run, f"{STARTED_AGAIN}: {origin.pk}")
    return Started(run, True)
