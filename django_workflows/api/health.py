"""Is the engine alive, and who works for it?"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import asdict
from typing import Any

from django.db import transaction
from django.db.models import QuerySet
from django.utils.decorators import method_decorator
from rest_framework import serializers
from rest_framework.exceptions import AuthenticationFailed
from rest_framework.permissions import AllowAny, IsAdminUser
from rest_framework.request import Request
from rest_framework.response import Response

from django_workflows.api.base import WorkflowsViewSet
from django_workflows.api.openapi import describe
from django_workflows.models import Worker
from django_workflows.store.database import alias
from django_workflows.store.health import fresh_workers, health, health_details


class QueueSerializer(serializers.Serializer[Any]):
    """What is due in a queue and not at work yet; counted to 1,000."""

    name = serializers.CharField()
    due_runs = serializers.IntegerField()
    due_steps = serializers.IntegerField()
    oldest_due_at = serializers.DateTimeField()


class HealthSerializer(serializers.Serializer[Any]):
    """Whether the database answers and a worker is alive; the rest is for staff."""

    status = serializers.ChoiceField(["ok", "unhealthy"])
    database = serializers.BooleanField(help_text="It answers.")
    worker = serializers.BooleanField(help_text="One has a fresh heartbeat.")
    workers = serializers.IntegerField(
        required=False, help_text="How many have a fresh heartbeat."
    )
    queues = QueueSerializer(many=True, required=False)
    oldest_due_at = serializers.DateTimeField(required=False, allow_null=True)
    blocked_runs = serializers.DictField(
        child=serializers.IntegerField(),
        required=False,
        help_text="Runs that cannot go on with today's code, by workflow.",
    )


def health_report(may_see_details: Callable[[], bool]) -> dict[str, Any]:
    """The state of the engine as JSON. Details are asked for, and who may see them is,
    only if the database answers."""
    found = health()
    told: dict[str, Any] = {
        "status": "ok" if found.is_healthy else "unhealthy",
        "database": found.database,
        "worker": found.worker,
    }
    if found.database and may_see_details():
        told["workers"] = fresh_workers().count()
        told.update(asdict(health_details()))
    shown = HealthSerializer(told).data
    return {name: shown[name] for name in told}


# Without a transaction around it: a database that is away is an answer.
@method_decorator(transaction.non_atomic_requests, name="dispatch")
class HealthViewSet(WorkflowsViewSet):
    """For load balancers and monitoring."""

    serializer_class = HealthSerializer

    def get_permissions(self) -> list[Any]:
        return [AllowAny()]

    def get_throttles(self) -> list[Any]:
        """Monitoring is never told that it asks too often."""
        return []

    def perform_authentication(self, request: Request) -> None:
        """Not before the database has answered, of which it may need something."""

    @describe(
        responses={200: HealthSerializer, 503: HealthSerializer},
        operation_id="health",
    )
    def retrieve(self, request: Request) -> Response:
        """Say whether the database answers and a worker is alive: 200 if both, or 503.

        Open to everyone; staff is told what waits, and for how long.
        """
        report = health_report(lambda: self._is_staff(request))
        answer = Response(report)
        if report["status"] != "ok":
            answer.status_code = 503
            # An answer, not an error of ours, which Django would mail to the admins.
            answer._has_been_logged = True  # type: ignore[attr-defined]
        return answer

    def _is_staff(self, request: Request) -> bool:
        try:
            return IsAdminUser().has_permission(request, self)
        except AuthenticationFailed:
            return False  # who cannot prove who they are is told what anybody is


class WorkerSerializer(serializers.ModelSerializer[Worker]):
    """A process that runs workflows and steps."""

    queues = serializers.SerializerMethodField()
    is_alive = serializers.SerializerMethodField(
        help_text="It has given a sign of life within the lease."
    )

    class Meta:
        model = Worker
        fields = (
            "id",
            "host",
            "pid",
            "queues",
            "code",
            "is_alive",
            "runs",
            "steps",
            "started_at",
            "heartbeat_at",
            "stopped_at",
        )
        read_only_fields = fields

    def get_is_alive(self, worker: Worker) -> bool:
        return worker.pk in self.context["fresh"]

    def get_queues(self, worker: Worker) -> list[str]:
        return worker.queue_names


def worker_list(workers: Iterable[Worker]) -> list[dict[str, Any]]:
    """Workers as JSON."""
    fresh = set(fresh_workers().values_list("pk", flat=True))
    shown = WorkerSerializer(list(workers), many=True, context={"fresh": fresh})
    return list(shown.data)


class WorkerViewSet(WorkflowsViewSet):
    """The processes at work, and those that were."""

    serializer_class = WorkerSerializer
    ordering = ("started_at", "id")

    def get_queryset(self) -> QuerySet[Worker]:
        return Worker.objects.using(alias()).all()

    def list(self, request: Request) -> Response:
        """List workers, by when they were started."""
        workers = self.paginate_queryset(self.get_queryset())
        return self.get_paginated_response(worker_list(workers or []))
