"""How runs, their events and their steps look in JSON."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from rest_framework import serializers

from django_workflows.core.details import as_object
from django_workflows.core.rendering import to_json
from django_workflows.models import Event, Run, Step
from django_workflows.replay import events as log
from django_workflows.store import rendering


class ValueField(serializers.JSONField):
    """Any JSON value: what a workflow or a step was given or has returned."""


class TextField(serializers.CharField):
    """Text as it is: a number is none, though it could be written as text."""

    def __init__(self, **options: Any) -> None:
        super().__init__(trim_whitespace=False, **options)

    def to_internal_value(self, data: Any) -> str:
        if not isinstance(data, str):
            self.fail("invalid")
        return super().to_internal_value(data)


class FromCalls(serializers.Field[Any, Any, Any, Any]):
    """A field whose value the view has found in events: in the context, by the key of
    the row and the field's name."""

    def get_attribute(self, instance: Any) -> Any:
        return self.context["calls"][instance.pk][self.field_name]


class Arguments(FromCalls, serializers.ListField):
    child = ValueField()


class KeywordArguments(FromCalls, serializers.DictField):
    child = ValueField()


class Output(FromCalls, ValueField):
    pass


class Error(FromCalls, serializers.Serializer[Any]):
    """What was raised, without its traceback."""

    type = serializers.CharField()
    message = serializers.CharField(allow_blank=True)


class CallSerializer(serializers.Serializer[Any]):
    """What was given to code, and what came of it."""

    args = Arguments(read_only=True)
    kwargs = KeywordArguments(read_only=True)
    output = Output(read_only=True, allow_null=True)
    error = Error(read_only=True, allow_null=True)


_CALL = ("args", "kwargs", "output", "error")


class RunSerializer(serializers.ModelSerializer[Run]):
    """A run in a list: what its row says."""

    parent = serializers.CharField(  # type: ignore[assignment]
        source="parent_id", allow_null=True, read_only=True
    )
    root = serializers.CharField(  # type: ignore[assignment]
        source="root_id", allow_null=True, read_only=True
    )
    continued_from = serializers.CharField(
        source="continued_from_id", allow_null=True, read_only=True
    )
    status = serializers.ChoiceField(Run.Status.choices, read_only=True)
    attributes = serializers.SerializerMethodField()
    is_closed = serializers.BooleanField(read_only=True)
    blocked_reason = serializers.SerializerMethodField()
    url = serializers.CharField(read_only=True)

    class Meta:
        model = Run
        fields = (
            "id",
            "workflow",
            "version",
            "status",
            "key",
            "queue",
            "priority",
            "attributes",
            "parent",
            "root",
            "continued_from",
            "created_at",
            "started_at",
            "finished_at",
            "wake_at",
            "deadline_at",
            "attempt",
            "is_closed",
            "is_waiting",
            "blocked_reason",
            "url",
        )
        read_only_fields = fields

    def get_attributes(self, run: Run) -> dict[str, Any]:
        attributes: dict[str, Any] = to_json(as_object(run.attributes))
        return attributes

    def get_blocked_reason(self, run: Run) -> str:
        """Why the run cannot go on with today's code; empty if it can."""
        # The stack may follow.
        return run.blocked_reason.partition("\n")[0]


class RunDetailSerializer(CallSerializer, RunSerializer):
    """A run by itself: also what it was given and what came of it."""

    class Meta(RunSerializer.Meta):
        fields = (*RunSerializer.Meta.fields, *_CALL)  # type: ignore[assignment]
        read_only_fields = fields  # type: ignore[assignment]


def run_detail(run: Run, context: Mapping[str, Any]) -> dict[str, Any]:
    """A run by itself, as JSON."""
    context = {**context, "calls": {run.pk: rendering.run_call(run)}}
    shown: dict[str, Any] = RunDetailSerializer(run, context=context).data
    return shown


class EventSerializer(serializers.ModelSerializer[Event]):
    """An entry of a run's log."""

    type = serializers.ChoiceField(sorted(log.ALL), read_only=True)
    data = serializers.SerializerMethodField()  # type: ignore[assignment]

    class Meta:
        model = Event
        fields = ("seq", "type", "correlation_id", "data", "created_at")
        read_only_fields = fields

    def get_data(self, event: Event) -> dict[str, Any]:
        return rendering.data_json(event, self.context["workflow"])


class StepSerializer(CallSerializer, serializers.ModelSerializer[Step]):
    """A step of a run: how it stands, what it was given and what came of it."""

    status = serializers.ChoiceField(Step.Status.choices, read_only=True)

    class Meta:
        model = Step
        fields = (
            "id",
            "name",
            "status",
            "queue",
            "priority",
            "attempt",
            "errors",
            "crashes",
            "due_at",
            "created_at",
            "started_at",
            "finished_at",
            *_CALL,
        )
        read_only_fields = fields
