"""How long steps take."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import ceil
from typing import Any

from django.utils.translation import gettext as _

from django_workflows.admin.dashboard.view import View
from django_workflows.admin.dashboard.writing import whole
from django_workflows.admin.durations import in_words
from django_workflows.store.activity import step_times

#: Names of steps that are shown: those that take longest.
_SLOWEST = 8
_PERCENTILES = (50, 95, 99)


@dataclass(frozen=True)
class Line:
    """A step by name, and what so many percent of its attempts take at most."""

    name: str
    count: str
    times: tuple[str, ...]


def panel(view: View) -> dict[str, Any]:
    """Percentiles of all steps together, and of the slowest by name."""
    times = step_times(view.sample)
    by_name: dict[str, list[float]] = {}
    for each in times:
        by_name.setdefault(each.name, []).append(each.seconds)
    slowest = sorted(by_name, key=lambda name: -percentile(by_name[name], 95))
    lines = [_line(name, by_name[name]) for name in slowest[:_SLOWEST]]
    if len(by_name) > 1:
        lines.insert(0, _line(_("All steps"), [each.seconds for each in times]))
    return {
        "title": _("How long steps take"),
        "lines": lines,
        "percentiles": [f"p{percent}" for percent in _PERCENTILES],
        "note": _("Of %(count)s last attempts, from all over the period.")
        % {"count": whole(len(times))},
        "others": max(0, len(by_name) - _SLOWEST),
    }


def percentile(values: Sequence[float], percent: float) -> float:
    """The smallest value that is not less than so many percent of them."""
    ordered = sorted(values)
    return ordered[max(0, ceil(len(ordered) * percent / 100) - 1)]


def _line(name: str, seconds: Sequence[float]) -> Line:
    times = tuple(in_words(percentile(seconds, percent)) for percent in _PERCENTILES)
    return Line(name, whole(len(seconds)), times)
