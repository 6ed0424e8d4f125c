"""``start()`` and ``get_run()``."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from typing import Any

from asgiref.sync import sync_to_async
from django.utils import timezone

from django_workflows.core import context, serialization
from django_workflows.core.authorship import author
from django_workflows.core.ids import derive_id, is_possible_id, new_id
from django_workflows.core.payloads import seal
from django_workflows.core.texts import require_text
from django_workflows.errors import (
    DuplicateRunError,
    InvalidRunStateError,
    WorkflowRunNotFoundError,
)
from django_workflows.models import Run
from django_workflows.replay.definitions import Workflow
from django_workflows.replay.launcher import install_launcher
from django_workflows.replay.starts import Start, find_workflow, prepare
from django_workflows.store import hooks
from django_workflows.store.database import alias, connection, to_datetime
from django_workflows.store.starting import NewRun, deadline_of, insert_runs, key_hash

Target = Workflow[..., Any] | str


def start(workflow: Target, /, *args: Any, **kwargs: Any) -> Run:
    """Start a run of a workflow, in the caller's transaction if there is one.

    Raises WorkflowNotRegisteredError for what is no workflow, TypeError for arguments
    that don't fit its signature, SerializationError for arguments that cannot be
    stored and DuplicateRunError under ``on_conflict="reject"``. Nothing is stored then.
    """
    definition = find_workflow(workflow, "start()")
    new = _new_run(definition, args, kwargs)
    if definition.aliases and _holder(definition, new) is not None:
        # A run from before the renaming: the database does not know it is the same.
        return _resolve_conflict(definition, new)
    created = insert_runs(connection(), [new])
    if new.id not in created:
        return _resolve_conflict(definition, new)
    return _instance(new, created[new.id])


def start_many(
    workflow: Target,
    arguments: Iterable[Sequence[Any] | Mapping[str, Any]],
    *,
    batch_size: int = 1000,
) -> list[Run]:
    """Start one run for each set of arguments, in bulk.

    `arguments` holds a tuple of positional or a mapping of keyword arguments for each
    run. All or none of them start. Raises what ``start()`` raises.
    """
    from django.db import transaction

    definition = find_workflow(workflow, "start()")
    new = [
        _new_run(definition, (), dict(given))
        if isinstance(given, Mapping)
        else _new_run(definition, tuple(given), {})
        for given in arguments
    ]
    if new and new[0].key is not None:
        raise ValueError("start_many() starts different runs: it takes no key")
    runs: list[Run] = []
    with transaction.atomic(using=alias()):
        for first in range(0, len(new), batch_size):
            batch = new[first : first + batch_size]
            created = insert_runs(connection(), batch)
            rest = [run.id for run in batch if run.id not in created]
            # Those that an earlier attempt of the calling step has started.
            found = Run.objects.using(alias()).in_bulk(rest) if rest else {}
            runs += [
                _instance(run, created[run.id]) if run.id in created else found[run.id]
                for run in batch
            ]
    return runs


async def astart(workflow: Target, /, *args: Any, **kwargs: Any) -> Run:
    return await sync_to_async(start)(workflow, *args, **kwargs)


async def astart_many(
    workflow: Target,
    arguments: Iterable[Sequence[Any] | Mapping[str, Any]],
    *,
    batch_size: int = 1000,
) -> list[Run]:
    return await sync_to_async(start_many)(workflow, arguments, batch_size=batch_size)


def get_run(run_id: str) -> Run:
    """The run with this id. Raises WorkflowRunNotFoundError, and TypeError for what is
    no text."""
    if is_possible_id(require_text("the id of a run", run_id)):
        run = Run.objects.using(alias()).filter(pk=run_id).first()
        if run is not None:
            return run
    raise WorkflowRunNotFoundError(
        f"there is no workflow run {run_id!r}", run_id=run_id
    )


async def aget_run(run_id: str) -> Run:
    return await sync_to_async(get_run)(run_id)


def _new_run(
    workflow: Workflow[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]
) -> NewRun:
    started = prepare(workflow, args, kwargs, timezone.now())
    step = context.current_step()
    if step is None:
        new = to_store(started, new_id("wrun"))
        new.detail = author()
        return new
    return _new_run_of_step(step, started)


def _new_run_of_step(step: context.StepMetadata, started: Start) -> NewRun:
    """A run started by a step: a child of the step's run, for which nothing waits.

    Its id follows from the step and from what is started, so that another attempt of
    the step finds what the last one has started.
    """
    fingerprint = hashlib.sha256(serialization.canonical(started.input)).hexdigest()
    name = started.workflow.name
    count = step.count_start(f"{name} {fingerprint}")
    new = to_store(started, derive_id("wrun", step.step_id, name, fingerprint, count))
    new.may_exist = True
    new.parent_id, new.root_id = step.run_id, _root_of(step)
    new.parent_close_policy = "abandon"
    return new


def _root_of(step: context.StepMetadata) -> str:
    if step.root_id is None:
        runs = Run.objects.using(alias()).filter(pk=step.run_id)
        step.root_id = runs.values_list("root_id", flat=True).get() or step.run_id
    return step.root_id


def to_store(started: Start, run_id: str) -> NewRun:
    """A checked start as a run to insert. Raises what sealing its input raises."""
    options = started.options
    return NewRun(
        id=run_id,
        workflow=started.workflow.name,
        version=started.workflow.version,
        input=seal(started.input),
        key=options.key,
        queue=options.queue,
        priority=options.priority,
        attributes=started.attributes,
        delay=started.delay,
        start_us=started.start_us,
        timeout=options.timeout,
        retention=options.retention,
        limit_key=started.limits.key,
        max_concurrency=started.limits.max_concurrency,
        rate_limit=started.limits.rate_limit,
    )


def _resolve_conflict(workflow: Workflow[..., Any], new: NewRun) -> Run:
    """The key is held by another run: do what the start's policy says."""
    policy = workflow.settings.on_conflict
    if new.may_exist:
        existing = Run.objects.using(alias()).filter(pk=new.id).first()
        if existing is not None:
            return existing  # started by an earlier attempt of the calling step
    for _ in range(10):
        holder = _holder(workflow, new)
        if holder is not None:
            if policy == "return_existing" or (
                policy == "restart_closed" and not holder.is_closed
            ):
                return holder
            if policy == "reject":
                raise DuplicateRunError(
                    f"the key {new.key!r} of {new.workflow} is held by run {holder.id} "
                    f"({holder.status})",
                    run_id=holder.id,
                )
            _give_up_key(holder, policy)
        created = insert_runs(connection(), [new])
        if new.id in created:
            return _instance(new, created[new.id])
    raise InvalidRunStateError(
        f"the key {new.key!r} of {new.workflow} changes hands too fast; try again"
    )


