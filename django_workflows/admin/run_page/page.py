"""The page as a whole: which panels it has, and in which order."""

from __future__ import annotations

from typing import Any

from django.http import HttpRequest

from django_workflows.admin.run_page import (
    cause,
    events,
    family,
    graph,
    hooks,
    people,
    spent,
    steps,
    streams,
    summary,
    timeline,
    values,
)
from django_workflows.admin.run_page.subject import Subject
from django_workflows.models import Run

#: Modules of this package. Each has a function `panel(subject)`, which returns what the
#: template of its name in `admin/django_workflows/run/` shows, or None if there is
#: nothing to show.
PANELS = (
    summary,
    cause,
    people,
    hooks,
    graph,
    timeline,
    spent,
    values,
    family,
    steps,
    streams,
    events,
)


def context_of(request: HttpRequest, run: Run) -> dict[str, Any]:
    """What the page of a run shows to a user."""
    subject = Subject(request, run)
    panels = []
    for module in PANELS:
        shown = module.panel(subject)
        if shown is not None:
            name = module.__name__.rpartition(".")[2]
            template = f"admin/django_workflows/run/{name}.html"
            panels.append({"name": name, "template": template, **shown})
    names = {"title": run.title, "subtitle": run.pk}
    return {"run": run, "panels": panels, **names}
