"""The runs that failed last."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from django.utils.translation import gettext as _

from django_workflows.admin.addresses import runs_like_url
from django_workflows.admin.dashboard.view import View
from django_workflows.admin.durations import time_apart
from django_workflows.admin.payloads import TOO_LONG
from django_workflows.models import Run
from django_workflows.store.failed import errors_of, failed_last

#: Runs that are looked at, and kinds of failures that are shown.
_RUNS, _MOST = 50, 6


@dataclass
class Line:
    """Runs of one workflow that failed by errors of one type; what is said is said of
    the last one."""

    run: Run
    ago: str
    type: str
    #: Empty for who may not see payloads.
    message: str
    #: How many others there are among those that are looked at.
    others: int = 0

    @property
    def url(self) -> str:
        """The failed runs of that workflow."""
        return runs_like_url(self.run, status="failed")


def panel(view: View) -> dict[str, Any]:
    """What failed last, the last one first; what fails alike is told once."""
    runs = failed_last(_RUNS)
    errors = errors_of(runs)
    lines: dict[tuple[str, str], Line] = {}
    for run in runs:
        error = errors.get(run.pk, {"type": "", "message": ""})
        if error is None:
            error = {"type": str(TOO_LONG), "message": ""}
        kind = (run.title, error["type"])
        if kind in lines:
            lines[kind].others += 1
            continue
        message = error["message"] if view.shows_payloads else ""
        ago = time_apart(run.finished_at or run.created_at, view.now)
        lines[kind] = Line(run, ago, error["type"], message)
    return {"title": _("Failed last"), "lines": list(lines.values())[:_MOST]}
