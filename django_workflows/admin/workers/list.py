"""The list of workers."""

from __future__ import annotations

from typing import Any

from django.contrib.admin import display
from django.contrib.admin.views.main import ChangeList
from django.db.models import QuerySet
from django.http import HttpRequest
from django.utils.html import format_html
from django.utils.safestring import SafeString
from django.utils.timezone import localtime
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy, pgettext_lazy

from django_workflows.admin.badges import badge
from django_workflows.admin.base import column
from django_workflows.admin.beside import Beside
from django_workflows.admin.filters import ChoiceFilter
from django_workflows.admin.keyset import KeysetChangeList, LongListAdmin
from django_workflows.admin.workers.state import WorkerState, newest_code, state_of
from django_workflows.models import Worker
from django_workflows.store.health import database_now

_STATE: Beside[WorkerState] = Beside("state")


class StateFilter(ChoiceFilter):
    """Workers that are there, or are not any more."""

    title = gettext_lazy("state")
    parameter_name = "state"
    offered = (
        ("running", gettext_lazy("Not stopped")),
        ("stopped", pgettext_lazy("workflows", "Stopped")),
    )

    def narrowed(self, rows: QuerySet[Any], value: str) -> QuerySet[Any]:
        return rows.filter(stopped_at__isnull=value == "running")


class WorkerChangeList(KeysetChangeList):
    """Knows how each worker of a page stands."""

    def get_results(self, request: HttpRequest) -> None:
        super().get_results(request)
        now, newest = database_now(), newest_code()
        for worker in self.page.rows:
            _STATE.put(worker, state_of(worker, now, newest))


class WorkerList(LongListAdmin[Worker]):
    """Workers, the newest first."""

    change_list_template = "admin/django_workflows/worker/list.html"
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

    @display(description=gettext_lazy("process"))
    def process(self, worker: Worker) -> str:
        """Its machine and its number there."""
        return str(worker)

    @display(description=gettext_lazy("state"))
    def state(self, worker: Worker) -> SafeString:
        """Whether it is alive, as a badge, and when it said so last."""
        shown = _STATE.of(worker)
        return format_html(
            '{} <div class="dw-quiet">{}</div>',
            badge(shown.badge, shown.said),
            _("heartbeat %(time)s") % {"time": shown.heartbeat},
        )

    @display(description=gettext_lazy("queues"))
    def served(self, worker: Worker) -> str:
        """The queues that it serves."""
        return ", ".join(worker.queue_names)

    @display(description=gettext_lazy("started"))
    def started(self, worker: Worker) -> SafeString:
        """When its process began; where it is narrow, the time is below the date."""
        began = localtime(worker.started_at)
        return format_html(
            '<span class="dw-whole">{}</span> {}',
            f"{began:%Y-%m-%d}",
            f"{began:%H:%M}",
        )

    @display(description=gettext_lazy("code"))
    def code_digest(self, worker: Worker) -> SafeString:
        """The code it runs, and whether that is the newest worker's."""
        shown = _STATE.of(worker)
        note = _("not the newest worker's") if shown.is_odd else ""
        return format_html(
            '<code>{}</code><div class="dw-quiet">{}</div>', shown.code, note
        )
