"""What somebody should look at now, in a sentence each."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from django.urls import reverse
from django.utils.translation import gettext as _
from django.utils.translation import ngettext

from django_workflows.admin.dashboard.outcomes import failed_of_ended, failed_url
from django_workflows.admin.dashboard.view import View
from django_workflows.admin.dashboard.writing import at_most
from django_workflows.admin.durations import in_words
from django_workflows.models import Schedule
from django_workflows.store.database import alias
from django_workflows.store.health import silent_workers
from django_workflows.store.queue_waits import COUNTED

#: Work that is due is taken at once if there is room for it.
_LATE = timedelta(minutes=1)
#: Schedules that are named.
_MOST = 5


@dataclass(frozen=True, slots=True)
class Line:
    """A sentence, where there is more about it, and the status whose colour it has."""

    look: str
    label: str
    text: str
    url: str


def panel(view: View) -> dict[str, Any] | None:
    """The worst first; nothing on a site that has no runs yet."""
    if not view.has_runs:
        return None
    lines = [
        *_workers(view),
        *_queues(view),
        *_blocked(view),
        *_failures(view),
        *_schedules(view),
    ]
    return {"title": _("Needs attention"), "lines": lines}


def _workers(view: View) -> Iterator[Line]:
    if not view.may_view("worker"):
        return
    url = reverse("admin:django_workflows_worker_changelist")
    if not view.workers:
        text = _("No worker is alive: nothing goes on until one is started.")
        yield Line("failed", _("workers"), text, url)
    elif count := silent_workers().count():
        text = ngettext(
            "%(count)d worker has fallen silent; its work goes elsewhere soon.",
            "%(count)d workers have fallen silent; their work goes elsewhere soon.",
            count,
        )
        yield Line("timed_out", _("workers"), text % {"count": count}, url)


def _queues(view: View) -> Iterator[Line]:
    for wait in view.waits:
        length = view.now - wait.oldest_due_at
        said = {"name": wait.name, "length": in_words(length)}
        if wait.name not in view.served_queues:
            text = _("Queue “%(name)s” has had work for %(length)s, and no worker.")
        elif length > _LATE:
            text = _("Work in queue “%(name)s” has waited for %(length)s.")
        else:
            continue
        yield Line("timed_out", _("queue"), text % said, "#dashboard-queues")


def _blocked(view: View) -> Iterator[Line]:
    if count := len(view.blocked):
        text = ngettext(
            "%(count)s run cannot go on with today's code.",
            "%(count)s runs cannot go on with today's code.",
            count,
        ) % {"count": at_most(count, COUNTED)}
        yield Line("blocked", _("blocked"), text, "#dashboard-blocked")


def _failures(view: View) -> Iterator[Line]:
    failed, ended = map(round, failed_of_ended(view))
    if failed:
        text = ngettext(
            "%(failed)d of %(ended)d run that ended failed or timed out.",
            "%(failed)d of %(ended)d runs that ended failed or timed out.",
            ended,
        ) % {"failed": failed, "ended": ended}
        yield Line("failed", _("failed"), text, failed_url(view))


def _schedules(view: View) -> Iterator[Line]:
    if not view.may_view("schedule"):
        return
    schedules = Schedule.objects.using(alias()).exclude(last_error="").order_by("pk")
    for pk, name in schedules.values_list("pk", "name")[:_MOST]:
        url = reverse("admin:django_workflows_schedule_change", args=[pk])
        text = _("The last start by schedule “%(name)s” has failed.") % {"name": name}
        yield Line("failed", _("schedule"), text, url)
