"""How many of the runs failed."""

from __future__ import annotations

from typing import Any

from django.utils.translation import gettext as _

from django_workflows.admin.charts import NARROW, Series, added, lines
from django_workflows.admin.dashboard.starts import note
from django_workflows.admin.dashboard.view import View
from django_workflows.admin.dashboard.writing import percent
from django_workflows.models import Run

_FAILED = (Run.Status.FAILED, Run.Status.TIMED_OUT)
#: What somebody has stopped neither failed nor succeeded.
_ENDED = (*_FAILED, Run.Status.COMPLETED, Run.Status.CONTINUED_AS_NEW)


def panel(view: View) -> dict[str, Any]:
    """The share of failures among the runs started in each part of the period."""
    counts = view.runs.by_status
    failed = added(*(counts[each] for each in _FAILED))
    ended = added(*(counts[each] for each in _ENDED))
    shares = [
        100 * some / most if most else 0.0
        for some, most in zip(failed, ended, strict=True)
    ]
    series = [Series("failed", _("failed or timed out"), shares)]
    return {
        "title": _("Failure rate"),
        "chart": lines(view.columns, series, percent, width=NARROW),
        "note": note(view),
        "empty": _("No run that was started in this period has failed."),
    }


def failure_rate(view: View) -> float | None:
    """That of the whole period, in percent; None if no run has ended."""
    counts = view.runs.by_status
    ended = sum(sum(counts[each]) for each in _ENDED)
    return 100 * sum(sum(counts[each]) for each in _FAILED) / ended if ended else None
