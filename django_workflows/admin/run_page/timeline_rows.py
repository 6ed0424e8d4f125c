"""A row of the timeline for each step, timer, hook and child."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from django.http import HttpRequest
from django.utils.safestring import SafeString
from django.utils.translation import gettext as _
from django.utils.translation import ngettext

from django_workflows.admin.addresses import run_url
from django_workflows.admin.durations import in_words
from django_workflows.admin.run_page.addresses import events_addresses, step_addresses
from django_workflows.admin.run_page.drawing import chart
from django_workflows.admin.run_page.folds import Folded
from django_workflows.admin.run_page.geometry import (
    SHORTEST,
    Segment,
    bars,
    time_text,
)
from django_workflows.admin.run_page.waterfall import (
    KINDS,
    Clock,
    segments_of,
    status_of,
)
from django_workflows.store.operations import Operation


@dataclass(frozen=True, slots=True)
class Row:
    """An operation in the timeline."""

    id: str
    kind: str
    kind_text: str
    name: str
    #: Where there is more about it.
    url: str | None
    look: str
    status: str
    #: How many, if it is not one.
    attempts: str
    begin: str
    took: str
    chart: str
    zoom: str
    words: str


class TimelineRows:
    """Makes the rows; `zoom_to` gives the address of a stretch of the timeline."""

    def __init__(
        self,
        request: HttpRequest,
        clock: Clock,
        axis: Folded,
        zoom_to: Callable[[float, float], str],
    ) -> None:
        self._clock, self._axis, self._zoom_to = clock, axis, zoom_to
        self._step_address = step_addresses(request)
        self._events_address = events_addresses(request)

    def row(self, operation: Operation, span: tuple[float, float]) -> Row:
        """The row of an operation that lasted from when to when, in seconds."""
        segments = segments_of(operation, self._clock)
        look, status = status_of(operation)
        begin, end = span
        return Row(
            operation.id,
            operation.kind,
            str(KINDS[operation.kind]),
            _name(operation),
            self._url(operation),
            look,
            status,
            _attempts(operation),
            time_text(begin, SHORTEST if begin < 1 else 0.1 if begin < 60 else 1),
            in_words(end - begin),
            self.chart(sorted(segments, key=_is_above)),
            self._zoom_to(begin, end),
            "; ".join(segment.text for segment in segments),
        )

    def chart(
        self, segments: Iterable[Segment], marks: Sequence[tuple[str, str]] = ()
    ) -> SafeString:
        """Stretches of time as bars, and marked places with their meaning."""
        drawn = bars(segments, self._axis)
        return chart(drawn, marks, has_folds=bool(self._axis.folds))

    def _url(self, operation: Operation) -> str | None:
        if operation.kind == "step":
            return self._step_address(operation.id)
        if operation.kind == "child":
            if not operation.run_id:
                return None
            return run_url(operation.run_id)
        return self._events_address(operation.id)


def _is_above(segment: Segment) -> bool:
    """Time in which nothing is done lies below short attempts that it would hide."""
    return segment.look not in ("queued", "delay")


def _attempts(operation: Operation) -> str:
    count = len(operation.attempts)
    if count < 2:
        return ""
    return ngettext("%(count)d attempt", "%(count)d attempts", count) % {"count": count}


def _name(operation: Operation) -> str:
    if operation.kind == "wait" and operation.due_at is not None:
        return _("%(kind)s %(length)s") % {
            "kind": operation.name,
            "length": in_words(operation.due_at - operation.created_at),
        }
    if operation.kind == "hook":
        return f"…{operation.id[-6:]}"
    return operation.name or operation.id
