"""Schedules over HTTP."""

from __future__ import annotations

from typing import Any

from django.core.exceptions import ValidationError as FieldError
from django.db import transaction
from django.http import Http404
from drf_spectacular.utils import OpenApiExample, OpenApiParameter, extend_schema_field
from rest_framework import serializers, status
from rest_framework.decorators import action
from rest_framework.exceptions import ValidationError
from rest_framework.request import Request
from rest_framework.response import Response

from django_workflows.api import access
from django_workflows.api.base import Conflict, WorkflowsViewSet
from django_workflows.api.openapi import DETAIL, describe
from django_workflows.api.schedule_bodies import (
    BackfilledSerializer,
    BackfillSerializer,
    NoteSerializer,
    ScheduleBody,
    filled_in,
)
from django_workflows.api.serializers import (
    RunDetailSerializer,
    ValueField,
    run_detail,
)
from django_workflows.errors import PayloadTooLargeError, WorkflowError
from django_workflows.models import Run, Schedule
from django_workflows.store.database import alias
from django_workflows.store.people import schedules as people
from django_workflows.store.people.making_up import backfill_of
from django_workflows.store.rendering import schedule_call, schedule_error
from django_workflows.store.schedule_runs import times_between

_EXAMPLE = {
    "name": "nightly report",
    "workflow": "shop.workflows.report",
    "kwargs": {"detailed": True},
    "cron": "30 2 * * *",
    "timezone": "Europe/Berlin",
}
_CHANGES = OpenApiExample(
    "Another time", {"cron": "0 4 * * 1-5", "note": "weekends off"}, request_only=True
)
_NOTE = OpenApiExample("A note", {"note": "while we move"}, request_only=True)
_DAY = OpenApiExample(
    "A day",
    {"start": "2026-11-20T00:00:00Z", "end": "2026-11-20T23:59:59Z"},
    request_only=True,
)
_NIGHTLY = OpenApiExample("Every night", _EXAMPLE, request_only=True)
_ID = OpenApiParameter(
    "id",
    str,
    OpenApiParameter.PATH,
    description="The id of a schedule, or its name unless that is a number.",
)


class ScheduleSerializer(serializers.ModelSerializer[Schedule]):
    """A schedule. Durations are in seconds."""

    args = serializers.SerializerMethodField(
        help_text="Null where this process cannot read it, as is `kwargs`."
    )
    kwargs = serializers.SerializerMethodField()
    last_error = serializers.SerializerMethodField()

    class Meta:
        model = Schedule
        fields = (
            "id",
            "name",
            "workflow",
            "args",
            "kwargs",
            "cron",
            "timezone",
            "interval",
            "offset",
            "at",
            "jitter",
            "overlap",
            "catchup_window",
            "paused",
            "note",
            "remaining_runs",
            "start_at",
            "end_at",
            "created_at",
            "last_run_at",
            "next_run_at",
            "last_error",
        )
        read_only_fields = fields

    @extend_schema_field(serializers.ListField(child=ValueField(), allow_null=True))
    def get_args(self, schedule: Schedule) -> Any:
        try:
            return schedule_call(schedule)["args"]
        except WorkflowError:
            return None

    def get_last_error(self, schedule: Schedule) -> str:
        return schedule_error(schedule)

    @extend_schema_field(serializers.DictField(child=ValueField(), allow_null=True))
    def get_kwargs(self, schedule: Schedule) -> Any:
        try:
            return schedule_call(schedule)["kwargs"]
        except WorkflowError:
            return None


