"""What requests say about schedules."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from django.utils import timezone
from drf_spectacular.utils import extend_schema_field
from rest_framework import serializers
from rest_framework.exceptions import ValidationError

from django_workflows.api.serializers import TextField, ValueField
from django_workflows.errors import PayloadTooLargeError, SerializationError
from django_workflows.models import Schedule
from django_workflows.replay.arguments import ArgumentsError, check_arguments
from django_workflows.replay.registry import registry
from django_workflows.store.targets import find_target


@extend_schema_field(
    {"oneOf": [{"type": "number"}, {"type": "string"}], "nullable": True}
)
class DurationField(serializers.JSONField):
    """Seconds, or text such as `"1h30m"`; checked with the rest of the schedule."""


class MomentField(serializers.DateTimeField):
    """A point in time, which has to name its zone."""

    def enforce_timezone(self, value: datetime) -> datetime:
        if timezone.is_naive(value):
            raise ValidationError("the time zone is missing")
        try:
            return value.astimezone(UTC)
        except OverflowError:
            raise ValidationError("this lies beyond the calendar") from None


class ScheduleBody(serializers.Serializer[Any]):
    """A schedule as a client gives it."""

    name = TextField(max_length=255)
    workflow = TextField(
        max_length=255,
        help_text="Name of a workflow marked `@workflow(api=True)`, or a definition's.",
    )
    args = serializers.ListField(child=ValueField(allow_null=True), required=False)
    kwargs = serializers.DictField(child=ValueField(allow_null=True), required=False)
    cron = TextField(
        required=False,
        allow_null=True,
        max_length=255,
        help_text="Minute, hour, day of month, month and day of week.",
    )
    timezone = TextField(
        required=False, max_length=64, help_text="Of `cron`; the project's by default."
    )
    interval = DurationField(
        required=False, allow_null=True, help_text='Seconds, or text such as `"1h"`.'
    )
    offset = DurationField(required=False, help_text="Moves an interval's times.")
    at = MomentField(required=False, allow_null=True)
    jitter = DurationField(required=False, help_text="Delays runs by up to so much.")
    overlap = serializers.ChoiceField(Schedule.Overlap.choices, required=False)
    catchup_window = DurationField(
        required=False, help_text="How long ago missed times may be; a year by default."
    )
    paused = serializers.BooleanField(required=False)
    note = TextField(required=False, allow_blank=True, max_length=10_000)
    remaining_runs = serializers.IntegerField(
        required=False, allow_null=True, min_value=0, max_value=2**31 - 1
    )
    start_at = MomentField(required=False, allow_null=True)
    end_at = MomentField(required=False, allow_null=True)


class NoteSerializer(serializers.Serializer[Any]):
    """Why a schedule is paused."""

    note = TextField(required=False, allow_blank=True, max_length=10_000, default="")


class BackfillSerializer(serializers.Serializer[Any]):
    """Which times to make up for, both ends included."""

    start = MomentField()
    end = MomentField()


class BackfilledSerializer(serializers.Serializer[Any]):
    """What a backfill has started."""

    runs = serializers.ListField(child=serializers.CharField(), help_text="Ids.")


_OPTIONAL = [
    name
    for name, field in ScheduleBody().fields.items()
    if not field.required and name not in ("args", "kwargs")
]


def filled_in(schedule: Schedule, given: dict[str, Any], *, partial: bool) -> Schedule:
    """The schedule with what is given, and unless that is `partial`, defaults.

    Raises ValidationError, by field or by parameter.
    """
    call = {name: given.pop(name) for name in ("args", "kwargs") if name in given}
    if not partial:
        new = Schedule()
        given = {name: getattr(new, name) for name in _OPTIONAL} | given
        call = {"args": new.args, "kwargs": new.kwargs, **call}
    for name, value in given.items():
        setattr(schedule, name, value)
    if call or "workflow" in given:
        try:
            args, kwargs = schedule.args, schedule.kwargs
            args, kwargs = call.get("args", args), call.get("kwargs", kwargs)
            schedule.args, schedule.kwargs = _checked(schedule.workflow, args, kwargs)
        except PayloadTooLargeError:
            raise
        except SerializationError as error:
            raise ValidationError({"args": [str(error)]}) from None
    return schedule


def _checked(name: str, args: Any, kwargs: Any) -> tuple[Any, Any]:
    """Arguments as the workflow's annotations want them."""
    workflow = registry.find_workflow(name)
    if workflow is not None and workflow.api:
        try:
            return check_arguments(workflow, list(args), kwargs)
        except ArgumentsError as error:
            raise ValidationError(error.problems) from None
    target = None if workflow is not None else find_target(name)
    if target is None:
        # Whether there is one that may not be started here is nobody's business.
        message = "no workflow of this name can be started here"
        raise ValidationError({"workflow": [message]})
    return args, kwargs
