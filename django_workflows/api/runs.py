"""Runs: listed, started, looked at and steered."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from django.db.models import Q, QuerySet
from drf_spectacular.utils import OpenApiExample, OpenApiParameter
from rest_framework import status
from rest_framework.decorators import action
from rest_framework.request import Request
from rest_framework.response import Response

from django_workflows.api import access
from django_workflows.api.base import WorkflowsViewSet
from django_workflows.api.filters import Filtering, RunFilter, kinds_of_runs
from django_workflows.api.openapi import DETAIL, describe
from django_workflows.api.serializers import (
    RunDetailSerializer,
    RunSerializer,
    run_detail,
)
from django_workflows.api.starting import START_EXAMPLE, StartSerializer, start_run
from django_workflows.api.steering import ForkSerializer, ReasonSerializer, forked
from django_workflows.models import Run
from django_workflows.store.people.steering import steer

_ATTRIBUTE = OpenApiParameter(
    "attributes.customer",
    str,
    description=(
        "Leaves the runs whose attribute `customer` is this text, or the number, truth "
        "value or null that it writes. Any name may stand for `customer`, and any "
        "number of attributes may be asked for."
    ),
)
_CONFLICT = {409: DETAIL}
_STEERED = {200: RunDetailSerializer, **_CONFLICT}
_COPIED = {201: RunDetailSerializer, **_CONFLICT}

_REASON = OpenApiExample("A reason", {"reason": "ordered twice"}, request_only=True)
_PLACES = [
    OpenApiExample("A step", {"from_step": "step_01K3…"}, request_only=True),
    OpenApiExample("An event", {"from_step": 7}, request_only=True),
]


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

    def kinds(self) -> Sequence[Q]:
        """Runs of several statuses are sought by each."""
        return kinds_of_runs(self.request.query_params.get("status", ""))

    @describe(parameters=[_ATTRIBUTE], responses=RunSerializer(many=True))
    def list(self, request: Request) -> Response:
        """List the runs that you may see, by the filters given."""
        page = self.paginate_queryset(self.filter_queryset(self.get_queryset()))
        runs = access.only_visible(request, self, page or [])
        return self.get_paginated_response(self.get_serializer(runs, many=True).data)

    @describe(
        request={"application/json": StartSerializer},
        responses={201: RunDetailSerializer, 200: RunDetailSerializer},
        examples=[OpenApiExample("An order", START_EXAMPLE, request_only=True)],
    )
    def create(self, request: Request) -> Response:
        """Start a workflow that is marked `@workflow(api=True)`.

        Arguments are checked against its annotations; what is wrong is told by the name
        of the parameter. A key that a run holds is answered with that run, and 200.
        """
        given = self._body(request)
        with self.actor.acting():
            run, is_new = start_run(
                given, lambda run: access.check_run(request, self, run)
            )
        code = status.HTTP_201_CREATED if is_new else status.HTTP_200_OK
        return self._answer(run, code)

    @describe(responses=RunDetailSerializer)
    def retrieve(self, request: Request, **kwargs: Any) -> Response:
        """Show a run, with its arguments and what came of it."""
        return self._answer(self.find_run())

    @describe(
        request={"application/json": ReasonSerializer},
        responses=_STEERED,
        examples=[_REASON],
    )
    @action(detail=True, methods=["post"])
    def cancel(self, request: Request, **kwargs: Any) -> Response:
        """Ask a run to stop; its code may clean up first."""
        return self._steer("cancel", **self._body(request))

    @describe(
        request={"application/json": ReasonSerializer},
        responses=_STEERED,
        examples=[_REASON],
    )
    @action(detail=True, methods=["post"])
    def terminate(self, request: Request, **kwargs: Any) -> Response:
        """End a run at once, without running any of its code."""
        return self._steer("terminate", **self._body(request))

    @describe(request=None, responses=_STEERED)
    @action(detail=True, methods=["post"])
    def pause(self, request: Request, **kwargs: Any) -> Response:
        """Let a run stand still until it is resumed."""
        return self._steer("pause")

    @describe(request=None, responses=_STEERED)
    @action(detail=True, methods=["post"])
    def resume(self, request: Request, **kwargs: Any) -> Response:
        """Let a paused or blocked run go on."""
        return self._steer("resume")

    @describe(request=None, responses=_STEERED)
    @action(detail=True, methods=["post"])
    def retry(self, request: Request, **kwargs: Any) -> Response:
        """Let a failed, timed-out or cancelled run go on from what ended it."""
        return self._steer("retry")

    @describe(request=None, responses=_STEERED)
    @action(detail=True, methods=["post"])
    def wake(self, request: Request, **kwargs: Any) -> Response:
        """End a run's current sleeps now."""
        return self._steer("wake")

    @describe(request=None, responses=_COPIED)
    @action(detail=True, methods=["post"])
    def replay(self, request: Request, **kwargs: Any) -> Response:
        """Start a new run with the same input."""
        return self._steer("replay", status.HTTP_201_CREATED)

    @describe(
        request={"application/json": ForkSerializer},
        responses=_COPIED,
        examples=_PLACES,
    )
    @action(detail=True, methods=["post"])
    def fork(self, request: Request, **kwargs: Any) -> Response:
        """Start a new run with the history up to a step."""
        run = self.find_run()
        new = forked(self.actor, run, self._body(request)["from_step"])
        return self._answer(new, status.HTTP_201_CREATED)

    def _steer(
        self, verb: str, code: int = status.HTTP_200_OK, *, reason: str = ""
    ) -> Response:
        return self._answer(steer(self.actor, self.find_run(), verb, reason), code)

    def _body(self, request: Request) -> dict[str, Any]:
        serializer = self.get_serializer(data=request.data)
        serializer.is_valid(raise_exception=True)
        body: dict[str, Any] = serializer.validated_data
        return body

    def _answer(self, run: Run, code: int = status.HTTP_200_OK) -> Response:
        return Response(run_detail(run, self.get_serializer_context()), status=code)
