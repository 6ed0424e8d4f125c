"""How many of the runs failed."""

from __future__ import annotations

from typing import Any

from django.utils.translation import gettext as _

from django_workflows.admin.dashboard.charts import NARROW, Series, added, lines
from django_workflows.admin.dashboard.outcomes import ENDED, FAILED
from django_workflows.admin.dashboard.view import View
from django_workflows.admin.dashboard.writing import percent


def panel(view: View) -> dict[str, Any]:
    """The share of failures among the runs started in each part of the period."""
    counts = view.runs.by_status
    failed = added(*(counts[each] for each in FAILED))
    ended = added(*(counts[each] for each in ENDED))
    shares = [
        100 * some / most if most else 0.0
        for some, most in zip(failed, ended, strict=True)
    ]
    series = [Series("failed", _("failed or timed out"), shares)]
    return {
        "title": _("Failure rate"),
        "chart": lines(view.columns, series, percent, width=NARROW),
        "note": view.estimate,
        "empty": _("No run that was started in this period has failed."),
    }
