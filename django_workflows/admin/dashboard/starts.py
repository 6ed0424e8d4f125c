"""How many runs were started, and what became of them."""

from __future__ import annotations

from typing import Any

from django.utils.translation import gettext as _

from django_workflows.admin.dashboard.charts import Series, stacked_bars
from django_workflows.admin.dashboard.view import View
from django_workflows.admin.dashboard.writing import whole
from django_workflows.models import Run

#: From the bottom of each bar to its top: what went well, what goes on, what did not.
_STATUSES = (
    Run.Status.COMPLETED,
    Run.Status.CONTINUED_AS_NEW,
    Run.Status.RUNNING,
    Run.Status.PENDING,
    Run.Status.PAUSED,
    Run.Status.CANCELLED,
    Run.Status.TERMINATED,
    Run.Status.TIMED_OUT,
    Run.Status.FAILED,
)


def panel(view: View) -> dict[str, Any]:
    """A bar for each part of the period, by status."""
    series = [
        Series(status.value, str(status.label), values)
        for status in _STATUSES
        if any(values := view.runs.by_status[status])
    ]
    return {
        "title": _("Runs started, by their status now"),
        "chart": stacked_bars(view.columns, series, whole),
        "note": view.estimate,
        "empty": _("No run was started in this period."),
    }
