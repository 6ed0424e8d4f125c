"""Business events from outside."""

from __future__ import annotations

from typing import Any

from django.db import transaction
from drf_spectacular.utils import OpenApiExample
from rest_framework import serializers
from rest_framework.exceptions import ValidationError
from rest_framework.request import Request
from rest_framework.response import Response

from django_workflows.api import access
from django_workflows.api.base import WorkflowsViewSet
from django_workflows.api.openapi import describe
from django_workflows.api.serializers import RunSerializer, TextField, ValueField
from django_workflows.definitions import handle_event
from django_workflows.definitions.events import LONGEST_ID
from django_workflows.replay.options import check_name
from django_workflows.store.database import alias

EXAMPLE = {
    "event": "Order.placed",
    "data": {"order": 42, "total": 120},
    "event_id": "evt_01K3",
}


class BusinessEventSerializer(serializers.Serializer[Any]):
    """Something that has happened."""

    event = TextField(max_length=LONGEST_ID, help_text="Its name, exactly.")
    data = ValueField(  # type: ignore[assignment]
        required=False, allow_null=True, help_text="What triggers look at; else null."
    )
    event_id = TextField(
        required=False,
        allow_null=True,
        max_length=LONGEST_ID,
        help_text="The same event starts nothing twice.",
    )

    def validate(self, attrs: dict[str, Any]) -> dict[str, Any]:
        for name in ("event", "event_id"):
            if attrs.get(name) is not None:
                try:
                    check_name(name, attrs[name], LONGEST_ID)
                except ValueError as error:
                    raise ValidationError({name: [str(error)]}) from None
        return attrs


class BusinessEventViewSet(WorkflowsViewSet):
    """What happens in your project and elsewhere."""

    serializer_class = BusinessEventSerializer
    pagination_class = None
    scopes = {"create": "workflows-start"}

    @describe(
        request={"application/json": BusinessEventSerializer},
        responses={200: RunSerializer(many=True)},
        examples=[OpenApiExample("An order", EXAMPLE, request_only=True)],
    )
    def create(self, request: Request) -> Response:
        """Start all that waits for an event; answers with the runs.

        Definitions with a matching trigger and workflows with `@workflow(on=...)` are
        started, all or none of them. An event that has been handled already, by its
        `event_id`, is answered with the runs that it started then.
        """
        serializer = self.get_serializer(data=request.data)
        serializer.is_valid(raise_exception=True)
        given = serializer.validated_data
        with self.actor.acting(), transaction.atomic(using=alias()):
            runs = handle_event(
                given["event"], given.get("data"), given.get("event_id")
            )
            for run in runs:
                access.check_run(request, self, run)
        return Response(RunSerializer(runs, many=True).data)
