"""What all views of the API have in common."""

from __future__ import annotations

import json
from collections.abc import Sequence
from io import BytesIO
from typing import Any, ClassVar

from django.http import Http404, HttpRequest
from rest_framework import status
from rest_framework.authentication import BaseAuthentication
from rest_framework.exceptions import APIException, ParseError
from rest_framework.parsers import BaseParser, FormParser, JSONParser, MultiPartParser
from rest_framework.permissions import BasePermission
from rest_framework.renderers import BaseRenderer, JSONRenderer
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.settings import api_settings
from rest_framework.throttling import BaseThrottle, ScopedRateThrottle
from rest_framework.views import APIView
from rest_framework.viewsets import GenericViewSet

from django_workflows.api import access, pages
from django_workflows.api.openapi import ApiSchema
from django_workflows.api.pagination import KeysetPagination
from django_workflows.conf import conf
from django_workflows.core.authorship import API
from django_workflows.errors import (
    DuplicateRunError,
    HookConflictError,
    HookNotFoundError,
    InvalidRunStateError,
    PayloadTooLargeError,
    WorkflowError,
    WorkflowRunNotFoundError,
)
from django_workflows.http.discretion import takes_payloads
from django_workflows.http.incoming import (
    UnacceptableBodyError,
    read_body,
    was_parsed,
)
from django_workflows.models import Run
from django_workflows.store.people.actors import Actor, actor_of


class Conflict(APIException):
    """What was asked for is impossible as things stand; nothing was changed."""

    status_code = status.HTTP_409_CONFLICT
    default_detail = "This is impossible in the present state."
    default_code = "conflict"


class TooLarge(APIException):
    """The body is longer than `WORKFLOWS["MAX_PAYLOAD_BYTES"]`."""

    status_code = status.HTTP_413_REQUEST_ENTITY_TOO_LARGE
    default_detail = "The request is too large."
    default_code = "too_large"


class LengthRequired(APIException):
    """The body comes in chunks, whose end this server does not tell us."""

    status_code = status.HTTP_411_LENGTH_REQUIRED
    default_detail = "The request needs a Content-Length."
    default_code = "length_required"


class WorkflowsJSONParser(JSONParser):
    """JSON; what no answer could repeat, or is nested without end, is none."""

    def parse(self, stream: Any, *args: Any, **kwargs: Any) -> Any:
        body = stream.read()
        try:
            data = super().parse(BytesIO(body), *args, **kwargs)
            if b"\\ud" in body.lower():
                json.dumps(data, ensure_ascii=False).encode()
        except RecursionError:
            raise ParseError("JSON parse error - it is nested too deeply") from None
        except UnicodeEncodeError:
            message = "JSON parse error - it has half of a surrogate pair"
            raise ParseError(message) from None
        return data


class WorkflowsThrottle(ScopedRateThrottle):
    """Limits a group of views by `REST_FRAMEWORK["DEFAULT_THROTTLE_RATES"]`, if there
    is a rate for its scope."""

    scope_attr = "workflows_scope"

    def get_rate(self) -> str | None:
        # Of today's settings: the class keeps those that it was defined with.
        rate = api_settings.DEFAULT_THROTTLE_RATES.get(self.scope or "")
        return None if rate is None else str(rate)


class ErrorsInJSON(APIView):
    """For views that can be had as something else: their errors are JSON even so."""

    def handle_exception(self, exc: Exception) -> Response:
        response = super().handle_exception(exc)
        self.request.accepted_renderer = JSONRenderer()
        self.request.accepted_media_type = JSONRenderer.media_type
        return response


class WorkflowsView(APIView):
    """A view of this app: who may use it, in which form it answers. URLs are not
    versioned, whatever the project does with its own."""

    versioning_class = None

    def get_authenticators(self) -> list[BaseAuthentication]:
        return access.authenticators()

    def get_permissions(self) -> Sequence[BasePermission]:
        return access.permissions()

    def get_renderers(self) -> list[BaseRenderer]:
        return pages.renderers()


class WorkflowsViewSet(WorkflowsView, GenericViewSet[Any]):
    """A view set of this app: how much it reads, what it refuses.

    `workflows_scope` names the rate that limits requests, `scopes` those of single
    actions. What the engine refuses becomes the answer that fits.
    """

    schema = ApiSchema()
    parser_classes: Sequence[type[BaseParser]] = (
        WorkflowsJSONParser,
        FormParser,
        MultiPartParser,
    )
    pagination_class: Any = KeysetPagination
    filter_backends: Any = ()
    #: Fields that lists are sorted by; the last one is unique.
    ordering: ClassVar[Sequence[str]] = ("created_at", "id")
    #: Actions whose rate is another one's than `workflows-read`.
    scopes: ClassVar[dict[str, str]] = {}

    @property
    def workflows_scope(self) -> str:
        return self.scopes.get(self.action or "", "workflows-read")

    def get_throttles(self) -> list[BaseThrottle]:
        return [*super().get_throttles(), WorkflowsThrottle()]

    @takes_payloads
    def dispatch(self, request: HttpRequest, *args: Any, **kwargs: Any) -> Any:
        return super().dispatch(request, *args, **kwargs)

    def initial(self, request: Request, *args: Any, **kwargs: Any) -> None:
        # Before anybody asks for the body, authentication included.
        _take_body(request._request)
        super().initial(request, *args, **kwargs)

    @property
    def actor(self) -> Actor:
        """Who makes the request, in whose name it is told what is done."""
        return actor_of(self.request.user, API)

    def find_run(self) -> Run:
        """The run that the URL names. Raises Http404 unless the request may have it."""
        return access.find_run(self.request, self, self.kwargs["id"])

    def check_object_permissions(self, request: Request, obj: Any) -> None:
        """Only runs are asked about; a run that is refused is not there."""
        if not access.may_see(request, self, obj):
            raise access.not_found()

    def handle_exception(self, exc: Exception) -> Response:
        if isinstance(exc, WorkflowError):
            exc = _answer(exc)
        return super().handle_exception(exc)


def _take_body(request: HttpRequest) -> None:
    """Read the body, within the limit. REST framework would take one that comes in
    chunks, without a length, for none at all."""
    if was_parsed(request):
        return  # REST framework takes what a middleware of the project's has parsed
    limit = conf.MAX_PAYLOAD_BYTES
    try:
        body = read_body(request, limit)
    except UnacceptableBodyError as error:
        refusals: dict[int, APIException] = {
            400: ParseError("The body is not as long as its Content-Length."),
            411: LengthRequired(),
            413: TooLarge(f"The request is longer than {limit} bytes."),
        }
        raise refusals[error.status] from None
    request.META["CONTENT_LENGTH"] = str(len(body))


def _answer(error: WorkflowError) -> Exception:
    """What the client is told of a refusal; an error of ours stays one."""
    if isinstance(error, WorkflowRunNotFoundError):
        return access.not_found()
    if isinstance(error, HookNotFoundError):
        return Http404("there is no such hook")
    if isinstance(error, HookConflictError):
        # Its own message tells of a run that may be somebody else's.
        return Conflict("A hook token that this needs is held by another run.")
    if isinstance(error, InvalidRunStateError | DuplicateRunError):
        return Conflict(str(error))
    if isinstance(error, PayloadTooLargeError):
        return TooLarge(str(error))
    return error
