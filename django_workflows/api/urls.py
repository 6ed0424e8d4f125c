"""Routes of the REST API, for ``include()`` under a prefix of the project's choice."""

from __future__ import annotations

from collections.abc import Sequence

from rest_framework.authentication import BaseAuthentication
from rest_framework.permissions import BasePermission
from rest_framework.routers import APIRootView, DefaultRouter

from django_workflows.api import access
from django_workflows.api.logs import EventViewSet, StepViewSet
from django_workflows.api.runs import RunViewSet

app_name = "workflows_api"


class Root(APIRootView):
    """Where the API begins: its lists."""

    versioning_class = None

    def get_authenticators(self) -> list[BaseAuthentication]:
        return access.authenticators()

    def get_permissions(self) -> Sequence[BasePermission]:
        return access.permissions()

    def get_view_name(self) -> str:
        return "Workflows"


class Router(DefaultRouter):
    """REST framework's router with our root; formats are asked for by `?format=`."""

    APIRootView = Root
    include_format_suffixes = False


router = Router()
router.register("runs", RunViewSet, basename="run")
router.register(r"runs/(?P<id>[^/.]+)/events", EventViewSet, basename="run-event")
router.register(r"runs/(?P<id>[^/.]+)/steps", StepViewSet, basename="run-step")

urlpatterns = router.urls
