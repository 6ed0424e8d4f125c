"""Definitions: listed, registered, shown and hidden."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, get_args

from django.http import Http404
from drf_spectacular.utils import OpenApiExample, extend_schema_serializer
from rest_framework import serializers, status
from rest_framework.exceptions import ValidationError
from rest_framework.request import Request
from rest_framework.response import Response

from django_workflows.api.base import Conflict, WorkflowsViewSet
from django_workflows.api.openapi import describe
from django_workflows.api.serializers import TextField, ValueField
from django_workflows.core.rendering import to_json
from django_workflows.definitions import (
    InvalidDefinitionError,
    WorkflowDefinition,
    get_definition,
    list_definitions,
    people,
)
from django_workflows.definitions.schema import OnError
from django_workflows.definitions.storing import UnreadableDefinitionError
from django_workflows.store.people.actors import Actor

EXAMPLE = {
    "id": "order-processing",
    "steps": [
        {"id": "validate", "action": "validatePayment"},
        {
            "id": "charge",
            "action": "chargeCard",
            "dependsOn": ["validate"],
            "condition": "validate.total > 0",
            "maxRetries": 3,
        },
    ],
    "triggers": [{"event": "Order.placed", "condition": "total > 100"}],
}


class StepDefinitionSerializer(serializers.Serializer[Any]):
    """A step. Names of fields may also be written in snake_case."""

    id = TextField(max_length=255)
    name = TextField(required=False, help_text="The id, if it is not given.")
    action = TextField(max_length=255, help_text="Which code is run.")
    params = serializers.DictField(
        child=ValueField(allow_null=True),
        required=False,
        allow_null=True,
        help_text="What the action is given, with `{{ }}`; else the input.",
    )
    dependsOn = serializers.ListField(  # noqa: N815
        child=TextField(), required=False, help_text="Ids of the steps before it."
    )
    condition = TextField(
        required=False, allow_null=True, help_text="An expression; if false, skipped."
    )
    wait = ValueField(
        required=False, allow_null=True, help_text='A duration: `"3d"`, or seconds.'
    )
    onError = serializers.ChoiceField(  # noqa: N815
        get_args(OnError), required=False, help_text="What a failure means."
    )
    maxRetries = serializers.IntegerField(  # noqa: N815
        required=False, allow_null=True, min_value=0, max_value=2**31 - 1
    )
    retryDelay = ValueField(  # noqa: N815
        required=False, allow_null=True, help_text="A duration, always the same."
    )
    errorBranch = TextField(  # noqa: N815
        required=False,
        allow_null=True,
        max_length=255,
        help_text="The step, else the action, that runs after a failure.",
    )
    timeout = ValueField(
        required=False, allow_null=True, help_text="A duration: that of one attempt."
    )


class TriggerSerializer(serializers.Serializer[Any]):
    """A business event that starts the definition."""

    event = TextField(max_length=255)
    condition = TextField(
        required=False,
        allow_null=True,
        help_text="An expression over the fields of the event's data.",
    )


class DefinitionSerializer(serializers.Serializer[Any]):
    """A definition, as it is registered."""

    id = TextField(max_length=255)
    name = TextField(required=False, help_text="The id, if it is not given.")
    version = serializers.IntegerField(read_only=True)
    steps = StepDefinitionSerializer(many=True, help_text="At least one.")
    triggers = TriggerSerializer(many=True, required=False)


@extend_schema_serializer(many=False)
class DefinitionList(serializers.Serializer[Any]):
    """All definitions: there is never a second page."""

    next = serializers.CharField(allow_null=True)
    previous = serializers.CharField(allow_null=True)
    results = DefinitionSerializer(many=True)


_BODY: dict[str, Any] = {
    "request": {"application/json": DefinitionSerializer},
    "examples": [OpenApiExample("An order", EXAMPLE, request_only=True)],
}


class DefinitionViewSet(WorkflowsViewSet):
    """Workflows that are kept as data, and classes that say the same in code.

    Executions are runs: they are listed, shown and steered as such.
    """

    serializer_class = DefinitionSerializer
    pagination_class = None
    lookup_field = "id"
    lookup_value_regex = "[^/]+"
    scopes = dict.fromkeys(("create", "update", "destroy"), "workflows-write")

    def get_object(self) -> WorkflowDefinition:
        """The newest version of the definition that the URL names. Raises Http404, and
        Conflict for a row that somebody has damaged."""
        try:
            definition = get_definition(self.kwargs["id"])
        except UnreadableDefinitionError as error:
            raise Conflict(str(error)) from error
        if definition is None:
            raise not_there()
        return definition

    @describe(responses=DefinitionList)
    def list(self, request: Request) -> Response:
        """List all definitions in their newest version, by id."""
        results = [shown(each) for each in list_definitions()]
        return Response({"next": None, "previous": None, "results": results})

    @describe(**_BODY, responses={201: DefinitionSerializer})
    def create(self, request: Request) -> Response:
        """Register a definition: identical content keeps its version, anything else is
        the next one.

        Everything that is wrong with it is told at once, under `problems`.
        """
        made = registered(self.actor, request.data)
        return Response(shown(made), status=status.HTTP_201_CREATED)

    @describe(responses=DefinitionSerializer)
    def retrieve(self, request: Request, id: str) -> Response:  # noqa: A002
        """Show the newest version of a definition."""
        return Response(shown(self.get_object()))

    @describe(**_BODY, responses=DefinitionSerializer)
    def update(self, request: Request, id: str) -> Response:  # noqa: A002
        """Register another version of a definition; what runs keeps its own."""
        self.get_object()
        data = request.data
        if isinstance(data, Mapping) and data.get("id", id) != id:
            raise ValidationError({"id": [f"this is the route of {id!r}"]})
        return Response(shown(registered(self.actor, data)))

    @describe(responses={204: None})
    def destroy(self, request: Request, id: str) -> Response:  # noqa: A002
        """Hide a definition: nothing starts from it any more, what runs goes on."""
        if not people.delete(self.actor, id):
            raise not_there()
        return Response(status=status.HTTP_204_NO_CONTENT)


def shown(definition: WorkflowDefinition) -> dict[str, Any]:
    """A definition as JSON."""
    content: dict[str, Any] = to_json(definition.content())
    return {**content, "version": definition.version}


def registered(actor: Actor, data: Any) -> WorkflowDefinition:
    """What a body defines. Raises ValidationError, with every problem."""
    if isinstance(data, Mapping):
        # What is shown can be sent again.
        data = {name: value for name, value in data.items() if name != "version"}
    try:
        return people.save(actor, data).definition
    except InvalidDefinitionError as error:
        raise ValidationError({"problems": error.problems}) from None


def not_there() -> Http404:
    return Http404("there is no such definition")
