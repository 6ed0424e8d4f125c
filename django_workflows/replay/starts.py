"""A start of a workflow, checked before anything of it is stored."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from django_workflows.core import serialization
from django_workflows.core.attributes import plain_attributes
from django_workflows.core.durations import resolve, to_seconds
from django_workflows.core.payloads import check_size
from django_workflows.errors import WorkflowNotRegisteredError
from django_workflows.replay.definitions import Workflow
from django_workflows.replay.limits import RunLimits, limits_of_run
from django_workflows.replay.options import StartOptions
from django_workflows.replay.registry import registry

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = datetime.resolution


@dataclass(slots=True)
class Start:
    """What is to be run, with which arguments (encoded) and how."""

    workflow: Workflow[..., Any]
    input: bytes
    attributes: dict[str, Any]
    #: Seconds from the start until it may begin, and a point in time, in
    #: microseconds, that takes their place.
    delay: float
    start_us: int | None
    limits: RunLimits

    @property
    def options(self) -> StartOptions:
        return self.workflow.settings


def find_workflow(target: Any, caller: str) -> Workflow[..., Any]:
    """The workflow given by itself or by its name.

    Raises WorkflowNotRegisteredError for what is none, and TypeError for one whose
    function is not async.
    """
    if isinstance(target, str):
        target = registry.workflow(target)
    if not isinstance(target, Workflow):
        raise WorkflowNotRegisteredError(
            f"{caller} received {target!r}, which is no workflow: "
            "decorate the function with @workflow"
        )
    target.require_async()
    return target


def prepare(
    workflow: Workflow[..., Any],
    args: tuple[Any, ...],
    kwargs: dict[str, Any],
    now: datetime,
) -> Start:
    """Check a start at the time `now`.

    Raises TypeError for arguments that don't fit the signature, SerializationError for
    arguments that cannot be stored and ValueError for a wrong option.
    """
    workflow.signature.bind(*args, **kwargs)
    options = workflow.settings
    delay, start_us = _beginning(options, now)
    return Start(
        workflow=workflow,
        input=check_size(serialization.dumps_call(args, kwargs)),
        attributes=plain_attributes(options.attributes),
        delay=delay,
        start_us=start_us,
        limits=limits_of_run(workflow, args, kwargs),
    )


def _beginning(options: StartOptions, now: datetime) -> tuple[float, int | None]:
    """When to start: a delay in seconds, and a point in time that takes its place.

    Raises ValueError for nonsense, and for what lies beyond the calendar, also if it
    is the deadline that does.
    """
    delay = 0 if options.delay is None else options.delay
    start = resolve(delay, now)
    if options.timeout is not None:
        resolve(options.timeout, start)
    if isinstance(delay, datetime):
        return 0.0, (start - _EPOCH) // _MICROSECOND
    # The database counts by its own clock.
    return to_seconds(delay), None
