"""The pages of definitions: listed, edited, started, hidden."""

from __future__ import annotations

from typing import Any
from urllib.parse import urlencode

from django.contrib import admin, messages
from django.contrib.admin.models import LogEntry
from django.contrib.admin.utils import unquote
from django.contrib.admin.views.main import ChangeList
from django.core.exceptions import PermissionDenied
from django.db import router, transaction
from django.db.models import QuerySet
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseRedirect
from django.template.response import TemplateResponse
from django.urls import URLPattern, path, reverse
from django.utils.html import format_html
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from django_workflows.admin.addresses import run_url, runs_url
from django_workflows.admin.base import FilteredList, WorkflowsAdmin, column, time_html
from django_workflows.admin.definitions.form import EXAMPLE, DefinitionForm, pretty
from django_workflows.admin.definitions.graphs import picture_of
from django_workflows.admin.definitions.page import page_of
from django_workflows.admin.definitions.start import ExecutionForm
from django_workflows.admin.permissions import may
from django_workflows.definitions.schema import WorkflowDefinition
from django_workflows.definitions.storing import (
    Current,
    current_definitions,
    current_of,
    delete_definition,
    read_row,
    register,
    versions_of,
)
from django_workflows.errors import InvalidDefinitionError
from django_workflows.models import Definition

_NAME = "admin:django_workflows_definition_"


