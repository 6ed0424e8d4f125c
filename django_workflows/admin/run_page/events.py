"""The event log: what happened to the run, entry by entry."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django.http import HttpRequest
from django.utils.translation import gettext as _

from django_workflows.admin.addresses import event_url
from django_workflows.admin.events.details import said_by
from django_workflows.admin.payloads import Payload, payload_of
from django_workflows.admin.permissions import may_view
from django_workflows.admin.run_page.addresses import (
    EVENTS_PARAMETERS,
    address,
    events_addresses,
)
from django_workflows.admin.run_page.subject import Subject
from django_workflows.models import Event
from django_workflows.replay import events as log
from django_workflows.store.database import alias
from django_workflows.store.paging import Cursor, Page, read_page
from django_workflows.store.short_payloads import (
    is_too_large,
    payload_in,
    with_payloads,
)

#: Events of a page, and at most so many that nobody has taken in yet.
EVENTS = 50
_ANCHOR = "events"


@dataclass(frozen=True, slots=True)
class Row:
    """An event in the log."""

    #: The key of its row.
    key: str
    seq: int | None
    type: str
    correlation_id: str
    #: What it is about, by name, and a link to all events of that.
    name: str
    only_these: str
    created_at: datetime
    details: Payload | None
    #: The payload cannot be shown here: it is for others to see, or too large.
    is_secret: bool
    is_large: bool
    #: Undone by a retry in place.
    is_void: bool
    url: str | None


def panel(subject: Subject) -> dict[str, Any]:
    """A page of the log, of the type and about what the address asks for."""
    request = subject.request
    kind, about = request.GET.get("type", ""), request.GET.get("of", "")
    events = Event.objects.using(alias()).filter(run_id=subject.run.pk)
    if kind in log.ALL:
        events = events.filter(type=kind)
    if about and "\0" not in about:
        events = events.filter(correlation_id=about[:40])
    events = with_payloads(events)
    page = read_page(
        events.filter(seq__isnull=False),
        ["seq"],
        _cursor(request),
        is_descending=False,
        size=EVENTS,
    )
    rows = _Rows(subject)
    unread = events.filter(seq__isnull=True).order_by("pk")[:EVENTS]
    return {
        "title": _("Events"),
        "rows": [rows.row(each) for each in page.rows],
        "unread": [rows.row(each) for each in unread],
        "links": _links(request, page),
        "types": sorted(log.ALL),
        "type": kind if kind in log.ALL else "",
        "about": about,
        "about_name": rows.names.get(about, ""),
        "kept": _kept(request),
        "all": address(request, _ANCHOR, **dict.fromkeys(EVENTS_PARAMETERS)),
        "is_filtered": bool(about) or kind in log.ALL,
    }


def _cursor(request: HttpRequest) -> Cursor | None:
    for name, is_backward in (("after", False), ("before", True)):
        text = request.GET.get(name, "")
        if text.isascii() and text.isdigit() and len(text) <= 9:
            return Cursor(is_backward, (int(text),))
    return None


def _links(request: HttpRequest, page: Page[Event]) -> list[tuple[str, str]]:
    """To the pages beside this one, and to the ends of the log."""
    links = []
    if page.previous is not None:
        links += [
            (_("First"), address(request, _ANCHOR, after=None, before=None)),
            (_("Previous"), _at(request, page.previous)),
        ]
    if page.next is not None:
        last = Cursor(True, (999_999_999,))
        links += [(_("Next"), _at(request, page.next)), (_("Last"), _at(request, last))]
    return links


def _at(request: HttpRequest, cursor: Cursor) -> str:
    (seq,) = cursor.values
    place = {"after": None, "before": None}
    place["before" if cursor.is_backward else "after"] = seq
    return address(request, _ANCHOR, **place)


def _kept(request: HttpRequest) -> list[tuple[str, str]]:
    """What the form has to repeat so that the other panels stay as they are."""
    return [
        (name, str(value))
        for name, value in request.GET.items()
        if name not in ("type", "after", "before")
    ]


class _Rows:
    def __init__(self, subject: Subject) -> None:
        self._subject = subject
        self._address = events_addresses(subject.request)
        self.names: Mapping[str, str] = {
            each.id: each.name for each in subject.operations
        }
        self._voids = [
            range(mark.cut, mark.seq)
            for mark in subject.timeline.marks
            if mark.cut is not None and mark.seq is not None
        ]
        self._has_pages = may_view(subject.request, "event")

    def row(self, event: Event) -> Row:
        shows = self._subject.shows_payloads
        has_payload = payload_in(event) is not None or is_too_large(event)
        event.payload = payload_in(event) if shows else None
        workflow = self._subject.run.workflow
        details = said_by(event, workflow, shows_payloads=shows)
        name = self.names.get(event.correlation_id, "")
        if not name and not event.type.startswith("hook_"):  # whose names are tokens
            name = str(details.get("name", ""))
        url = None
        if self._has_pages:
            url = event_url(event.pk)
        return Row(
            str(event.pk),
            event.seq,
            event.type,
            event.correlation_id,
            name,
            self._address(event.correlation_id),
            event.created_at,
            payload_of(details) if details else None,
            is_secret=has_payload and not shows,
            is_large=is_too_large(event) and shows,
            is_void=any(event.seq in void for void in self._voids),
            url=url,
        )
