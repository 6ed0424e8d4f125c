"""How much was done."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from django.utils.translation import gettext as _

from django_workflows.admin.dashboard.charts import NARROW, Series, added, lines
from django_workflows.admin.dashboard.view import View
from django_workflows.admin.dashboard.writing import whole
from django_workflows.store.event_sample import ENDS, EVENTS, STARTS, STEP_ENDS


def panel(view: View) -> dict[str, Any]:
    """Runs started and ended, and steps done, in each part of the period."""
    series = [
        Series("steps", _("steps done"), _sums(view, STEP_ENDS)),
        Series("started", _("runs started"), _sums(view, STARTS)),
        Series("ended", _("runs ended"), _sums(view, ENDS)),
    ]
    note = ""
    if not view.sample.is_whole:
        note = _("There are too many to count: estimated from %(count)s events.") % {
            "count": whole(EVENTS)
        }
    return {
        "title": _("Throughput"),
        "chart": lines(view.columns, series, whole, width=NARROW),
        "note": note,
        "empty": _("Nothing was done in this period."),
    }


def _sums(view: View, kinds: Sequence[str]) -> list[float]:
    counts = view.sample.counts
    return added(*(counts[kind] for kind in kinds))
