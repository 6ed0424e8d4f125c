"""Which runs cannot go on with today's code, by what hinders them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from django.utils.translation import gettext as _

from django_workflows.admin.addresses import runs_like_url
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
    #: Where they are listed.
    url: str
    count: str
    run_id: str
    #: Empty for who may not see payloads, which the reason may repeat.
    reason: str


def panel(view: View) -> dict[str, Any] | None:
    """Nothing, if no run is blocked."""
    if not view.blocked:
        return None
    causes: dict[tuple[str, str], list[tuple[str, str, str]]] = {}
    for run in view.blocked:
        text: str = run.reason  # type: ignore[attr-defined]
        kind, _colon, reason = text.partition("\n")[0].partition(": ")
        found = (run.pk, reason, runs_like_url(run, blocked="yes"))
        causes.setdefault((kind, run.title), []).append(found)
    lines = []
    for (kind, workflow), runs in sorted(
        causes.items(), key=lambda item: (-len(item[1]), item[0])
    )[:_MOST]:
        run_id, reason, url = min(runs)
        shown = reason if view.shows_payloads else ""
        count = at_most(len(runs), COUNTED)
        lines.append(Line(kind, workflow, url, count, run_id, shown))
    others = len(causes) - len(lines)
    return {"title": _("Blocked runs"), "lines": lines, "others": others}
