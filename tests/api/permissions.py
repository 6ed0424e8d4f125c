"""Permission classes as projects write them: everybody has their own runs."""

from __future__ import annotations

from typing import Any

from django.db.models import QuerySet
from rest_framework.permissions import BasePermission, IsAuthenticated
from rest_framework.request import Request
from rest_framework.views import APIView

from django_workflows.models import Run


class IsOwner(IsAuthenticated):
    """Asked about each run."""

    def has_object_permission(self, request: Request, view: APIView, obj: Any) -> bool:
        assert isinstance(obj, Run)
        return bool(obj.attributes.get("owner") == request.user.get_username())


class OwnRuns(IsOwner):
    """Also says which runs a list has."""

    def filter_queryset(
        self, request: Request, queryset: QuerySet[Run]
    ) -> QuerySet[Run]:
        return queryset.filter(attributes__owner=request.user.get_username())


class OnlyLists(IsAuthenticated):
    """Says which runs a list has, and nothing else."""

    def filter_queryset(
        self, request: Request, queryset: QuerySet[Run]
    ) -> QuerySet[Run]:
        return queryset.filter(attributes__owner=request.user.get_username())


class Nobody(BasePermission):
    def has_permission(self, request: Request, view: APIView) -> bool:
        return False
