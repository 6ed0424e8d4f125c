"""Where things lie on the time axis of a run's timeline. Pure: seconds in, SVG out.

All times are in seconds since the run was created, all places in percent of the width.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import accumulate

from django.utils.formats import number_format
from django.utils.translation import gettext as _

#: The shortest part of the axis that can be looked at.
SHORTEST = 0.001
#: What is shorter than this, in percent, is drawn as if it had this width.
NARROWEST = 0.5
#: Ticks of the axis, at most, but for one at its end.
_TICKS = 7
_MINUTE, _HOUR, _DAY = 60, 3600, 86400
#: Distances between ticks, above those of 1, 2 or 5 times a power of ten.
_STEPS = (
    *(10, 15, 30, _MINUTE, 2 * _MINUTE, 5 * _MINUTE, 10 * _MINUTE, 15 * _MINUTE),
    *(30 * _MINUTE, _HOUR, 2 * _HOUR, 3 * _HOUR, 6 * _HOUR, 12 * _HOUR, _DAY),
    *(2 * _DAY, 7 * _DAY, 14 * _DAY, 30 * _DAY, 90 * _DAY, 180 * _DAY, 365 * _DAY),
)


@dataclass(frozen=True, slots=True)
class Window:
    """The part of a run's time that is looked at."""

    begin: float
    end: float

    @property
    def length(self) -> float:
        return self.end - self.begin

    def percent(self, time: float) -> float:
        """Where a time lies, at the window's edge if it is outside."""
        place = (time - self.begin) / self.length * 100
        return min(100.0, max(0.0, place))

    def touches(self, begin: float, end: float) -> bool:
        """Whether some of a stretch of time lies within."""
        return begin <= self.end and end >= self.begin

    def zoomed(self, factor: float, whole: Window) -> Window:
        """A window with the same middle and the length times `factor`."""
        middle, half = (self.begin + self.end) / 2, self.length * factor / 2
        return Window(middle - half, middle + half).within(whole)

    def moved(self, part: float, whole: Window) -> Window:
        """The window moved by a part of its length, to the left if it is negative."""
        by = self.length * part
        by = min(max(by, whole.begin - self.begin), whole.end - self.end)
        # Sums are not exact: what cannot be moved is the same.
        return Window(self.begin + by, self.end + by).within(whole) if by else self

    def within(self, whole: Window) -> Window:
        """The window, moved and cut so that it lies within another one."""
        length = min(max(self.length, SHORTEST), whole.length)
        begin = min(max(self.begin, whole.begin), whole.end - length)
        return Window(begin, begin + length)

    def around(self, begin: float, end: float) -> Window:
        """A stretch of time with some space on both sides, within this window."""
        space = max((end - begin) * 0.1, SHORTEST / 2)
        return Window(begin - space, end + space).within(self)


def chosen(given_begin: str, given_end: str, whole: Window) -> Window:
    """The window that two texts name, in seconds; all there is if they name none."""
    try:
        begin, end = float(given_begin), float(given_end)
    except ValueError:
        return whole
    if not (math.isfinite(begin) and math.isfinite(end)) or end <= begin:
        return whole
    return Window(begin, end).within(whole)


@dataclass(frozen=True, slots=True)
class Tick:
    """A line of the grid, and what is written at it."""

    x: str
    text: str
    #: Where the text lies with respect to the line.
    anchor: str


def ticks(window: Window) -> list[Tick]:
    """At round times."""
    found = []
    for time, text in round_times(window, _TICKS):
        place = window.percent(time)
        found.append(Tick(percent(place), text, anchor_at(place)))
    return found


def round_times(window: Window, most: int) -> list[tuple[float, str]]:
    """Round times in a window, at most so many, and what they are in words."""
    step = _step(window.length / most)
    first = math.ceil(window.begin / step - 1e-9)
    last = math.floor(window.end / step + 1e-9)
    numbers = range(first, last + 1)
    return [(number * step, time_text(number * step, step)) for number in numbers]


def anchor_at(place: float) -> str:
    """Where a text lies with respect to its place, so that it is within the picture."""
    return "start" if place < 5 else "end" if place > 95 else "middle"


def _step(least: float) -> float:
    """The shortest round length of time that is no shorter than this."""
    if least <= 5:
        power = 10.0 ** math.floor(math.log10(least) + 1e-9)
        for factor in (1, 2, 5, 10):
            if factor * power >= least * (1 - 1e-9):
                return factor * power
    for step in _STEPS:
        if step >= least:
            return step
    year = _STEPS[-1]
    return year * math.ceil(least / year)


def time_text(seconds: float, step: float) -> str:
    """A time since the start, as exact as `step` asks for: "1 h 5 min", "2.25 s"."""
    if seconds <= 0:
        return "0"
    if step < 1 and seconds < 1:
        decimals = max(0, -math.floor(math.log10(step * 1000) + 1e-9))
        return _("%(count)s ms") % {"count": number_format(seconds * 1000, decimals)}
    decimals = max(0, -math.floor(math.log10(step) + 1e-9))
    rest = round(seconds, decimals)
    parts = []
    for text, unit in (
        (_("%(count)d d"), _DAY),
        (_("%(count)d h"), _HOUR),
        (_("%(count)d min"), _MINUTE),
    ):
        count, rest = divmod(rest, unit)
        if count:
            parts.append(text % {"count": count})
    rest = round(rest, decimals)
    if rest or not parts:
        parts.append(_("%(count)s s") % {"count": number_format(rest, decimals)})
    return " ".join(parts)


@dataclass(frozen=True, slots=True)
class Segment:
    """A stretch of time that looks the same, and what it is in words."""

    begin: float
    end: float
    look: str
    text: str


@dataclass(frozen=True, slots=True)
class Bar:
    """A segment as it is drawn."""

    x: str
    width: str
    look: str
    text: str
    #: Wide enough for a pattern.
    is_wide: bool


def bars(segments: Iterable[Segment], window: Window) -> list[Bar]:
    """What of the segments is seen in a window, in the order given: later ones lie
    above. However short one is, it is seen."""
    drawn = []
    for segment in segments:
        if not window.touches(segment.begin, segment.end):
            continue
        begin, end = window.percent(segment.begin), window.percent(segment.end)
        width = max(end - begin, NARROWEST)
        begin = min(begin, 100 - width)
        drawn.append(
            Bar(
                percent(begin),
                percent(width),
                segment.look,
                segment.text,
                is_wide=width > 4 * NARROWEST,
            )
        )
    return drawn


def crowd(spans: Sequence[tuple[float, float]], whole: Window, parts: int) -> list[int]:
    """How many of some stretches of time touch each of so many equal parts of it."""
    changes = [0] * (parts + 1)
    first, scale, last = whole.begin, parts / whole.length, parts - 1
    for begin, end in spans:
        if begin <= whole.end and end >= first:
            changes[min(last, max(0, int((begin - first) * scale)))] += 1
            changes[min(last, int((end - first) * scale)) + 1] -= 1
    return list(accumulate(changes[:parts]))


def percent(place: float) -> str:
    """A place as an attribute of SVG, the same in every language."""
    return f"{place:.3f}".rstrip("0").rstrip(".") + "%"
