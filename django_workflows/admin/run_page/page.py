"""The page as a whole: which panels it has, and in which order."""

from __future__ import annotations

from typing import Any

from django.http import HttpRequest

from django_workflows.admin.panels import panels_of
from django_workflows.admin.run_page import (
    cause,
    events,
    family,
    graph,
    hooks,
    past_hooks,
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
#: template of its name in `admin/django_workflows/run/` shows, and a `title`; or None
#: if there is nothing to show. First comes what somebody may have to do.
PANELS = (
    summary,
    cause,
    hooks,
    people,
    graph,
    timeline,
    values,
    steps,
    spent,
    family,
    streams,
    past_hooks,
    events,
)


def context_of(request: HttpRequest, run: Run) -> dict[str, Any]:
    """What the page of a run shows to a user."""
    panels = panels_of(PANELS, Subject(request, run), "run")
    return {"run": run, "panels": panels, "title": run.title, "subtitle": run.pk}
