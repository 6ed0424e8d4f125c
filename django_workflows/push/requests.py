"""What a client wants to follow, and whether it may: the same for all ways."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from rest_framework.authentication import BaseAuthentication
from rest_framework.exceptions import ValidationError
from rest_framework.permissions import BasePermission
from rest_framework.request import Request
from rest_framework.throttling import BaseThrottle
from rest_framework.views import APIView

from django_workflows.api.access import authenticators, find_run, permissions
from django_workflows.api.base import WorkflowsThrottle

_INDEX = re.compile(r"-?[0-9]{1,18}")
_LARGEST = 10**18 - 1
#: The same as a JSON schema.
INDEX_SCHEMA = {"type": "integer", "minimum": -_LARGEST, "maximum": _LARGEST}


@dataclass(frozen=True, slots=True)
class Wanted:
    """A run, one of its streams, and from which index on it is followed.

    Without `chunks` only what becomes of the run is told.
    """

    run_id: str
    namespace: str
    start: int
    chunks: bool


class FollowView(APIView):
    """Lets those follow a run whom the REST API lets read it."""

    versioning_class = None
    workflows_scope = "workflows-read"

    def get_authenticators(self) -> list[BaseAuthentication]:
        return authenticators()

    def get_permissions(self) -> Sequence[BasePermission]:
        return permissions()

    def get_throttles(self) -> list[BaseThrottle]:
        return [*super().get_throttles(), WorkflowsThrottle()]

    def wanted(self, request: Request, run_id: str) -> Wanted:
        """What the request asks for.

        Raises Http404 for a run that it may not have, and ValidationError.
        """
        run = find_run(request, self, run_id)
        query = request.query_params
        return Wanted(
            run.pk,
            query.get("namespace", ""),
            self.start(request),
            chunks=query.get("chunks") != "0",
        )

    def start(self, request: Request) -> int:
        """The index from which on chunks are wanted; a negative one counts from the
        end. Raises ValidationError."""
        return parse_index(request.query_params.get("start", ""), "start")


def parse_index(text: str, name: str) -> int:
    """An index out of a request, 0 if it is empty. Raises ValidationError."""
    if not text:
        return 0
    if not _INDEX.fullmatch(text):
        raise ValidationError({name: ["A whole number is required."]})
    return int(text)
