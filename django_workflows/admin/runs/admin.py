"""The pages of runs: the list, and what is reached from it."""

from __future__ import annotations

from typing import Any

from django.contrib import admin
from django.http import HttpRequest, HttpResponse

from django_workflows.admin.run_page.page import context_of
from django_workflows.admin.runs.list import RunList
from django_workflows.admin.runs.steering_pages import SteeringPages
from django_workflows.admin.starting.pages import StartPages
from django_workflows.models import Run


@admin.register(Run)
class RunAdmin(StartPages, SteeringPages, RunList):
    """Runs, which only their operations change."""

    change_form_template = "admin/django_workflows/run/page.html"

    def render_change_form(
        self,
        request: HttpRequest,
        context: dict[str, Any],
        add: bool = False,
        change: bool = False,
        form_url: str = "",
        obj: Run | None = None,
    ) -> HttpResponse:
        """The page of a run, which is no form."""
        if obj is not None:
            context |= context_of(request, obj)
        return super().render_change_form(request, context, add, change, form_url, obj)
