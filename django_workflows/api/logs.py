"""The events and the steps of a run."""

from __future__ import annotations

from typing import Any

from django.db.models import QuerySet
from rest_framework.request import Request
from rest_framework.response import Response

from django_workflows.api.base import WorkflowsViewSet
from django_workflows.api.filters import EventFilter, Filtering, StepFilter
from django_workflows.api.openapi import describe
from django_workflows.api.serializers import EventSerializer, StepSerializer
from django_workflows.models import Event, Step
from django_workflows.store import rendering
from django_workflows.store.database import alias


class EventViewSet(WorkflowsViewSet):
    """The log of a run, in order; what nobody has taken in yet is not in it."""

    queryset = Event.objects.none()
    serializer_class = EventSerializer
    filter_backends = (Filtering,)
    filterset_class = EventFilter
    ordering = ("seq",)

    @describe(responses=EventSerializer(many=True))
    def list(self, request: Request, **kwargs: Any) -> Response:
        """List the events of a run, by number."""
        run = self.find_run()
        events = Event.objects.using(alias()).filter(run_id=run.pk, seq__isnull=False)
        page = self.paginate_queryset(self.filter_queryset(events))
        context = {**self.get_serializer_context(), "workflow": run.workflow}
        data = EventSerializer(page or [], many=True, context=context).data
        return self.get_paginated_response(data)


class StepViewSet(WorkflowsViewSet):
    """The steps of a run. One that its worker has just begun appears when it ends, or
    once it takes long."""

    queryset = Step.objects.none()
    serializer_class = StepSerializer
    filter_backends = (Filtering,)
    filterset_class = StepFilter

    @describe(responses=StepSerializer(many=True))
    def list(self, request: Request, **kwargs: Any) -> Response:
        """List the steps of a run, with what they were given and what came of them."""
        run = self.find_run()
        steps: QuerySet[Step] = run.steps.using(alias())
        page = self.paginate_queryset(self.filter_queryset(steps)) or []
        context: dict[str, Any] = {
            **self.get_serializer_context(),
            "calls": rendering.step_calls(run, page),
        }
        data = StepSerializer(page, many=True, context=context).data
        return self.get_paginated_response(data)
