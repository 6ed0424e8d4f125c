"""The numbers to look at first."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from django.urls import reverse
from django.utils.translation import gettext as _
from django.utils.translation import pgettext

from django_workflows.admin.addresses import run_url, runs_url
from django_workflows.admin.dashboard.outcomes import failed_url, failure_rate
from django_workflows.admin.dashboard.view import View
from django_workflows.admin.dashboard.writing import at_most, percent, whole
from django_workflows.admin.durations import in_words
from django_workflows.models import Run
from django_workflows.store.database import alias
from django_workflows.store.queue_waits import COUNTED, oldest_run


@dataclass(frozen=True)
class Card:
    """A number with its label, and where there is more about it."""

    label: str
    value: str
    url: str = ""
    note: str = ""
    is_bad: bool = False


def panel(view: View) -> dict[str, Any]:
    """One card for each: first about the period, then about this moment."""
    cards = [_started(view), _failures(view)]
    cards += [_open(status) for status in Run.OPEN]
    cards += [_oldest(view), _blocked(view)]
    if view.may_view("worker"):
        cards.append(_workers(view))
    return {"cards": cards}


def _started(view: View) -> Card:
    count = whole(sum(map(sum, view.runs.by_status.values())))
    if view.runs.sampled is not None:
        count = _("about %(count)s") % {"count": count}
    url = runs_url(created_within=view.period.key)
    return Card(_("Runs started"), count, url)


def _failures(view: View) -> Card:
    share = failure_rate(view)
    value = _("none ended") if share is None else percent(share)
    return Card(_("Failure rate"), value, failed_url(view), is_bad=bool(share))


def _open(status: Run.Status) -> Card:
    """The runs of an open status that there are now, whenever they were started."""
    runs = Run.objects.using(alias()).filter(status=status).order_by()
    count = runs.values("pk")[:COUNTED].count()
    label = _("Now %(status)s") % {"status": status.label}
    return Card(label, at_most(count, COUNTED), runs_url(status=status))


def _oldest(view: View) -> Card:
    """How long the oldest run waits that could go on."""
    label = _("Oldest waiting run")
    waits = [(w.oldest_run_at, w) for w in view.waits if w.oldest_run_at is not None]
    if not waits:
        return Card(label, pgettext("run", "none"))
    since, wait = min(waits, key=lambda each: each[0])
    run = oldest_run(wait, view.now)
    url = "" if run is None else run_url(run)
    note = _("in queue %(name)s") % {"name": wait.name}
    return Card(label, in_words(view.now - since), url, note)


def _blocked(view: View) -> Card:
    count = len(view.blocked)
    url = "#dashboard-blocked" if count else ""
    return Card(_("Blocked"), at_most(count, COUNTED), url, is_bad=bool(count))


def _workers(view: View) -> Card:
    count = len(view.workers)
    url = reverse("admin:django_workflows_worker_changelist")
    return Card(_("Workers alive"), whole(count), url, is_bad=not count)
