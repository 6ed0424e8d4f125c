"""What the bodies of actions on runs say."""

from __future__ import annotations

from typing import Any

from drf_spectacular.utils import extend_schema_field
from rest_framework import serializers
from rest_framework.exceptions import ValidationError

from django_workflows.api.serializers import TextField
from django_workflows.models import Run
from django_workflows.store.people.actors import Actor
from django_workflows.store.people.steering import fork


class ReasonSerializer(serializers.Serializer[Any]):
    """Why somebody steps in; the run's log keeps it."""

    reason = TextField(required=False, allow_blank=True, max_length=1000, default="")


@extend_schema_field({"oneOf": [{"type": "string"}, {"type": "integer"}]})
class StepOrNumber(serializers.Field[Any, Any, Any, Any]):
    """The id of a step, or the number of an event."""

    def to_internal_value(self, data: Any) -> str | int:
        if isinstance(data, bool) or not isinstance(data, str | int):
            raise ValidationError("the id of a step or the seq of an event is needed")
        # A form sends numbers as text.
        if isinstance(data, str) and data.isascii() and data.isdecimal():
            return int(data[:12])
        return data

    def to_representation(self, value: Any) -> Any:
        return value


class ForkSerializer(serializers.Serializer[Any]):
    """Where a fork leaves the history of its original."""

    from_step = StepOrNumber(
        help_text="The id of a step, or the number (`seq`) of an event."
    )


def forked(actor: Actor, run: Run, from_step: str | int) -> Run:
    """`Run.fork`; raises ValidationError for a step that cannot be forked from."""
    try:
        return fork(actor, run, from_step)
    except ValueError as error:
        raise ValidationError({"from_step": [str(error)]}) from None
