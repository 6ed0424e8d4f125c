"""The timeline: a row for each step, timer, hook and child, to scale."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from django.utils.timezone import localtime
from django.utils.translation import gettext as _
from django.utils.translation import ngettext

from django_workflows.admin.addresses import run_url
from django_workflows.admin.durations import in_words
from django_workflows.admin.run_page.addresses import Address, part_of
from django_workflows.admin.run_page.drawing import chart
from django_workflows.admin.run_page.events import events_addresses
from django_workflows.admin.run_page.geometry import (
    SHORTEST,
    Segment,
    Window,
    bars,
    chosen,
    crowd,
    percent,
    ticks,
    time_text,
)
from django_workflows.admin.run_page.steps import step_addresses
from django_workflows.admin.run_page.subject import Subject
from django_workflows.admin.run_page.waterfall import (
    KINDS,
    Clock,
    mark_text,
    run_segments,
    segments_of,
    status_of,
)
from django_workflows.store.operations import Operation

#: Rows of a page.
ROWS = 100
#: Columns of the overview, and from how many operations on there is one.
_COLUMNS = 60
_MANY = 20


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


def panel(subject: Subject) -> dict[str, Any] | None:
    """The part of the timeline that the address asks for, in pages of `ROWS`."""
    if not subject.operations and subject.run.started_at is None:
        return None
    return _Drawing(subject).context()


class _Drawing:
    def __init__(self, subject: Subject) -> None:
        run, operations = subject.run, subject.operations
        # A fork has what it took over from times before it was made.
        times = [run.created_at, *(each.created_at for each in operations[:1])]
        origin, until = min(times), run.finished_at or subject.now
        self._subject = subject
        request = subject.request
        self._address = Address(request, "timeline", "from", "to", "row")
        self._step_address = step_addresses(request)
        self._events_address = events_addresses(request)
        self._clock = Clock(origin, until)
        self._origin = origin
        self._spans = [
            (self._clock.at(each.created_at), self._clock.at(each.finished_at))
            for each in operations
        ]
        self._whole = Window(0, max(self._clock.at(None), SHORTEST))
        given = request.GET
        self._window = chosen(given.get("from", ""), given.get("to", ""), self._whole)

    def context(self) -> dict[str, Any]:
        subject, window = self._subject, self._window
        is_whole = window == self._whole
        seen: Sequence[tuple[Operation, tuple[float, float]]] = [
            (operation, span)
            for operation, span in zip(subject.operations, self._spans, strict=True)
            if is_whole or window.touches(*span)
        ]
        marks = [
            (percent(window.percent(time)), text)
            for time, text in self._marks()
            if window.touches(time, time)
        ]
        part = part_of(subject.request, "timeline", "row", seen, ROWS)
        return {
            "part": part,
            "rows": [self._row(*each) for each in part.rows],
            "run_chart": chart(
                bars(run_segments(subject.run, self._clock), window), marks
            ),
            "marks": marks,
            "ticks": ticks(window),
            "zooms": self._zooms(),
            "is_whole": is_whole,
            "begin": self._moment(window.begin),
            "length": in_words(window.length),
            "all": len(subject.operations),
            "overview": self._overview(),
            "is_retried": subject.run.attempt > 1,
        }

    def _row(self, operation: Operation, span: tuple[float, float]) -> Row:
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
            chart(bars(sorted(segments, key=_is_above), self._window)),
            self._zoom(self._whole.around(begin, end)),
            "; ".join(segment.text for segment in segments),
        )

    def _url(self, operation: Operation) -> str | None:
        if operation.kind == "step":
            return self._step_address(operation.id)
        if operation.kind == "child":
            if not operation.run_id:
                return None
            return run_url(operation.run_id)
        return self._events_address(operation.id)

    def _zoom(self, window: Window) -> str:
        if window == self._whole:
            return self._address.to()
        part = {"from": _seconds(window.begin), "to": _seconds(window.end)}
        return self._address.to(**part)

    def _zooms(self) -> list[dict[str, str | None]]:
        """Links to other parts; one that leads nowhere has no address."""
        window, whole = self._window, self._whole
        choices = [
            (_("Whole run"), whole),
            (_("Zoom in"), window.zoomed(0.5, whole)),
            (_("Zoom out"), window.zoomed(2, whole)),
            (_("Earlier"), window.moved(-0.5, whole)),
            (_("Later"), window.moved(0.5, whole)),
        ]
        return [
            {"text": text, "url": None if to == window else self._zoom(to)}
            for text, to in choices
        ]

    def _marks(self) -> list[tuple[float, str]]:
        found = []
        for mark in self._subject.timeline.marks:
            when = f"{localtime(mark.time):%Y-%m-%d %H:%M:%S}"
            found.append((self._clock.at(mark.time), f"{mark_text(mark)}: {when}"))
        if self._origin < self._subject.run.created_at:
            text = _("Forked from another run, which has done what comes before")
            found.append((self._clock.at(self._subject.run.created_at), text))
        return found

    def _overview(self) -> dict[str, Any] | None:
        """How much was open at once, over the whole run."""
        if len(self._spans) < _MANY:
            return None
        whole, window = self._whole, self._window
        counts = crowd(self._spans, whole, _COLUMNS)
        highest, width = max(counts), whole.length / _COLUMNS
        columns = []
        for number, count in enumerate(counts):
            begin = number * width
            height = count / highest * 100
            words = _("%(count)d open, %(begin)s after the start") % {
                "count": count,
                "begin": in_words(begin),
            }
            columns.append(
                {
                    "x": percent(number * 100 / _COLUMNS),
                    "y": percent(100 - height),
                    "height": percent(height),
                    "text": words,
                    "url": self._zoom(Window(begin, begin + width).within(whole)),
                }
            )
        return {
            "columns": columns,
            "width": percent(100 / _COLUMNS),
            "highest": highest,
            "shown_x": percent(whole.percent(window.begin)),
            "shown_width": percent(window.length / whole.length * 100),
        }

    def _moment(self, seconds: float) -> datetime:
        return self._origin + timedelta(seconds=seconds)


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


def _seconds(seconds: float) -> str:
    return f"{seconds:.6f}".rstrip("0").rstrip(".")
