"""Routes of the REST API, for ``include()`` under a prefix of the project's choice."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any, NoReturn

from django.contrib.auth.decorators import login_not_required
from django.http import Http404, HttpRequest
from django.http.response import HttpResponseBase
from django.urls import path, re_path
from django.views.decorators.csrf import csrf_exempt
from rest_framework.routers import APIRootView, DefaultRouter

from django_workflows.api.base import WorkflowsView
from django_workflows.api.business_events import BusinessEventViewSet
from django_workflows.api.definitions import DefinitionViewSet
from django_workflows.api.description import DescriptionViewSet
from django_workflows.api.health import HealthViewSet, WorkerViewSet
from django_workflows.api.hooks import HookViewSet
from django_workflows.api.logs import EventViewSet, StepViewSet
from django_workflows.api.runs import RunViewSet
from django_workflows.api.schedules import ScheduleViewSet
from django_workflows.api.workflows import WorkflowViewSet
from django_workflows.http.tokens import CONVERTER
from django_workflows.push.sse import StreamView

app_name = "workflows_api"


class Root(WorkflowsView, APIRootView):
    """Where the API begins: its lists."""

    def get_view_name(self) -> str:
        return "Workflows"


class Nowhere(WorkflowsView):
    """What no route below one of our lists leads to: as JSON, like every other answer.

    Beside them, the project may have routes of its own under the same prefix.
    """

    def http_method_not_allowed(
        self, request: HttpRequest, *args: Any, **kwargs: Any
    ) -> NoReturn:
        raise Http404


class Router(DefaultRouter):
    """REST framework's router with our root; formats are asked for by `?format=`."""

    APIRootView = Root
    include_format_suffixes = False

    def get_api_root_view(self, api_urls: Any = None) -> Any:
        """Lists below a run are linked by that run; health and schema are no lists."""
        links = {**self.lists(), "health": "health", "schema": "schema"}
        return self.APIRootView.as_view(api_root_dict=links)

    def lists(self) -> dict[str, str]:
        """The paths of lists that are below no run, and the names of their routes."""
        return {
            prefix: f"{basename}-list"
            for prefix, _, basename in self.registry
            if "(" not in prefix
        }


router = Router()
router.register("runs", RunViewSet, basename="run")
router.register(r"runs/(?P<id>[^/]+)/events", EventViewSet, basename="run-event")
router.register(r"runs/(?P<id>[^/]+)/steps", StepViewSet, basename="run-step")
router.register("definitions", DefinitionViewSet, basename="definition")
router.register("events", BusinessEventViewSet, basename="business-event")
router.register("schedules", ScheduleViewSet, basename="schedule")
router.register("workflows", WorkflowViewSet, basename="workflow")
router.register("workers", WorkerViewSet, basename="worker")

_HOOK = f"hooks/<{CONVERTER}:token>"
_SHOW: dict[str, Any] = {"get": "retrieve"}
_RESUME: dict[str, Any] = {"post": "resume", "get": "retrieve_like_route"}
_hook = HookViewSet.as_view(_SHOW)
_resume = HookViewSet.as_view(_RESUME, name="Resume")
_nowhere = Nowhere.as_view()
_LISTS = "|".join(map(re.escape, router.lists()))


@csrf_exempt  # REST framework sees to that
@login_not_required
def _elsewhere(
    request: HttpRequest, view: Callable[..., HttpResponseBase], **kwargs: Any
) -> HttpResponseBase:
    """Another route to a view, unknown to breadcrumbs and to the description."""
    return view(request, **kwargs)


urlpatterns = [
    *router.urls,
    path("runs/<str:id>/stream/", StreamView.as_view(), name="run-stream"),
    path("health/", HealthViewSet.as_view(_SHOW), name="health"),
    path("schema/", DescriptionViewSet.as_view(_SHOW), name="schema"),
    path(f"{_HOOK}/resume/", _resume, name="hook-resume"),
    path(f"{_HOOK}/", _hook, name="hook-detail"),
    # A path that is not found is in the log. So the slash at the end may be missing.
    path(f"{_HOOK}/resume", _elsewhere, {"view": _resume}),
    path(_HOOK, _elsewhere, {"view": _hook}),
    # With a slash at the end: without, Django looks whether it is only that.
    re_path(rf"^(?:{_LISTS})/(?s:.*)/\Z", _elsewhere, {"view": _nowhere}),
]
