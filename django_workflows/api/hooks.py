"""Hooks over HTTP: what a run waits for, and the payload that it gets."""

from __future__ import annotations

from typing import Any, NoReturn

from django.http import Http404
from drf_spectacular.utils import (
    OpenApiExample,
    OpenApiParameter,
    OpenApiResponse,
    extend_schema_field,
)
from pydantic import ValidationError as PydanticError
from rest_framework import serializers
from rest_framework.exceptions import MethodNotAllowed, ValidationError
from rest_framework.request import Request
from rest_framework.response import Response

from django_workflows.api import access
from django_workflows.api.base import Conflict, WorkflowsJSONParser, WorkflowsViewSet
from django_workflows.api.openapi import DETAIL, describe
from django_workflows.api.serializers import RunDetailSerializer, ValueField, run_detail
from django_workflows.core.problems import problems_by_field
from django_workflows.core.rendering import metadata_to_json, to_json
from django_workflows.errors import HookNotFoundError, SerializationError, WorkflowError
from django_workflows.http.tokens import HiddenToken, forget_path
from django_workflows.models import Hook
from django_workflows.store.hooks import (
    NotValidatedHereError,
    get_hook_by_token,
    validated,
)
from django_workflows.store.people.steering import send


class HookSerializer(serializers.Serializer[Hook]):
    """What a run waits for. The token is not repeated: who asks has it."""

    run = serializers.CharField(source="run_id", help_text="The id of the run.")
    metadata = serializers.SerializerMethodField(
        help_text="What the workflow says about the hook."
    )
    schema = serializers.SerializerMethodField(
        help_text="JSON schema of the payload; null if any JSON value will do."
    )
    created_at = serializers.DateTimeField()

    @extend_schema_field(ValueField)
    def get_metadata(self, hook: Hook) -> Any:
        try:
            return to_json(hook.metadata)
        except WorkflowError:  # of a class that is gone, say, or for want of a key
            sealed = bytes(hook.sealed_metadata or b"") or None
            return metadata_to_json(sealed, hook.facts)

    @extend_schema_field({"type": "object", "nullable": True})
    def get_schema(self, hook: Hook) -> Any:
        return hook.expects


_TOKEN = OpenApiParameter(
    "token",
    str,
    OpenApiParameter.PATH,
    description="The hook's token, percent-encoded.",
)


class HookViewSet(WorkflowsViewSet):
    """What runs wait for. Neither logs nor reports of errors show the tokens."""

    parser_classes = (WorkflowsJSONParser,)
    scopes = {"resume": "workflows-write"}

    def get_serializer_class(self) -> type[serializers.BaseSerializer[Any]]:
        return HookSerializer if self.action == "retrieve" else serializers.Serializer

    def get_extra_action_url_map(self) -> dict[str, str]:
        """The way on from a hook's page."""
        has_page = self.action == "retrieve" and self.request.path.endswith("/")
        return {"Resume": "resume/"} if has_page else {}

    @describe(parameters=[_TOKEN])
    def retrieve(self, request: Request, token: HiddenToken) -> Response:
        """Show what a run waits for, and what a payload has to look like."""
        return Response(HookSerializer(self._find(token)).data)

    @describe(
        parameters=[_TOKEN],
        request={"application/json": {}},
        responses={
            200: RunDetailSerializer,
            409: OpenApiResponse(
                DETAIL, "The hook is a webhook, or its schema is not known here."
            ),
        },
        examples=[
            OpenApiExample(
                "An approval", value={"approved": True, "by": "Ada"}, request_only=True
            ),
            OpenApiExample("A scalar", value="go", request_only=True),
        ],
    )
    def resume(self, request: Request, token: HiddenToken) -> Response:
        """Send a payload: the body, any JSON value. No body at all is null.

        It is validated by the hook's schema, if it has one. Once this answers, the run
        has it.
        """
        hook = self._find(token)
        body = None if request.stream is None else request.data
        try:
            run = send(self.actor, hook, _validated(hook, body))
        except SerializationError as error:
            raise ValidationError({"detail": str(error)}) from error
        return Response(run_detail(run, self.get_serializer_context()))

    @describe(exclude=True)
    def retrieve_like_route(self, request: Request, token: HiddenToken) -> Response:
        """Show a hook whose token ends as the route of `resume` does."""
        try:
            return self.retrieve(request, HiddenToken(f"{token.reveal()}/resume"))
        except HookNotFoundError:
            raise MethodNotAllowed("GET") from None

    @property
    def allowed_methods(self) -> list[str]:
        """Without the one that only stands in for another route."""
        methods: list[str] = super().allowed_methods
        stands_in = self.action_map.get("get") == "retrieve_like_route"
        return [method for method in methods if method != "GET" or not stands_in]

    def _find(self, token: HiddenToken) -> Hook:
        """The hook, if the request may have its run; raises HookNotFoundError else."""
        hook = get_hook_by_token(token.reveal())
        try:
            access.check_run(self.request, self, hook.run)
        except Http404:
            raise HookNotFoundError from None
        return hook

    def raise_uncaught_exception(self, exc: Exception) -> NoReturn:
        forget_path(self.request._request)
        super().raise_uncaught_exception(exc)

    def finalize_response(
        self, request: Request, response: Response, *args: Any, **kwargs: Any
    ) -> Response:
        response = super().finalize_response(request, response, *args, **kwargs)
        if response.status_code >= 400:
            # Django logs the path, and does so once the browsable API has shown it.
            response.add_post_render_callback(lambda _: forget_path(request._request))
        return response


def _validated(hook: Hook, payload: Any) -> Any:
    """The payload as the run expects it.

    Raises ValidationError, and Conflict if it cannot be validated here: what has not
    been is never delivered.
    """
    try:
        return validated(hook, payload)
    except NotValidatedHereError as error:
        raise Conflict(str(error)) from None
    except PydanticError as error:
        raise ValidationError(problems_by_field(error)) from error
