"""The dashboard as a whole: which panels it has, and in which order."""

from __future__ import annotations

from typing import Any

from django.http import HttpRequest

from django_workflows.admin.dashboard import (
    attention,
    blocked,
    failures,
    numbers,
    queues,
    rates,
    schedules,
    starts,
    steps,
    throughput,
    workers,
)
from django_workflows.admin.dashboard.periods import PERIODS, period_of
from django_workflows.admin.dashboard.view import View
from django_workflows.admin.panels import panels_of
from django_workflows.admin.permissions import may, may_view

#: Modules of this package. Each has a function `panel(view)`, which returns what the
#: template of its name in `admin/django_workflows/dashboard/` shows, or None if there
#: is nothing that this user may see.
PANELS = (
    attention,
    numbers,
    blocked,
    starts,
    throughput,
    rates,
    failures,
    steps,
    queues,
    schedules,
    workers,
)


def context_of(request: HttpRequest) -> dict[str, Any] | None:
    """What the dashboard shows to a user; None for one who may not see runs."""
    if not may_view(request, "run"):
        return None
    view = View(request, period_of(request.GET.get("period")))
    return {
        "periods": [(each, each is view.period) for each in PERIODS],
        "since": view.edges[0],
        "has_runs": view.has_runs,
        "may_start": may(request, "start"),
        "panels": panels_of(PANELS, view, "dashboard"),
    }
