"""The timeline: a row for each step, timer, hook and child, to scale."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from itertools import chain
from typing import Any

from django.utils.timezone import localtime
from django.utils.translation import gettext as _

from django_workflows.admin.durations import in_words
from django_workflows.admin.run_page.addresses import Address, address
from django_workflows.admin.run_page.choices import Choices
from django_workflows.admin.run_page.folds import Folded, folded
from django_workflows.admin.run_page.geometry import (
    SHORTEST,
    Window,
    chosen,
    percent,
)
from django_workflows.admin.run_page.overview import overview
from django_workflows.admin.run_page.parts import part_of
from django_workflows.admin.run_page.subject import Subject
from django_workflows.admin.run_page.timeline_rows import TimelineRows
from django_workflows.admin.run_page.waterfall import (
    Clock,
    mark_text,
    run_segments,
)
from django_workflows.store.operations import Operation

#: Rows of a page.
ROWS = 100
#: From how many operations on there is an overview, and a choice.
_MANY = 20


def panel(subject: Subject) -> dict[str, Any] | None:
    """The part of the timeline that the address asks for, in pages of `ROWS`."""
    if not subject.operations and subject.run.started_at is None:
        return None
    return _Drawing(subject).context()


class _Drawing:
    """The timeline as the address asks for it: which part, drawn how, of what."""

    def __init__(self, subject: Subject) -> None:
        run, operations = subject.run, subject.operations
        # A fork has what it took over from times before it was made.
        times = [run.created_at, *(each.created_at for each in operations[:1])]
        origin, until = min(times), run.finished_at or subject.now
        self._subject = subject
        request = subject.request
        self._address = Address(request, "timeline", "from", "to", "row")
        self._clock = Clock(origin, until)
        self._origin = origin
        self._spans = [
            (self._clock.at(each.created_at), self._clock.at(each.finished_at))
            for each in operations
        ]
        self._whole = Window(0, max(self._clock.at(None), SHORTEST))
        given = request.GET
        self._window = chosen(given.get("from", ""), given.get("to", ""), self._whole)
        self._foldable = self._axis = self._folded()
        if given.get("scale") == "true":
            self._axis = Folded(self._window.begin, self._window.end)
        self._choices = Choices(request, "only", operations)
        self._rows = TimelineRows(request, self._clock, self._axis, self._zoom_to)

    def context(self) -> dict[str, Any]:
        subject, window = self._subject, self._window
        is_whole = window == self._whole
        seen: Sequence[tuple[Operation, tuple[float, float]]] = [
            (operation, span)
            for operation, span in zip(subject.operations, self._spans, strict=True)
            if (is_whole or window.touches(*span)) and self._choices.admits(operation)
        ]
        axis = self._axis
        marks = [
            (percent(axis.percent(time)), text)
            for time, text in self._marks()
            if window.touches(time, time)
        ]
        part = part_of(subject.request, "timeline", "row", seen, ROWS)
        return {
            "title": _("Timeline"),
            "part": part,
            "rows": [self._rows.row(*each) for each in part.rows],
            "run_chart": self._rows.chart(
                run_segments(subject.run, self._clock), marks
            ),
            "marks": marks,
            "ticks": axis.ticks(),
            "folds": axis.drawn(),
            "folding": self._folding(),
            "choices": self._choices.links("timeline", row=None)
            if len(self._spans) >= _MANY or self._choices.chosen
            else [],
            "zooms": self._zooms(),
            "is_whole": is_whole,
            "begin": self._moment(window.begin),
            "length": in_words(window.length),
            "all": len(subject.operations),
            "overview": overview(self._spans, self._whole, window, self._zoom)
            if len(self._spans) >= _MANY
            else None,
            "is_retried": subject.run.attempt > 1,
        }

    def _folded(self) -> Folded:
        """The window, with what is only waited in it folded."""
        at = self._clock.at
        started_at = self._subject.run.started_at
        begins = [0.0 if started_at is None else at(started_at)]
        marks = [at(mark.time) for mark in self._subject.timeline.marks]
        works = (
            (at(attempt.started_at), at(attempt.finished_at))
            for operation in self._subject.operations
            for attempt in operation.attempts
        )
        changes = [*begins, *marks, *chain.from_iterable(self._spans)]
        return folded(self._window, changes, works)

    def _folding(self) -> dict[str, str] | None:
        """What is said of folds, and a link to the other way to draw the window."""
        if not self._foldable.folds:
            return None
        request, is_folded = self._subject.request, self._axis is self._foldable
        return {
            "text": _("Long waits are drawn short.")
            if is_folded
            else _("All times are drawn to scale."),
            "other": _("Draw to scale") if is_folded else _("Draw long waits short"),
            "url": address(request, "timeline", scale="true" if is_folded else None),
        }

    def _zoom_to(self, begin: float, end: float) -> str:
        return self._zoom(self._whole.around(begin, end))

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
            (_("Zoom in"), self._axis.zoomed(0.5, whole)),
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

    def _moment(self, seconds: float) -> datetime:
        return self._origin + timedelta(seconds=seconds)


def _seconds(seconds: float) -> str:
    return f"{seconds:.6f}".rstrip("0").rstrip(".")
