"""Which runs cannot go on with today's code, by what hinders them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from django.utils.translation import gettext as _

from django_workflows.admin.dashboard.view import View
from django_workflows.admin.dashboard.writing import at_most
from django_workflows.store.queue_waits import COUNTED

#: Causes that are shown.
_MOST = 10


@dataclass(frozen=True)
class Line:
    """Runs of a workflow with one kind of cause; what is said is said of the first."""

    kind: str
    workflow: str
    count: str
    run_id: str
    #: Empty for who may not see payloads, which the reason may repeat.
    reason: str


def panel(view: View) -> dict[str, Any] | None:
    """Nothing, if no run is blocked."""
    if not view.blocked:
        return None
    causes: dict[tuple[str, str], list[tuple[str, str]]] = {}
    for run_id, workflow, text in view.blocked:
        kind, _colon, reason = text.partition("\n")[0].partition(": ")
        causes.setdefault((kind, workflow), []).append((run_id, reason))
    lines = []
    for (kind, workflow), runs in sorted(
        causes.items(), key=lambda item: (-len(item[1]), item[0])
    )[:_MOST]:
        run_id, reason = min(runs)
        shown = reason if view.shows_payloads else ""
        lines.append(Line(kind, workflow, at_most(len(runs), COUNTED), run_id, shown))
    others = len(causes) - len(lines)
    return {"title": _("Blocked runs"), "lines": lines, "others": others}
