"""Long stretches in which a run only waits, drawn short so that its work is seen.

A run that sleeps for three days between steps of a second would be an empty line to
scale. Nothing is lost in a fold: no operation begins or ends in it, and no step is at
work.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import chain, pairwise

from django_workflows.admin.durations import in_words
from django_workflows.admin.run_page.geometry import (
    SHORTEST,
    Tick,
    Window,
    anchor_at,
    percent,
    round_times,
    ticks,
)

#: Folds are made if they take at least this share of the time looked at.
_SHARE = 0.9
#: Of a fold, in seconds, and as a share of that time.
_SHORTEST, _LEAST = 60, 0.05
#: What lies between more waits than this is seen well to scale.
_MOST = 3
#: The width of a fold, the part of it on both sides in which what happens at its ends
#: can be seen, and the space between two texts on the axis, in percent: more beside
#: that of a fold, so that there is enough on a phone.
_WIDTH, _EDGE, _SPACE, _SPACE_OF_FOLD = 6.0, 0.6, 9.0, 25.0

Span = tuple[float, float]


@dataclass(frozen=True, slots=True)
class Folded(Window):
    """A part of the run's time with stretches, one after the other, that have the same
    small width each."""

    folds: tuple[Span, ...] = ()

    def percent(self, time: float) -> float:
        time = min(self.end, max(self.begin, time))
        place, at, scale = 0.0, self.begin, self._scale
        for begin, end in self.folds:
            if time <= begin:
                break
            place += (begin - at) * scale
            if time < end:
                return place + _WIDTH * (time - begin) / (end - begin)
            place, at = place + _WIDTH, end
        return min(100.0, place + (time - at) * scale)

    def zoomed(self, factor: float, whole: Window) -> Window:
        """What lies in the middle of the picture; the time around it, to zoom out."""
        if factor > 1 or not self.folds:
            return Window.zoomed(self, factor, whole)
        begin, end = self._time_at(50 - 50 * factor), self._time_at(50 + 50 * factor)
        return Window(begin, end).within(whole)

    def drawn(self) -> list[dict[str, str]]:
        """Where the folds lie, and how long they are in words."""
        return [
            {
                "anchor": anchor_at(self.percent((begin + end) / 2)),
                "x": percent(self.percent(begin) + _EDGE),
                "middle": percent(self.percent((begin + end) / 2)),
                "width": percent(_WIDTH - 2 * _EDGE),
                "text": in_words(end - begin),
            }
            for begin, end in self.folds
        ]

    def ticks(self) -> list[Tick]:
        """At round times between the folds, where there is room for a text."""
        if not self.folds:
            return ticks(self)
        middles = [self.percent((begin + end) / 2) for begin, end in self.folds]
        taken: list[float] = []
        found = []
        edges = [self.begin, *(edge for fold in self.folds for edge in fold), self.end]
        for begin, end in zip(edges[::2], edges[1::2], strict=True):
            room = self.percent(end) - self.percent(begin)
            if end <= begin or room < _SPACE:
                continue
            for time, text in round_times(Window(begin, end), max(1, int(room / 14))):
                place = self.percent(time)
                is_free = all(abs(place - other) >= _SPACE for other in taken)
                if is_free and all(
                    abs(place - middle) >= _SPACE_OF_FOLD for middle in middles
                ):
                    taken.append(place)
                    found.append(Tick(percent(place), text, anchor_at(place)))
        return found

    def _time_at(self, place: float) -> float:
        """The time that lies at a place, in percent."""
        begin, end = self.begin, self.end
        while begin < (middle := (begin + end) / 2) < end:
            begin, end = (
                (middle, end) if self.percent(middle) < place else (begin, middle)
            )
        return begin

    @property
    def _scale(self) -> float:
        rest = self.length - sum(end - begin for begin, end in self.folds)
        return (100 - _WIDTH * len(self.folds)) / rest


def folded(window: Window, changes: Sequence[float], works: Iterable[Span]) -> Folded:
    """The window, folded where that shows more: `changes` are the times at which
    something begins or ends, `works` the stretches in which steps are at work. These
    are asked for only if there may be something to fold."""
    waits = _waits(window, changes)
    if _are_most(window, waits):
        works = list(works)
        waits = [
            (begin, end)
            for begin, end in _waits(window, chain(changes, *works))
            if not any(a < end and b > begin for a, b in works)
        ]
    if len(waits) > _MOST or not _are_most(window, waits):
        waits = []
    return Folded(window.begin, window.end, tuple(waits))


def _waits(window: Window, changes: Iterable[float]) -> list[Span]:
    """The long stretches in which nothing begins or ends."""
    least = max(_SHORTEST, _LEAST * window.length)
    if window.length <= least:
        return []
    inside = (time for time in changes if window.begin < time < window.end)
    times = sorted({window.begin, *inside, window.end})
    return [(begin, end) for begin, end in pairwise(times) if end - begin > least]


def _are_most(window: Window, waits: Sequence[Span]) -> bool:
    total = sum(end - begin for begin, end in waits)
    return total >= _SHARE * window.length and total <= window.length - SHORTEST
