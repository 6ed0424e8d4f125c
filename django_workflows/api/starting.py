"""Starts of workflows from outside, checked before anything is stored."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from django.db import transaction
from django.utils import timezone
from django.utils.dateparse import parse_datetime
from rest_framework import serializers
from rest_framework.exceptions import ValidationError

from django_workflows.api.serializers import TextField, ValueField
from django_workflows.core.attributes import plain_attributes
from django_workflows.core.durations import resolve
from django_workflows.errors import (
    DuplicateRunError,
    PayloadTooLargeError,
    SerializationError,
)
from django_workflows.models import Run
from django_workflows.replay.arguments import ArgumentsError, check_arguments
from django_workflows.replay.definitions import Workflow
from django_workflows.replay.options import check_name
from django_workflows.replay.registry import registry
from django_workflows.store.database import alias
from django_workflows.store.launching import get_run, start

START_EXAMPLE = {
    "workflow": "shop.workflows.process_order",
    "args": [42],
    "kwargs": {"express": True},
    "key": "order-42",
    "delay": "10m",
    "attributes": {"customer": 7},
}


class StartSerializer(serializers.Serializer[Any]):
    """The body of a start."""

    workflow = TextField(help_text="Name of a workflow marked `@workflow(api=True)`.")
    args = serializers.ListField(
        child=ValueField(allow_null=True), required=False, help_text="By their place."
    )
    kwargs = serializers.DictField(
        child=ValueField(allow_null=True), required=False, help_text="By their names."
    )
    key = TextField(
        required=False,
        allow_null=True,
        max_length=255,
        help_text="Idempotency key: a second start with it answers with the first run.",
    )
    queue = TextField(
        required=False,
        max_length=100,
        help_text="Task queue; the workflow's own if it is not given.",
    )
    delay = serializers.JSONField(
        required=False,
        allow_null=True,
        help_text='Seconds, a duration such as `"10m"`, or a point in time with zone.',
    )
    attributes = serializers.DictField(
        child=ValueField(allow_null=True),
        required=False,
        help_text="Searchable attributes of the run.",
    )


def start_run(
    given: dict[str, Any],
    check: Callable[[Run], None],
    find: Callable[[str], Workflow[..., Any]] | None = None,
) -> tuple[Run, bool]:
    """Start what a valid `StartSerializer` describes; whether the run is new.

    `check` refuses a run that the client may not have: nothing is started then. `find`
    knows the workflows that may be started; by default those marked so. Raises
    ValidationError, by parameter or by the part of the body that is wrong.
    """
    workflow = (find or _find_marked)(given["workflow"])
    configured = _configured(workflow, given)
    try:
        args, kwargs = check_arguments(
            workflow, given.get("args", []), given.get("kwargs", {})
        )
    except ArgumentsError as error:
        raise ValidationError(error.problems) from None
    with transaction.atomic(using=alias()):
        try:
            run, is_new = start(configured, *args, **kwargs), True
        except PayloadTooLargeError:
            raise
        except SerializationError as error:
            part = "kwargs" if " at kwargs" in str(error) else "args"
            raise ValidationError({part: [str(error)]}) from None
        except DuplicateRunError as duplicate:
            run, is_new = get_run(duplicate.run_id), False
        check(run)
    return run, is_new


def _find_marked(name: str) -> Workflow[..., Any]:
    workflow = registry.find_workflow(name)
    if workflow is None or not workflow.api:
        # Whether there is one that may not be started here is nobody's business.
        raise ValidationError(
            {"workflow": ["no workflow of this name can be started here"]}
        )
    return workflow


def _configured(
    workflow: Workflow[..., Any], given: dict[str, Any]
) -> Workflow[..., Any]:
    options: dict[str, Any] = {"on_conflict": "reject"}
    problems: dict[str, list[str]] = {}
    for name, read in _OPTIONS.items():
        if given.get(name) is None:
            continue
        try:
            options[name] = read(given[name], workflow)
        except ValueError as error:
            problems[name] = [str(error)]
    if problems:
        raise ValidationError(problems)
    return workflow.options(**options)


def _key(value: str, workflow: Workflow[..., Any]) -> str:
    check_name("key", value, 255)
    return value


def _queue(value: str, workflow: Workflow[..., Any]) -> str:
    check_name("queue", value, 100)
    return value


def _delay(value: Any, workflow: Workflow[..., Any]) -> Any:
    moment = parse_datetime(value) if isinstance(value, str) else None
    delay = value if moment is None else moment
    # Beyond the calendar is also what is so by its deadline.
    resolve(workflow.settings.timeout or 0, resolve(delay, timezone.now()))
    return delay


def _attributes(value: Any, workflow: Workflow[..., Any]) -> dict[str, Any]:
    return plain_attributes(value)


_OPTIONS: dict[str, Callable[[Any, Workflow[..., Any]], Any]] = {
    "key": _key,
    "queue": _queue,
    "delay": _delay,
    "attributes": _attributes,
}
