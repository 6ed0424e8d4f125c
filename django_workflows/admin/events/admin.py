"""The pages of events: what a log says, entry by entry."""

from __future__ import annotations

from typing import Any

from django.contrib import admin
from django.http import HttpRequest
from django.urls import reverse

from django_workflows.admin.addresses import run_url
from django_workflows.admin.events.list import EventList
from django_workflows.admin.payloads import payload_of, payload_text
from django_workflows.admin.permissions import may_see_payloads
from django_workflows.admin.run_page.events import said_by
from django_workflows.core.rendering import traceback_of
from django_workflows.models import Event, Run
from django_workflows.models.event import PAYLOAD_NAMES
from django_workflows.store.database import alias


@admin.register(Event)
class EventAdmin(EventList):
    """Events, which nobody changes once they are written."""

    change_form_template = "admin/django_workflows/event/page.html"

    def page_of(self, request: HttpRequest, row: Event) -> dict[str, Any]:
        """The page of an event, which is no form."""
        return _context(request, row)


def _context(request: HttpRequest, event: Event) -> dict[str, Any]:
    """What an event says, all of it, and the ways to its run and its neighbours."""
    run = Run.objects.using(alias()).filter(pk=event.run_id).first()
    shows, sealed = may_see_payloads(request), event.payload
    if not shows:
        event.payload = None
    data = said_by(event, "" if run is None else run.workflow)
    traceback = ""
    if shows and sealed is not None and event.type not in PAYLOAD_NAMES:
        traceback = traceback_of(bytes(sealed))
    return {
        "title": str(event),
        "subtitle": None,
        "event": event,
        "event_run": run,
        "values": [(name, payload_of(value)) for name, value in data.items()],
        "is_secret": sealed is not None and not shows,
        "traceback": payload_text(traceback) if traceback else None,
        "previous": _neighbour(event, -1),
        "next": _neighbour(event, 1),
        "events_url": _events_url(event),
    }


def _neighbour(event: Event, distance: int) -> str | None:
    """The page of the event before or after one in its log."""
    if event.seq is None:
        return None
    events = Event.objects.using(alias()).filter(run_id=event.run_id)
    pk = events.filter(seq=event.seq + distance).values_list("pk", flat=True).first()
    if pk is None:
        return None
    return reverse("admin:django_workflows_event_change", args=[pk])


def _events_url(event: Event) -> str:
    """The event among the others in the page of its run."""
    after = "" if event.seq is None else f"?after={max(event.seq - 10, 0)}"
    return f"{run_url(event.run_id)}{after}#events"
