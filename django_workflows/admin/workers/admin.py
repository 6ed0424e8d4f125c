"""The pages of workers: who is at work, and on what."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from django.contrib import admin
from django.http import HttpRequest

from django_workflows.admin.durations import in_words
from django_workflows.admin.permissions import may_view
from django_workflows.admin.workers.list import WorkerList
from django_workflows.admin.workers.state import (
    end_of,
    newest_code,
    state_of,
)
from django_workflows.models import Run, Step, Worker
from django_workflows.replay.registry import registry
from django_workflows.store.database import alias
from django_workflows.store.health import database_now

#: Runs and steps in hand that a page shows.
_MOST = 50


@admin.register(Worker)
class WorkerAdmin(WorkerList):
    """Workers, which enter and leave by themselves: the newest first."""

    change_form_template = "admin/django_workflows/worker/page.html"

    def page_of(self, request: HttpRequest, row: Worker) -> dict[str, Any]:
        """The page of a worker, which is no form."""
        now = database_now()
        return {
            "title": str(row),
            "subtitle": None,
            "worker": row,
            "state": state_of(row, now, newest_code()),
            "up": in_words((row.stopped_at or now) - row.started_at),
            "end": end_of(row),
            "in_hand": _in_hand(row, now) if may_view(request, "run") else None,
        }


def _in_hand(worker: Worker, now: datetime) -> dict[str, Any]:
    """The runs that a worker owns, and the steps it runs, each since when."""
    # In the words of the partial indexes, and in no order: there may be very many.
    runs = Run.objects.using(alias()).exclude(owner="").filter(owner=worker.pk)
    steps = Step.objects.using(alias()).filter(status="running", worker=worker.pk)
    steps = steps.select_related("run").defer("args", "heartbeat", "run__seed")
    owned = list(runs.order_by().defer("seed")[: _MOST + 1])
    running = list(steps.order_by()[: _MOST + 1])
    return {
        "runs": owned[:_MOST],
        "has_more_runs": len(owned) > _MOST,
        "steps": [
            {
                "step": step,
                "title": registry.title_of_row(step.name),
                "since": in_words(now - (step.started_at or step.created_at)),
            }
            for step in running[:_MOST]
        ],
        "has_more_steps": len(running) > _MOST,
    }