@admin.register(Definition)
class DefinitionAdmin(WorkflowsAdmin[Definition]):
    """Workflows that are kept as data. Versions never change: to edit one makes the
    next, and to delete one hides them all."""

    change_list_template = "admin/django_workflows/definition/change_list.html"
    delete_confirmation_template = "admin/django_workflows/definition/delete.html"
    list_display = (
        column("definition_id", gettext_lazy("id")),
        column("name", gettext_lazy("name")),
        column("version", gettext_lazy("version")),
        "kind",
        "created",
        "started",
    )
    search_fields = ("definition_id", "name")
    ordering = ("definition_id",)
    show_full_result_count = False
    actions = None

    # -- the list ---------------------------------------------------------------------

    def get_changelist(self, request: HttpRequest, **options: Any) -> type[ChangeList]:
        return DefinitionList

    @admin.display(description=gettext_lazy("kind"), ordering="is_code")
    def kind(self, row: Definition) -> str:
        return _("code") if row.is_code else _("data")

    @admin.display(description=gettext_lazy("created"), ordering="created_at")
    def created(self, row: Definition) -> str:
        return time_html(row.created_at)

    @admin.display(description=gettext_lazy("executions"))
    def started(self, row: Definition) -> str:
        return format_html(
            '<a href="{}">{}</a>',
            runs_url(definition=row.definition_id),
            _("Executions"),
        )

    # -- one of them ------------------------------------------------------------------

    def get_urls(self) -> list[URLPattern]:
        views = {"code": self.code_view, "start": self.start_view}
        own = [
            path(
                f"{name}/",
                self.admin_site.admin_view(view),
                name=f"django_workflows_definition_{name}",
            )
            for name, view in views.items()
        ]
        return [*own, *super().get_urls()]

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
            answer: HttpResponse = self._get_obj_does_not_exist_redirect(  # type: ignore[attr-defined]
                request, self.opts, object_id
            )
            return answer
        definition, current = read_row(row), _current(row.definition_id)
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

    def code_view(self, request: HttpRequest) -> HttpResponse:
        """A definition of a class that was never started: there is no row of it."""
        if not self.has_view_permission(request):
            raise PermissionDenied
        current = _current(request.GET.get("id", ""))
        if current is None:
            raise Http404
        if current.row_id is not None:
            return HttpResponseRedirect(row_url(current.row_id))
        context = page_of(request, current.definition, None, current)
        return self._show(request, {**context, "title": current.definition.id})

    def start_view(self, request: HttpRequest) -> HttpResponse:
        """Start an execution of the newest version of the definition `?id=`."""
        if not may(request, "start"):
            raise PermissionDenied
        current = _current(request.GET.get("id", ""))
        if current is None:
            raise Http404
        form = ExecutionForm(request)
        if request.method == "POST" and (run := form.start(current)):
            said = {"run": run.pk, "name": current.definition.name}
            messages.success(
                request, _("Run %(run)s of %(name)s has been started.") % said
            )
            if request.user.has_perm("django_workflows.view_run"):
                return HttpResponseRedirect(run_url(run))
            return HttpResponseRedirect(request.get_full_path())
        context = {"form": form, "definition": current.definition}
        context["title"] = _("Start an execution")
        return self._page(request, "start", context)

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
        before = versions_of(form.definition.id).last()
        with transaction.atomic(using=router.db_for_write(LogEntry)):
            made = register(form.definition)
            row = versions_of(made.id).get(version=made.version or 0)
            said = {"version": row.version}
            if before is None:
                self.log_addition(request, row, [{"added": {}}])
            elif before.pk != row.pk or before.deleted_at is not None:
                self.log_change(request, row, _("Saved version %(version)d") % said)
        if before is not None and before.pk == row.pk and before.deleted_at is None:
            text = _("Nothing has changed: it is still version %(version)d.")
        else:
            text = _("Version %(version)d has been saved. What runs keeps its own.")
        messages.success(request, text % said)
        if not self.has_view_or_change_permission(request, row):
            return HttpResponseRedirect(reverse("admin:index"))
        return HttpResponseRedirect(row_url(row.pk))

    def _show(self, request: HttpRequest, context: dict[str, Any]) -> HttpResponse:
        row = context.get("original")
        context["may_delete"] = (
            row is not None
            and context["current"] is not None
            and self.has_delete_permission(request, row)
        )
        if "definition" in context:
            context["runs_url"] = runs_url(definition=context["definition"].id)
        return self._page(request, "page", context)

    def _page(
        self, request: HttpRequest, template: str, context: dict[str, Any]
    ) -> HttpResponse:
        common = {
            **self.admin_site.each_context(request),
            "opts": self.opts,
            "media": self.media,
            "has_view_permission": self.has_view_permission(request),
        }
        name = f"admin/django_workflows/definition/{template}.html"
        return TemplateResponse(request, name, {**common, **context})

    # -- hiding -----------------------------------------------------------------------

    def delete_model(self, request: HttpRequest, obj: Definition) -> None:
        """Hide the definition with all of its versions."""
        delete_definition(obj.definition_id)

    def get_deleted_objects(self, objs: Any, request: HttpRequest) -> Any:
        """Nothing else is hidden with it."""
        return [str(row.definition_id) for row in objs], {}, set(), []


class DefinitionList(FilteredList):
    """The current version of each definition."""

    def get_queryset(self, request: HttpRequest, *args: Any) -> QuerySet[Any]:
        current = list(current_definitions())
        #: Those of classes of which there is no row yet.
        self.only_in_code = [
            {
                "id": each.definition.id,
                "url": f"{_url('code')}?{_query(each.definition.id)}",
            }
            for each in current
            if each.row_id is None
        ]
        rows = super().get_queryset(request, *args).defer("content")
        return rows.filter(pk__in=[each.row_id for each in current if each.row_id])


def row_url(row_id: int) -> str:
    """The page of a version."""
    return reverse(f"{_NAME}change", args=[row_id])


def _url(view: str) -> str:
    return reverse(f"{_NAME}{view}")


def _query(definition_id: str) -> str:
    return urlencode({"id": definition_id})


def _current(definition_id: str) -> Current | None:
    """What an id means now; None also if the class of it makes no sense, of which the
    system checks tell."""
    if "\0" in definition_id:  # which PostgreSQL refuses
        return None
    try:
        return current_of(definition_id)
    except InvalidDefinitionError:
        return None


def _initial(definition: WorkflowDefinition, based_on: int) -> dict[str, Any]:
    return {"text": pretty(definition), "based_on": based_on}
