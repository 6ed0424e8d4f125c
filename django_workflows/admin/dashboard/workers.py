"""Who is at work."""

from __future__ import annotations

from typing import Any

from django.utils.translation import pgettext

from django_workflows.admin.dashboard.view import View
from django_workflows.admin.workers.state import newest_code, state_of
from django_workflows.models import Worker
from django_workflows.store.database import alias

#: Workers that are shown.
_MOST = 20


def panel(view: View) -> dict[str, Any] | None:
    """The workers that have not stopped, the newest first."""
    if not view.may_view("worker"):
        return None
    workers = Worker.objects.using(alias()).filter(stopped_at__isnull=True)
    newest = newest_code()
    found = list(workers.order_by("-started_at")[: _MOST + 1])
    return {
        "title": pgettext("workflows", "Workers"),
        "lines": [state_of(worker, view.now, newest) for worker in found[:_MOST]],
        "is_cut": len(found) > _MOST,
    }
