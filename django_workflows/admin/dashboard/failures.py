"""The runs that failed last."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from django.utils.translation import gettext as _

from django_workflows.admin.dashboard.view import View
from django_workflows.admin.durations import in_words
from django_workflows.models import Run
from django_workflows.store.failed import errors_of, failed_last

#: Runs that are shown.
_MOST = 8


@dataclass(frozen=True)
class Line:
    """A run that failed."""

    run: Run
    ago: str
    type: str
    #: Empty for who may not see payloads.
    message: str


def panel(view: View) -> dict[str, Any]:
    """Those that failed last, the last one first."""
    runs = failed_last(_MOST)
    errors = errors_of(runs)
    lines = []
    for run in runs:
        error = errors.get(run.pk, {"type": "", "message": ""})
        message = error["message"] if view.shows_payloads else ""
        ago = in_words(view.now - (run.finished_at or run.created_at))
        lines.append(Line(run, ago, error["type"], message))
    return {"title": _("Failed last"), "lines": lines}