def _holder(workflow: Workflow[..., Any], new: NewRun) -> Run | None:
    """The run that holds the key, under the workflow's name or a former one."""
    if new.key is None:
        return None
    return (
        Run.objects.using(alias())
        .filter(
            workflow__in=(workflow.name, *workflow.aliases),
            key_held=key_hash(new.key),
        )
        .first()
    )


def _give_up_key(holder: Run, policy: str) -> None:
    from django_workflows.store import control

    if policy == "terminate_existing" and not holder.is_closed:
        # It may end just now; one that continues as new leaves the key to another.
        with suppress(InvalidRunStateError):
            control.terminate(holder, reason="replaced by a new run with the same key")
    # Not from a run that has been retried meanwhile.
    Run.objects.using(alias()).closed().filter(
        pk=holder.pk, key_held=holder.key_held
    ).update(key_held=None)


def _instance(new: NewRun, created_us: int) -> Run:
    """The inserted row as a model instance, without reading it back."""
    start_us = new.start_us or created_us + round(new.delay * 1_000_000)
    deadline_us = deadline_of(new, start_us)
    run = Run(
        id=new.id,
        workflow=new.workflow,
        version=new.version,
        key=new.key,
        key_held=None if new.key is None else key_hash(new.key),
        queue=new.queue,
        priority=new.priority,
        attributes=new.attributes,
        parent_id=new.parent_id,
        root_id=new.root_id,
        continued_from_id=new.continued_from_id,
        parent_call=new.parent_call,
        parent_close_policy=new.parent_close_policy,
        created_at=to_datetime(created_us),
        wake_at=None if new.limit_key else to_datetime(start_us),
        queued_at=to_datetime(start_us) if new.limit_key else None,
        deadline_at=None if deadline_us is None else to_datetime(deadline_us),
        timeout=new.timeout,
        retention=new.retention,
        limit_key=new.limit_key,
        max_concurrency=new.max_concurrency,
        rate_limit=new.rate_limit,
        last_seq=1,
        seed=new.seed,
    )
    run._state.adding = False
    run._state.db = alias()
    return run


class _StoreLauncher:
    """What definitions call in the store."""

    def start(
        self,
        workflow: Workflow[..., Any],
        args: tuple[Any, ...],
        kwargs: dict[str, Any],
    ) -> Run:
        return start(workflow, *args, **kwargs)

    async def astart(
        self,
        workflow: Workflow[..., Any],
        args: tuple[Any, ...],
        kwargs: dict[str, Any],
    ) -> Run:
        return await astart(workflow, *args, **kwargs)

    def resume_hook(self, token: str, payload: Any) -> Run:
        return hooks.resume_hook(token, payload)

    async def aresume_hook(self, token: str, payload: Any) -> Run:
        return await hooks.aresume_hook(token, payload)


def install() -> None:
    """Let definitions reach the store."""
    install_launcher(_StoreLauncher())
