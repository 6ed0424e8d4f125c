"""Starts of workflows by people, as the forms of the start page describe them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from django.db import transaction
from django.http import HttpRequest

from django_workflows.errors import DuplicateRunError
from django_workflows.models import Run
from django_workflows.replay.definitions import Workflow
from django_workflows.replay.registry import EXECUTING, registry
from django_workflows.store.control.copying import set_origin
from django_workflows.store.database import alias, connection
from django_workflows.store.launching import get_run
from django_workflows.store.people.actors import Actor, actor_of
from django_workflows.store.people.words import DONE, STARTED, STARTED_AGAIN

#: Workflows that nobody starts with plain arguments.
INTERNAL = frozenset({EXECUTING})


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


def start_noted(
    request: HttpRequest,
    workflow: Workflow[..., Any],
    args: tuple[Any, ...],
    kwargs: dict[str, Any],
    origin: Run | None = None,
) -> Started:
    """Start a run, and note who did it.

    `origin` is the run whose input was changed. Raises what `start()` raises; nothing
    has happened then.
    """
    actor = actor_of(request.user)
    return actor.noted(lambda: _start(actor, workflow, args, kwargs, origin))


def _start(
    actor: Actor,
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
            actor.note(holder, DONE["terminate"], reason)
    if origin is None:
        actor.note(run, STARTED)
    else:
        set_origin(connection(), run.pk, {"changed_from": origin.pk})
        actor.note(run, STARTED_AGAIN, origin.pk)
    return Started(run, True)
