"""The pages of definitions: listed, edited, started, hidden."""

from __future__ import annotations

from typing import Any

from django.contrib import admin, messages
from django.contrib.admin.utils import unquote
from django.core.exceptions import PermissionDenied
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseRedirect
from django.urls import URLPattern, reverse
from django.utils.translation import gettext as _

from django_workflows.admin.addresses import definition_url, run_url, runs_url
from django_workflows.admin.definitions.form import EXAMPLE, DefinitionForm, pretty
from django_workflows.admin.definitions.graphs import picture_of
from django_workflows.admin.definitions.list import DefinitionList
from django_workflows.admin.definitions.page import page_of
from django_workflows.admin.definitions.start import ExecutionForm
from django_workflows.admin.payloads import payload_text
from django_workflows.admin.permissions import may, may_see_payloads, may_view
from django_workflows.core.rendering import text_to_show
from django_workflows.definitions.people import save
from django_workflows.definitions.schema import WorkflowDefinition
from django_workflows.definitions.storing import (
    Current,
    UnreadableDefinitionError,
    current_of,
    delete_definition,
    read_row,
)
from django_workflows.errors import InvalidDefinitionError, WorkflowRunNotFoundError
from django_workflows.http.discretion import takes_payloads
from django_workflows.models import Definition, Run
from django_workflows.store.launching import get_run
from django_workflows.store.people.actors import actor_of


