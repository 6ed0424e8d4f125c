"""The pages on which people start workflows."""

from __future__ import annotations

import inspect
from typing import Any
from urllib.parse import urlencode

from django.contrib import messages
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.urls import URLPattern, reverse
from django.utils.decorators import method_decorator
from django.utils.translation import gettext as _
from django.views.decorators.csrf import csrf_protect
from django.views.decorators.http import require_http_methods

from django_workflows.admin.addresses import run_url
from django_workflows.admin.base import WorkflowsAdmin
from django_workflows.admin.permissions import may, may_see_payloads
from django_workflows.admin.starting.form import StartForm
from django_workflows.admin.starting.starts import INTERNAL, startable_workflows
from django_workflows.errors import WorkflowRunNotFoundError
from django_workflows.http.discretion import takes_payloads
from django_workflows.models import Run
from django_workflows.replay.definitions import Workflow
from django_workflows.replay.registry import registry
from django_workflows.store.launching import get_run


class _NoPageError(Exception):
    """There is nothing to start here; says why."""


class StartPages(WorkflowsAdmin[Run]):
    """Adds to the admin of runs a page that starts one."""

    def get_urls(self) -> list[URLPattern]:
        """`run/start/`, before Django's own."""
        own = self.own_url("start", self.start_view, is_of_row=False)
        return [own, *super().get_urls()]

    @takes_payloads
    @method_decorator(csrf_protect)
    @method_decorator(require_http_methods(["GET", "HEAD", "POST"]))
    def start_view(self, request: HttpRequest) -> HttpResponse:
        """Let choose a workflow; with `?workflow=` or `?again=`, start it.

        `version` chooses one that is not the newest. `again` is the id of a run: its
        input is there to be changed.
        """
        if not may(request, "start"):
            raise PermissionDenied
        try:
            origin = self._origin(request)
            workflow = _workflow(request, origin)
        except _NoPageError as error:
            messages.error(request, str(error))
            return HttpResponseRedirect(reverse("admin:django_workflows_run_start"))
        if workflow is None:
            return self._choose(request)
        form = StartForm(request, workflow, origin)
        if request.method == "POST" and (started := form.start()):
            text = _("Run %(run)s of %(workflow)s has been started.")
            said = {"run": started.run.pk, "workflow": workflow.name}
            messages.success(request, text % said)
            if self.has_view_permission(request, started.run):
                return HttpResponseRedirect(run_url(started.run))
            return HttpResponseRedirect(request.get_full_path())
        return self._show(request, workflow, form, origin)

    def _origin(self, request: HttpRequest) -> Run | None:
        run_id = request.GET.get("again")
        if not run_id:
            return None
        try:
            run = get_run(run_id)
        except WorkflowRunNotFoundError as error:
            raise _NoPageError(str(error)) from None
        if not (may_see_payloads(request) and self.has_view_permission(request, run)):
            raise PermissionDenied
        return run

    def _choose(self, request: HttpRequest) -> HttpResponse:
        workflows = [
            {"name": each.name, "summary": summary(each), "url": start_url(each.name)}
            for each in startable_workflows()
        ]
        context = {"title": _("Start a workflow"), "workflows": workflows}
        return self.page(request, "run/choose_workflow.html", context)

    def _show(
        self,
        request: HttpRequest,
        workflow: Workflow[..., Any],
        form: StartForm,
        origin: Run | None,
    ) -> HttpResponse:
        again = {} if origin is None else {"again": origin.pk}
        versions = [
            {"name": each, "url": start_url(workflow.name, version=each, **again)}
            for each in registry.versions_of(workflow.name)
        ]
        context = {
            "title": _("Start %(workflow)s") % {"workflow": workflow.name},
            "form": form,
            "description": inspect.getdoc(workflow.func) or "",
            "versions": versions if len(versions) > 1 else [],
            "origin": origin,
            "media": self.media + form.media,
        }
        return self.page(request, "run/start.html", context)


def start_url(name: str, **query: str) -> str:
    """The page that starts the workflow of this name."""
    url = reverse("admin:django_workflows_run_start")
    return f"{url}?{urlencode({'workflow': name, **query})}"


def summary(workflow: Workflow[..., Any]) -> str:
    """The first sentence that the function says about itself."""
    return (inspect.getdoc(workflow.func) or "").partition("\n\n")[0]


def _is_same(name: str, other: str) -> bool:
    """Whether two names are those of one workflow, now or formerly."""
    return registry.current_name(name) == registry.current_name(other)


def _workflow(request: HttpRequest, origin: Run | None) -> Workflow[..., Any] | None:
    """The workflow that the URL names, or that the run was of."""
    name = request.GET.get("workflow") or (origin.workflow if origin else "")
    if not name:
        return None
    if origin is not None and not _is_same(name, origin.workflow):
        # Its input may be redacted by the names of its own parameters.
        raise _NoPageError(
            _("Run %(run)s is of another workflow.") % {"run": origin.pk}
        )
    version = request.GET.get("version")
    if version is None and origin is not None and name == origin.workflow:
        kept = registry.find_workflow(name, origin.version)
        version = None if kept is None else origin.version
    workflow = registry.find_workflow(name, version)
    if workflow is None:
        text = _("This process knows no workflow named %(name)s.")
        if version:
            text = _("This process knows no version %(version)s of %(name)s.")
        raise _NoPageError(text % {"name": name, "version": version})
    if workflow.name in INTERNAL:
        raise _NoPageError(_("Definitions are started from their own pages."))
    return workflow
