"""The pages of workers: who is at work, on what, and since when not."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from django.contrib import admin
from django.contrib.admin import SimpleListFilter, display
from django.contrib.admin.views.main import ChangeList
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse
from django.utils.html import format_html
from django.utils.safestring import SafeString
from django.utils.timezone import localtime
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from django_workflows.admin.base import column
from django_workflows.admin.durations import in_words
from django_workflows.admin.keyset import KeysetChangeList, LongListAdmin
from django_workflows.admin.permissions import may_view
from django_workflows.admin.workers.state import (
    WorkerState,
    end_of,
    newest_code,
    state_of,
)
from django_workflows.models import Run, Step, Worker
from django_workflows.store.database import alias
from django_workflows.store.health import database_now

#: Runs and steps in hand that a page shows.
_MOST = 50


class StateFilter(SimpleListFilter):
    """Workers that are there, or are not any more."""

    title = gettext_lazy("state")
    parameter_name = "state"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[Any, Any]]:
        return [("running", _("Not stopped")), ("stopped", _("Stopped"))]

    def queryset(
        self, request: HttpRequest, queryset: QuerySet[Any]
    ) -> QuerySet[Any] | None:
        if self.value() is None:
            return None
        return queryset.filter(stopped_at__isnull=self.value() != "stopped")


class WorkerChangeList(KeysetChangeList):
    """Knows how each worker of a page stands."""

    def get_results(self, request: HttpRequest) -> None:
        super().get_results(request)
        now, newest = database_now(), newest_code()
        for worker in self.page.rows:
            worker.as_shown = state_of(worker, now, newest)


@admin.register(Worker)
class WorkerAdmin(LongListAdmin[Worker]):
    """Workers, which enter and leave by themselves: the newest first."""

    change_list_template = "admin/django_workflows/worker/list.html"
    change_form_template = "admin/django_workflows/worker/page.html"
    ordering = ("-started_at", "-id")
    list_filter = (StateFilter,)
    list_display = (
        "process",
        "state",
        "served",
        column("runs", gettext_lazy("runs")),
        column("steps", gettext_lazy("steps")),
        "started",
        "code_digest",
    )

    def get_changelist(self, request: HttpRequest, **kwargs: Any) -> type[ChangeList]:
        return WorkerChangeList

    def changelist_view(
        self, request: HttpRequest, extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        context = {"title": _("Workers"), **(extra_context or {})}
        return super().changelist_view(request, context)

    def page_of(self, request: HttpRequest, row: Worker) -> dict[str, Any]:
        """The page of a worker, which is no form."""
        return _context_of(request, row)

    @display(description=gettext_lazy("process"))
    def process(self, worker: Worker) -> str:
        """Its machine and its number there."""
        return str(worker)

    @display(description=gettext_lazy("state"))
    def state(self, worker: Worker) -> SafeString:
        """Whether it is alive, as a badge, and when it said so last."""
        shown = _shown(worker)
        return format_html(
            '<span class="dw-status dw-status-{}">{}</span> '
            '<div class="dw-quiet">{}</div>',
            shown.badge,
            shown.said,
            _("heartbeat %(time)s") % {"time": shown.heartbeat},
        )

    @display(description=gettext_lazy("queues"))
    def served(self, worker: Worker) -> str:
        """The queues that it serves."""
        return ", ".join(_shown(worker).queues)

    @display(description=gettext_lazy("started"))
    def started(self, worker: Worker) -> str:
        """When its process began."""
        return f"{localtime(worker.started_at):%Y-%m-%d %H:%M}"

    @display(description=gettext_lazy("code"))
    def code_digest(self, worker: Worker) -> SafeString:
        """The code it runs, and whether that is the newest worker's."""
        shown = _shown(worker)
        note = _("not the newest worker's") if shown.is_odd else ""
        return format_html(
            '<code>{}</code><div class="dw-quiet">{}</div>', shown.code, note
        )


def _shown(worker: Worker) -> WorkerState:
    shown: WorkerState = worker.as_shown  # type: ignore[attr-defined]
    return shown


def _context_of(request: HttpRequest, worker: Worker) -> dict[str, Any]:
    """What the page of a worker shows."""
    now = database_now()
    return {
        "title": str(worker),
        "subtitle": None,
        "worker": worker,
        "state": state_of(worker, now, newest_code()),
        "up": in_words((worker.stopped_at or now) - worker.started_at),
        "end": end_of(worker),
        "in_hand": _in_hand(worker, now) if may_view(request, "run") else None,
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
            (step, in_words(now - (step.started_at or step.created_at)))
            for step in running[:_MOST]
        ],
        "has_more_steps": len(running) > _MOST,
    }
