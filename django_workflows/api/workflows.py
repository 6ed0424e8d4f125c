"""Which workflows this process knows, and what they take."""

from __future__ import annotations

import inspect
from typing import Any

from drf_spectacular.utils import extend_schema_serializer
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from django_workflows.api.base import WorkflowsViewSet
from django_workflows.api.openapi import describe
from django_workflows.replay.arguments import arguments_schema, result_schema
from django_workflows.replay.definitions import Workflow
from django_workflows.replay.registry import registry


class WorkflowSerializer(serializers.Serializer[Workflow[..., Any]]):
    """A workflow in its newest version."""

    name = serializers.CharField()
    versions = serializers.SerializerMethodField(
        help_text="Versions that this process can run, the newest last."
    )
    aliases = serializers.SerializerMethodField(
        help_text="Names that it had before, in any version."
    )
    description = serializers.SerializerMethodField(
        help_text="The function's docstring."
    )
    is_startable = serializers.BooleanField(
        source="api", help_text="It may be started here: `@workflow(api=True)`."
    )
    arguments = serializers.SerializerMethodField(
        help_text="JSON schema of an object with its parameters."
    )
    result = serializers.SerializerMethodField(
        help_text="JSON schema of what it returns."
    )

    def get_versions(self, workflow: Workflow[..., Any]) -> list[str]:
        return registry.versions_of(workflow.name)

    def get_aliases(self, workflow: Workflow[..., Any]) -> list[str]:
        names = registry.names_of(workflow.name)
        return [name for name in names if name != workflow.name]

    def get_description(self, workflow: Workflow[..., Any]) -> str:
        return inspect.getdoc(workflow.func) or ""

    def get_arguments(self, workflow: Workflow[..., Any]) -> dict[str, Any]:
        return arguments_schema(workflow)

    def get_result(self, workflow: Workflow[..., Any]) -> dict[str, Any]:
        return result_schema(workflow)


@extend_schema_serializer(many=False)
class WorkflowList(serializers.Serializer[Any]):
    """All workflows: there is never a second page."""

    next = serializers.CharField(allow_null=True)
    previous = serializers.CharField(allow_null=True)
    results = WorkflowSerializer(many=True)


class WorkflowViewSet(WorkflowsViewSet):
    """The workflows of this project."""

    serializer_class = WorkflowSerializer
    pagination_class = None

    @describe(responses=WorkflowList)
    def list(self, request: Request) -> Response:
        """List all workflows, by name, with JSON schemas of arguments and results."""
        names = sorted({workflow.name for workflow in registry.all_workflows()})
        results = [WorkflowSerializer(registry.workflow(name)).data for name in names]
        return Response({"next": None, "previous": None, "results": results})
