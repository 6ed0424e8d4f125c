"""What is due and not at work yet, queue by queue."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from django.utils.translation import gettext as _

from django_workflows.admin.dashboard.view import View
from django_workflows.admin.dashboard.writing import at_most
from django_workflows.admin.durations import in_words
from django_workflows.store.queue_waits import COUNTED


@dataclass(frozen=True)
class Line:
    """A queue."""

    name: str
    runs: str
    steps: str
    oldest: str
    is_served: bool


def panel(view: View) -> dict[str, Any]:
    """All queues in which something is due."""
    served = view.served_queues
    lines = [
        Line(
            wait.name,
            at_most(wait.due_runs, COUNTED),
            at_most(wait.due_steps, COUNTED),
            in_words(view.now - wait.oldest_due_at),
            wait.name in served,
        )
        for wait in view.waits
    ]
    return {"title": _("Waiting in queues"), "lines": lines}