@admin.register(Definition)
class DefinitionAdmin(DefinitionList):
    """Workflows that are kept as data. Versions never change: to edit one makes the
    next, and to delete one hides them all."""

    delete_confirmation_template = "admin/django_workflows/definition/delete.html"

    # -- one of them ------------------------------------------------------------------

    def get_urls(self) -> list[URLPattern]:
        """`definition/code/` and `definition/start/`, before Django's own."""
        own = [
            self.own_url("code", self.code_view, is_of_row=False),
            self.own_url("start", self.start_view, is_of_row=False),
        ]
        return [*own, *super().get_urls()]

    @takes_payloads
    def add_view(
        self,
        request: HttpRequest,
        form_url: str = "",
        extra_context: dict[str, Any] | None = None,
    ) -> HttpResponse:
        """The editor of a new definition."""
        if not self.has_add_permission(request):
            raise PermissionDenied
        form = DefinitionForm(None, request.POST or None, initial=_initial(EXAMPLE, 0))
        return self._edit(request, form, {"title": _("Add definition")})

    @takes_payloads
    def change_view(
        self,
        request: HttpRequest,
        object_id: str,
        form_url: str = "",
        extra_context: dict[str, Any] | None = None,
    ) -> HttpResponse:
        """The editor of a definition, which begins with one of its versions; that of
        the version before is read, until somebody wants to edit it."""
        row = self.get_object(request, unquote(object_id))
        if not self.has_view_or_change_permission(request, row):
            raise PermissionDenied
        if row is None:
            return self.not_found(request, object_id)
        try:
            definition = read_row(row)
        except UnreadableDefinitionError as error:
            return self._show_unreadable(request, row, error)
        current = _current(row.definition_id)
        context = page_of(request, definition, row, current)
        context["title"] = str(row)
        may_edit = self.has_change_permission(request, row) and not (
            row.is_code or context["code"]
        )
        if request.method == "POST" and not may_edit:
            raise PermissionDenied
        context["may_edit"] = may_edit
        begins = context["is_current"] or request.method == "POST"
        if not may_edit or not (begins or "edit" in request.GET):
            return self._show(request, context)
        based_on = 0 if current is None else current.definition.version or 0
        initial = _initial(definition, based_on)
        form = DefinitionForm(definition.id, request.POST or None, initial=initial)
        return self._edit(request, form, context)

    def _show_unreadable(
        self, request: HttpRequest, row: Definition, error: UnreadableDefinitionError
    ) -> HttpResponse:
        """The page of a version that somebody has damaged: what is there."""
        text = payload_text(text_to_show(row.content)).text
        context = {"title": str(row), "original": row, "current": None, "text": text}
        return self._show(request, {**context, "problem": str(error)})

    def code_view(self, request: HttpRequest) -> HttpResponse:
        """A definition of a class that was never started: there is no row of it."""
        if not self.has_view_permission(request):
            raise PermissionDenied
        current = _current(request.GET.get("id", ""))
        if current is None:
            raise Http404
        if current.row_id is not None:
            return HttpResponseRedirect(definition_url(current.row_id))
        context = page_of(request, current.definition, None, current)
        return self._show(request, {**context, "title": current.definition.id})

    @takes_payloads
    def start_view(self, request: HttpRequest) -> HttpResponse:
        """Start an execution of the newest version of the definition `?id=`; with
        `again`, the id of an earlier one, its input is there to be changed."""
        if not may(request, "start"):
            raise PermissionDenied
        current = _current(request.GET.get("id", ""))
        if current is None:
            raise Http404
        origin = _origin(request, current)
        form = ExecutionForm(request, origin)
        if request.method == "POST" and (run := form.start(current)):
            said = {"run": run.pk, "name": current.definition.name}
            messages.success(
                request, _("Run %(run)s of %(name)s has been started.") % said
            )
            if may_view(request, "run"):
                return HttpResponseRedirect(run_url(run))
            return HttpResponseRedirect(request.get_full_path())
        context = {
            "title": _("Start an execution"),
            "form": form,
            "definition": current.definition,
            "origin": origin,
        }
        return self.page(request, "definition/start.html", context)

    def _edit(
        self, request: HttpRequest, form: DefinitionForm, context: dict[str, Any]
    ) -> HttpResponse:
        """Show the editor; check or save what was sent."""
        is_right = form.is_valid()
        is_check = "_check" in request.POST
        if is_right and not is_check and not form.told_of_others():
            return self._save(request, form)
        context = {**context, "form": form, "is_checked": is_right and is_check}
        if form.is_bound:
            definition = form.definition
            context["picture"] = None if definition is None else picture_of(definition)
        return self._show(request, {"picture": picture_of(EXAMPLE), **context})

    def _save(self, request: HttpRequest, form: DefinitionForm) -> HttpResponse:
        assert form.definition is not None
        saved = save(actor_of(request.user), form.definition)
        if saved.is_news:
            text = _("Version %(version)d has been saved. What runs keeps its own.")
        else:
            text = _("Nothing has changed: it is still version %(version)d.")
        messages.success(request, text % {"version": saved.row.version})
        if not self.has_view_or_change_permission(request, saved.row):
            return HttpResponseRedirect(reverse("admin:index"))
        return HttpResponseRedirect(definition_url(saved.row.pk))

    def _show(self, request: HttpRequest, context: dict[str, Any]) -> HttpResponse:
        row = context.get("original")
        context["may_delete"] = (
            row is not None
            and context["current"] is not None
            and self.has_delete_permission(request, row)
        )
        if "definition" in context:
            context["runs_url"] = runs_url({"definition": context["definition"].id})
        return self.page(request, "definition/page.html", context)

    # -- hiding -----------------------------------------------------------------------

    def delete_model(self, request: HttpRequest, obj: Definition) -> None:
        """Hide the definition with all of its versions."""
        delete_definition(obj.definition_id)

    def get_deleted_objects(self, objs: Any, request: HttpRequest) -> Any:
        """Nothing else is hidden with it."""
        return [str(row.definition_id) for row in objs], {}, set(), []


def _current(definition_id: str) -> Current | None:
    """What an id means now; None also if the class of it makes no sense, of which the
    system checks tell."""
    if "\0" in definition_id:  # which PostgreSQL refuses
        return None
    try:
        return current_of(definition_id)
    except InvalidDefinitionError:
        return None


def _origin(request: HttpRequest, current: Current) -> Run | None:
    """The execution that is to be started again with changed input, if there is one."""
    run_id = request.GET.get("again")
    if not run_id:
        return None
    if not (may_see_payloads(request) and may_view(request, "run")):
        raise PermissionDenied
    try:
        run = get_run(run_id)
    except WorkflowRunNotFoundError:
        raise Http404 from None
    if run.definition_id != current.definition.id:
        raise Http404
    return run


def _initial(definition: WorkflowDefinition, based_on: int) -> dict[str, Any]:
    return {"text": pretty(definition), "based_on": based_on}
