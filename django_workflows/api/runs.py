"""Runs: listed, started, looked at and steered."""

from __future__ import annotations

from typing import Any

from django.db.models import QuerySet
from drf_spectacular.utils import OpenApiExample, OpenApiResponse
from rest_framework import status
from rest_framework.decorators import action
from rest_framework.request import Request
from rest_framework.response import Response

from django_workflows.api import access
from django_workflows.api.base import WorkflowsViewSet
from django_workflows.api.filters import Filtering, RunFilter
from django_workflows.api.openapi import DETAIL, describe
from django_workflows.api.serializers import (
    RunDetailSerializer,
    RunSerializer,
    run_detail,
)
from django_workflows.api.starting import StartSerializer, start_run
from django_workflows.api.steering import ForkSerializer, ReasonSerializer, forked
from django_workflows.models import Run

_CONFLICT = OpenApiResponse(DETAIL, "Impossible as the run stands; it is untouched.")
_STEERED = {200: RunDetailSerializer, 409: _CONFLICT}
_NEW = {201: RunDetailSerializer, 409: _CONFLICT}
_REASON = OpenApiExample(
    "A reason", value={"reason": "ordered twice"}, request_only=True
)


class RunViewSet(WorkflowsViewSet):
    """Executions of workflows.

    The list has what the runs' rows say, oldest first (`?ordering=-created_at` for the
    newest). Arguments, output and error are in a single run's answer.
    """

    queryset = Run.objects.none()
    serializer_class = RunSerializer
    filter_backends = (Filtering,)
    filterset_class = RunFilter
    lookup_field = "id"
    lookup_value_regex = "[^/]+"
    scopes = {
        "create": "workflows-start",
        "replay": "workflows-start",
        "fork": "workflows-start",
        "cancel": "workflows-write",
        "terminate": "workflows-write",
        "pause": "workflows-write",
        "resume": "workflows-write",
        "retry": "workflows-write",
        "wake": "workflows-write",
    }

    def get_queryset(self) -> QuerySet[Run]:
        return access.visible_runs(self.request)

    def get_serializer_class(self) -> Any:
        return {
            "create": StartSerializer,
            "retrieve": RunDetailSerializer,
            "cancel": ReasonSerializer,
            "terminate": ReasonSerializer,
            "fork": ForkSerializer,
        }.get(self.action, RunSerializer)

    def list(self, request: Request) -> Response:
        """The runs that you may see, by the filters given.

        `attributes.customer=7` finds those whose attribute `customer` is the number or
        the text 7; any attribute may be asked for so.
        """
        page = self.paginate_queryset(self.filter_queryset(self.get_queryset()))
        runs = access.only_visible(request, self, page or [])
        return self.get_paginated_response(self.get_serializer(runs, many=True).data)

    @describe(
        responses={
            201: OpenApiResponse(RunDetailSerializer, "Started."),
            200: OpenApiResponse(RunDetailSerializer, "A run has the key already."),
        },
        examples=[
            OpenApiExample(
                "An order",
                value={
                    "workflow": "shop.workflows.process_order",
                    "args": [42],
                    "kwargs": {"express": True},
                    "key": "order-42",
                    "delay": "10m",
                    "attributes": {"customer": 7},
                },
                request_only=True,
            )
        ],
    )
    def create(self, request: Request) -> Response:
        """Start a workflow: 201 with the run, 200 with the one that has the key."""
        body = self._body(request)
        run, is_new = start_run(body, lambda run: access.check_run(request, self, run))
        code = status.HTTP_201_CREATED if is_new else status.HTTP_200_OK
        return self._answer(run, code)

    @describe(responses=RunDetailSerializer)
    def retrieve(self, request: Request, **kwargs: Any) -> Response:
        """A run with its arguments and its outcome."""
        return self._answer(self.find_run())

    @describe(responses=_STEERED, examples=[_REASON])
    @action(detail=True, methods=["post"])
    def cancel(self, request: Request, **kwargs: Any) -> Response:
        """Ask the run to stop; its code may clean up."""
        run = self.find_run()
        run.cancel(**self._body(request))
        return self._answer(run)

    @describe(responses=_STEERED, examples=[_REASON])
    @action(detail=True, methods=["post"])
    def terminate(self, request: Request, **kwargs: Any) -> Response:
        """End the run at once, without running any of its code."""
        run = self.find_run()
        run.terminate(**self._body(request))
        return self._answer(run)

    @describe(request=None, responses=_STEERED)
    @action(detail=True, methods=["post"])
    def pause(self, request: Request, **kwargs: Any) -> Response:
        """Let the run stand still until it is resumed."""
        run = self.find_run()
        run.pause()
        return self._answer(run)

    @describe(request=None, responses=_STEERED)
    @action(detail=True, methods=["post"])
    def resume(self, request: Request, **kwargs: Any) -> Response:
        """Let a paused or blocked run go on."""
        run = self.find_run()
        run.resume()
        return self._answer(run)

    @describe(request=None, responses=_STEERED)
    @action(detail=True, methods=["post"])
    def retry(self, request: Request, **kwargs: Any) -> Response:
        """Let a failed, timed-out or cancelled run go on from what ended it."""
        run = self.find_run()
        run.retry()
        return self._answer(run)

    @describe(request=None, responses=_STEERED)
    @action(detail=True, methods=["post"])
    def wake(self, request: Request, **kwargs: Any) -> Response:
        """End the run's current sleeps now."""
        run = self.find_run()
        run.wake()
        return self._answer(run)

    @describe(request=None, responses=_NEW)
    @action(detail=True, methods=["post"])
    def replay(self, request: Request, **kwargs: Any) -> Response:
        """Start a new run with the same input; 201 with that one."""
        return self._answer(self.find_run().replay(), status.HTTP_201_CREATED)

    @describe(
        responses=_NEW,
        examples=[
            OpenApiExample(
                "From a step", value={"from_step": "step_01K…"}, request_only=True
            ),
            OpenApiExample("From an event", value={"from_step": 7}, request_only=True),
        ],
    )
    @action(detail=True, methods=["post"])
    def fork(self, request: Request, **kwargs: Any) -> Response:
        """Start a new run with the history up to a step; 201 with that one."""
        run = self.find_run()
        new = forked(run, self._body(request)["from_step"])
        return self._answer(new, status.HTTP_201_CREATED)

    def _body(self, request: Request) -> dict[str, Any]:
        serializer = self.get_serializer(data=request.data)
        serializer.is_valid(raise_exception=True)
        body: dict[str, Any] = serializer.validated_data
        return body

    def _answer(self, run: Run, code: int = status.HTTP_200_OK) -> Response:
        return Response(run_detail(run, self.get_serializer_context()), status=code)
