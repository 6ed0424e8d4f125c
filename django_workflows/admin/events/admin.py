"""The pages of events: what a log says, entry by entry."""

from __future__ import annotations

from typing import Any

from django.contrib import admin
from django.http import HttpRequest

from django_workflows.admin.addresses import event_url, run_url
from django_workflows.admin.events.details import said_by
from django_workflows.admin.events.list import EventList
from django_workflows.admin.payloads import payload_of, payload_text
from django_workflows.admin.permissions import may_see_payloads
from django_workflows.core.rendering import traceback_of
from django_workflows.models import Event, Run
from django_workflows.models.event import PAYLOAD_NAMES
from django_workflows.store.database import alias


@admin.register(Event)
class EventAdmin(EventList):
    """Events, which nobody changes once they are written."""

    change_form_template = "admin/django_workflows/event/page.html"

    def page_of(self, request: HttpRequest, row: Event) -> dict[str, Any]:
        """What an event says, all of it, and the ways to its run and its neighbours."""
        run = Run.objects.using(alias()).filter(pk=row.run_id).first()
        shows, sealed = may_see_payloads(request), row.payload
        if not shows:
            row.payload = None
        workflow = "" if run is None else run.workflow
        data = said_by(row, workflow, shows_payloads=shows)
        traceback = ""
        if shows and sealed is not None and row.type not in PAYLOAD_NAMES:
            traceback = traceback_of(bytes(sealed))
        return {
            "title": str(row),
            "subtitle": None,
            "event": row,
            "event_run": run,
            "values": [(name, payload_of(value)) for name, value in data.items()],
            "is_secret": sealed is not None and not shows,
            "traceback": payload_text(traceback) if traceback else None,
            "previous": _neighbour(row, -1),
            "next": _neighbour(row, 1),
            "events_url": _events_url(row),
        }


def _neighbour(event: Event, distance: int) -> str | None:
    """The page of the event before or after one in its log."""
    if event.seq is None:
        return None
    events = Event.objects.using(alias()).filter(run_id=event.run_id)
    pk = events.filter(seq=event.seq + distance).values_list("pk", flat=True).first()
    if pk is None:
        return None
    return event_url(pk)


def _events_url(event: Event) -> str:
    """The event among the others in the page of its run."""
    after = "" if event.seq is None else f"?after={max(event.seq - 10, 0)}"
    return f"{run_url(event.run_id)}{after}#events"