class ScheduleViewSet(WorkflowsViewSet):
    """Workflows that are started by the clock."""

    queryset = Schedule.objects.none()
    serializer_class = ScheduleSerializer
    lookup_field = "id"
    lookup_value_regex = "[^/]+"
    scopes = {
        "create": "workflows-write",
        "update": "workflows-write",
        "partial_update": "workflows-write",
        "destroy": "workflows-write",
        "pause": "workflows-write",
        "unpause": "workflows-write",
        "trigger": "workflows-start",
        "backfill": "workflows-start",
    }

    def get_queryset(self) -> Any:
        return Schedule.objects.using(alias())

    def get_serializer_class(self) -> Any:
        return {
            "create": ScheduleBody,
            "update": ScheduleBody,
            "partial_update": ScheduleBody,
            "pause": NoteSerializer,
            "backfill": BackfillSerializer,
        }.get(self.action, ScheduleSerializer)

    @describe(responses=ScheduleSerializer(many=True))
    def list(self, request: Request) -> Response:
        """List all schedules."""
        page = self.paginate_queryset(self.get_queryset())
        return self.get_paginated_response(self.get_serializer(page, many=True).data)

    @describe(
        request={"application/json": ScheduleBody},
        responses={201: ScheduleSerializer},
        examples=[_NIGHTLY],
    )
    def create(self, request: Request) -> Response:
        """Create a schedule of a workflow that is marked `@workflow(api=True)`.

        Exactly one of `cron`, `interval` and `at` is given.
        """
        return self._saved(Schedule(), status.HTTP_201_CREATED)

    @describe(parameters=[_ID], responses=ScheduleSerializer)
    def retrieve(self, request: Request, **kwargs: Any) -> Response:
        """Show a schedule."""
        return self._answer(self._find())

    @describe(
        parameters=[_ID],
        request={"application/json": ScheduleBody},
        responses=ScheduleSerializer,
        examples=[_NIGHTLY],
    )
    def update(self, request: Request, **kwargs: Any) -> Response:
        """Replace a schedule: what is not given is as in a new one."""
        return self._saved(self._find())

    @describe(
        parameters=[_ID],
        request={"application/json": ScheduleBody(partial=True)},
        responses=ScheduleSerializer,
        examples=[_CHANGES],
    )
    def partial_update(self, request: Request, **kwargs: Any) -> Response:
        """Change what is given. It holds at once."""
        return self._saved(self._find(), partial=True)

    @describe(parameters=[_ID], responses={204: None})
    def destroy(self, request: Request, **kwargs: Any) -> Response:
        """Delete a schedule. Runs that it has started go on."""
        people.delete(self.actor, self._find())
        return Response(status=status.HTTP_204_NO_CONTENT)

    @describe(
        parameters=[_ID],
        request={"application/json": NoteSerializer},
        responses=ScheduleSerializer,
        examples=[_NOTE],
    )
    @action(detail=True, methods=["post"])
    def pause(self, request: Request, **kwargs: Any) -> Response:
        """Let times pass without a run. They are never caught up with."""
        schedule = self._find()
        people.pause(self.actor, schedule, **self._body(request))
        return self._answer(schedule)

    @describe(parameters=[_ID], request=None, responses=ScheduleSerializer)
    @action(detail=True, methods=["post"])
    def unpause(self, request: Request, **kwargs: Any) -> Response:
        """Go on with the next time from now."""
        schedule = self._find()
        people.unpause(self.actor, schedule)
        return self._answer(schedule)

    @describe(
        parameters=[_ID],
        request=None,
        responses={201: RunDetailSerializer, 409: DETAIL},
    )
    @action(detail=True, methods=["post"])
    def trigger(self, request: Request, **kwargs: Any) -> Response:
        """Start a run now."""
        schedule = self._find()
        with transaction.atomic(using=alias()):
            run = _started(people.trigger, self.actor, schedule)
            access.check_run(request, self, run)
        shown = run_detail(run, self.get_serializer_context())
        return Response(shown, status=status.HTTP_201_CREATED)

    @describe(
        parameters=[_ID],
        request={"application/json": BackfillSerializer},
        responses={200: BackfilledSerializer, 409: DETAIL},
        examples=[_DAY],
    )
    @action(detail=True, methods=["post"])
    def backfill(self, request: Request, **kwargs: Any) -> Response:
        """Start the runs of all times from `start` to `end` that have had none yet.

        They are committed by hundreds. If one cannot be started, or the request is cut
        off, those before it stay; the same request starts the rest.
        """
        schedule, body = self._find(), self._body(request)
        try:
            times = times_between(schedule, body["start"], body["end"])
        except ValueError as error:
            raise ValidationError({"end": [str(error)]}) from None
        wanted = backfill_of(schedule, times)

        def check(runs: list[Run]) -> None:
            ids = [run.pk for run in runs]
            if len(access.only_visible(request, self, _among(request, ids))) < len(ids):
                raise Http404

        _started(wanted.begin, self.actor, check=check)
        return Response({"runs": wanted.started})

    def _find(self) -> Schedule:
        name = self.kwargs["id"]
        schedules = self.get_queryset()
        found = None
        if name.isascii() and name.isdecimal():
            found = schedules.filter(pk=int(name[:18])).first()
        elif "\0" not in name and name.isprintable():
            found = schedules.filter(name=name).first()
        if found is None:
            raise Http404
        schedule: Schedule = found
        return schedule

    def _saved(
        self, schedule: Schedule, code: int = status.HTTP_200_OK, partial: bool = False
    ) -> Response:
        body = self.get_serializer(data=self.request.data, partial=partial)
        body.is_valid(raise_exception=True)
        try:
            filled = filled_in(schedule, body.validated_data, partial=partial)
            people.save(self.actor, filled)
        except FieldError as error:
            raise ValidationError(error.message_dict) from None
        return self._answer(schedule, code)

    def _body(self, request: Request) -> dict[str, Any]:
        serializer = self.get_serializer(data=request.data)
        serializer.is_valid(raise_exception=True)
        body: dict[str, Any] = serializer.validated_data
        return body

    def _answer(self, schedule: Schedule, code: int = status.HTTP_200_OK) -> Response:
        return Response(ScheduleSerializer(schedule).data, status=code)


def _among(request: Request, ids: list[str]) -> Any:
    """Those of the runs that lists show to the request."""
    return access.visible_runs(request).filter(pk__in=ids)


def _started(start: Any, *args: Any, **options: Any) -> Any:
    """What a start returns. Raises Conflict where code and schedule have parted."""
    try:
        return start(*args, **options)
    except PayloadTooLargeError:
        raise
    except (TypeError, ValueError, WorkflowError) as error:
        raise Conflict(
            f"The schedule cannot start its workflow here: {error}"
        ) from None
