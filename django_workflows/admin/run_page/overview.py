"""How much of a run was open at once, over all of its time: the way to parts of it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from django.utils.translation import gettext as _

from django_workflows.admin.durations import in_words
from django_workflows.admin.run_page.geometry import Window, crowd, percent

#: Columns of the drawing.
_COLUMNS = 60


def overview(
    spans: Sequence[tuple[float, float]],
    whole: Window,
    window: Window,
    url_of: Callable[[Window], str],
) -> dict[str, Any]:
    """The columns, each with the address of its part, and where the window is that is
    looked at."""
    counts = crowd(spans, whole, _COLUMNS)
    highest, width = max(counts), whole.length / _COLUMNS
    columns = []
    for number, count in enumerate(counts):
        begin = number * width
        height = count / highest * 100
        words = _("%(count)d open, %(begin)s after the start") % {
            "count": count,
            "begin": in_words(begin),
        }
        columns.append(
            {
                "x": percent(number * 100 / _COLUMNS),
                "y": percent(100 - height),
                "height": percent(height),
                "text": words,
                "url": url_of(Window(begin, begin + width).within(whole)),
            }
        )
    return {
        "columns": columns,
        "width": percent(100 / _COLUMNS),
        "highest": highest,
        "shown_x": percent(whole.percent(window.begin)),
        "shown_width": percent(window.length / whole.length * 100),
    }
