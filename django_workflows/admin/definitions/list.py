"""The list of definitions."""

from __future__ import annotations

from typing import Any
from urllib.parse import urlencode

from django.contrib.admin import display
from django.contrib.admin.views.main import ChangeList
from django.db.models import QuerySet
from django.http import HttpRequest
from django.urls import reverse
from django.utils.html import format_html
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from django_workflows.admin.addresses import runs_url
from django_workflows.admin.base import (
    FilteredChangeList,
    WorkflowsAdmin,
    column,
    time_html,
)
from django_workflows.definitions.schema import WorkflowDefinition
from django_workflows.definitions.storing import look_at_definitions
from django_workflows.models import Definition


class DefinitionChangeList(FilteredChangeList):
    """The current version of each definition."""

    def get_queryset(self, request: HttpRequest, *args: Any) -> QuerySet[Any]:
        found = list(look_at_definitions())
        code_url = reverse("admin:django_workflows_definition_code")
        #: Those of classes of which there is no row yet.
        self.only_in_code = [
            {
                "id": each.id,
                "url": f"{code_url}?{urlencode({'id': each.id})}",
            }
            for each in found
            if isinstance(each, WorkflowDefinition)
        ]
        rows = super().get_queryset(request, *args).defer("content")
        keys = [each.pk for each in found if isinstance(each, Definition)]
        return rows.filter(pk__in=keys)


class DefinitionList(WorkflowsAdmin[Definition]):
    """Definitions by id, each in its current version."""

    change_list_template = "admin/django_workflows/definition/list.html"
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

    def get_changelist(self, request: HttpRequest, **options: Any) -> type[ChangeList]:
        return DefinitionChangeList

    @display(description=gettext_lazy("kind"), ordering="is_code")
    def kind(self, row: Definition) -> str:
        return _("code") if row.is_code else _("data")

    @display(description=gettext_lazy("created"), ordering="created_at")
    def created(self, row: Definition) -> str:
        return time_html(row.created_at)

    @display(description=gettext_lazy("executions"))
    def started(self, row: Definition) -> str:
        return format_html(
            '<a href="{}">{}</a>',
            runs_url({"definition": row.definition_id}),
            _("Executions"),
        )
