"""The OpenAPI description of these routes, and of nothing else in the project.

drf-spectacular is used as a library: views name their schema class themselves, the
generator reads our routes alone, and what the project has set for its own description
(its title, hooks, servers) is neither used nor changed. Neither does it have to be in
``INSTALLED_APPS``.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

from django.urls import include, path
from drf_spectacular.generators import EndpointEnumerator, SchemaGenerator
from drf_spectacular.openapi import AutoSchema
from drf_spectacular.plumbing import (
    alpha_operation_sorter,
    normalize_result_object,
    sanitize_result_object,
)
from drf_spectacular.settings import spectacular_settings
from drf_spectacular.utils import extend_schema
from rest_framework.request import Request

import django_workflows

F = TypeVar("F", bound=Callable[..., Any])

DETAIL = {
    "type": "object",
    "properties": {"detail": {"type": "string"}},
    "required": ["detail"],
}
_MESSAGES = {"type": "array", "items": {"type": "string"}}
#: What is wrong with a request: as a whole, or by field.
_INVALID = {
    "oneOf": [
        DETAIL,
        {
            "type": "object",
            "additionalProperties": _MESSAGES,
            "not": {"required": ["detail"]},
        },
    ]
}
_PAGES = {"cursor", "page_size", "ordering"}
ERRORS: dict[int, str] = {
    400: "Something in the request is not valid; by field where it is known which.",
    401: "Nobody has signed in.",
    403: "You may not do this.",
    404: "There is no such thing, or it is none of yours.",
    406: "None of the media types that you accept.",
    411: "The body comes in chunks, which the server does not pass on.",
    413: "The body is too large.",
    415: "The body is not `application/json`.",
    429: "Too many requests.",
}


class ApiSchema(AutoSchema):
    """Describes a view, with the errors that every view may answer."""

    def get_operation(self, *args: Any, **kwargs: Any) -> dict[str, Any] | None:
        operation: dict[str, Any] | None = super().get_operation(*args, **kwargs)
        if operation is not None:
            for parameter in operation.get("parameters", []):
                # An empty one is none: forms send those too.
                if parameter["in"] == "query" and parameter["name"] not in _PAGES:
                    parameter["allowEmptyValue"] = True
            responses = operation["responses"]
            for status in self._errors(operation):
                responses.setdefault(str(status), self._error(status))
            operation["responses"] = dict(sorted(responses.items()))
        return operation

    def map_parsers(self) -> list[Any]:
        """JSON: forms are for the pages that people use."""
        return ["application/json"]

    def _errors(self, operation: dict[str, Any]) -> list[int]:
        # 404 is also the answer to a `format` that there is not.
        errors = [401, 403, 404, 406, 429]
        has_body = self.method in ("POST", "PUT", "PATCH", "DELETE")
        parameters = operation.get("parameters", [])
        if has_body or any(parameter["in"] == "query" for parameter in parameters):
            errors.append(400)
        return [*errors, 411, 413, 415] if has_body else errors

    def _error(self, status: int) -> dict[str, Any]:
        schema = _INVALID if status == 400 else DETAIL
        return {
            "description": ERRORS[status],
            "content": {"application/json": {"schema": schema}},
        }


def describe(**about: Any) -> Callable[[F], F]:
    """``extend_schema()`` for a method of our views.

    That one builds upon the project's DEFAULT_SCHEMA_CLASS, which need not be one of
    drf-spectacular, unless it is told of another.
    """

    def decorate(method: F) -> F:
        # Where `@action` keeps its own.
        known = getattr(method, "kwargs", {})
        method.kwargs = {**known, "schema": ApiSchema}  # type: ignore[attr-defined]
        return extend_schema(**about)(method)

    return decorate


class _Enumerator(EndpointEnumerator):
    def get_api_endpoints(self, patterns: Any = None, prefix: str = "") -> list[Any]:
        """All of them, without what the project does to its own."""
        endpoints = self._get_api_endpoints(patterns, prefix)  # type: ignore[no-untyped-call]
        return sorted(endpoints, key=alpha_operation_sorter)


class ApiSchemaGenerator(SchemaGenerator):
    """Describes the routes of this package, as they lie below the project's prefix."""

    endpoint_inspector_cls = _Enumerator

    def get_schema(
        self, request: Request | None = None, public: bool = False
    ) -> dict[str, Any]:
        """The whole description."""
        described = {
            # What the parts are written in.
            "openapi": spectacular_settings.OAS_VERSION,
            "info": {
                "title": "Django Workflows",
                "version": django_workflows.__version__,
                "description": (
                    "Starts, shows and steers durable workflows. Null characters in "
                    "parameters and names are refused."
                ),
            },
            "paths": self.parse(request, public),  # type: ignore[no-untyped-call]
            "components": self.registry.build({}),
        }
        clean: dict[str, Any] = sanitize_result_object(  # type: ignore[no-untyped-call]
            normalize_result_object(described)  # type: ignore[no-untyped-call]
        )
        return clean


def description(prefix: str) -> dict[str, Any]:
    """All of the API in OpenAPI, as it lies under a prefix: ``workflows/api/``."""
    routes = [path(prefix, include("django_workflows.api.urls"))]
    generator = ApiSchemaGenerator(patterns=routes)  # type: ignore[no-untyped-call]
    return generator.get_schema(public=True)
