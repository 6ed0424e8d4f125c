"""The route of the OpenAPI description."""

from __future__ import annotations

from typing import Any

from drf_spectacular.renderers import (
    OpenApiJsonRenderer,
    OpenApiJsonRenderer2,
    OpenApiYamlRenderer,
    OpenApiYamlRenderer2,
)
from drf_spectacular.types import OpenApiTypes
from rest_framework.permissions import IsAdminUser
from rest_framework.renderers import BaseRenderer
from rest_framework.request import Request
from rest_framework.response import Response

from django_workflows.api.base import ErrorsInJSON, WorkflowsViewSet
from django_workflows.api.openapi import describe, description


class DescriptionViewSet(ErrorsInJSON, WorkflowsViewSet):
    """What this API looks like to programs."""

    def get_renderers(self) -> list[BaseRenderer]:
        return [
            OpenApiYamlRenderer(),
            OpenApiYamlRenderer2(),
            OpenApiJsonRenderer(),
            OpenApiJsonRenderer2(),
        ]

    def get_permissions(self) -> list[Any]:
        return [IsAdminUser()]

    @describe(responses=OpenApiTypes.OBJECT, operation_id="schema")
    def retrieve(self, request: Request) -> Response:
        """Describe the API in OpenAPI: as YAML, or with `?format=json` as JSON."""
        prefix = request.path.removesuffix("schema/").lstrip("/")
        return Response(description(prefix))
