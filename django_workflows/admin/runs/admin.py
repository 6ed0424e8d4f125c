"""The pages of runs: the list, and what is reached from it."""

from __future__ import annotations

from typing import Any

from django.contrib import admin
from django.http import HttpRequest

from django_workflows.admin.run_page.page import context_of
from django_workflows.admin.runs.list import RunList
from django_workflows.admin.runs.steering_pages import SteeringPages
from django_workflows.admin.starting.pages import StartPages
from django_workflows.models import Run


@admin.register(Run)
class RunAdmin(StartPages, SteeringPages, RunList):
    """Runs, which only their operations change."""

    change_form_template = "admin/django_workflows/run/page.html"

    def page_of(self, request: HttpRequest, row: Run) -> dict[str, Any]:
        """The page of a run, which is no form."""
        return context_of(request, row)
