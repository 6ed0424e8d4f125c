"""Charts as numbers: where the parts of an SVG go that a template draws.

Pure functions: nothing here knows Django. Coordinates are texts, in SVG's own notation
whatever language the page is in; numbers for people are written by `write`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from math import ceil, floor, log10

#: The drawing's size in its own units, alone or beside another one, and the space
#: around what is plotted.
WIDE, NARROW, HEIGHT = 960, 460, 200
LEFT, RIGHT, TOP, BOTTOM = 48, 12, 10, 22
#: Steps between levels, about so many.
_STEPS = 4
#: From one label below the columns to the next, at least.
LABEL = 80

Write = Callable[[float], str]


@dataclass(frozen=True, slots=True)
class Series:
    """What is shown in one colour: a value for each column."""

    #: Names the colour: `dw-bar-<name>` in the style sheet.
    name: str
    label: str
    values: Sequence[float]


@dataclass(frozen=True, slots=True)
class Column:
    """A place on the horizontal axis, by a short label and in full."""

    label: str
    name: str


@dataclass(frozen=True, slots=True)
class Bar:
    """A rectangle. `hint` says what it stands for."""

    name: str
    x: str
    y: str
    width: str
    height: str
    hint: str


@dataclass(frozen=True, slots=True)
class Line:
    """A line through the middle of each column, and where it ends."""

    name: str
    points: str
    x: str
    y: str
    hint: str


@dataclass(frozen=True, slots=True)
class Tick:
    """A label at an axis."""

    at: str
    label: str


@dataclass(frozen=True, slots=True)
class TableRow:
    """The numbers of a column, in the order of the series."""

    name: str
    values: tuple[str, ...]


@dataclass(frozen=True)
class Chart:
    """All that a template needs, the same numbers as a table included."""

    series: Sequence[Series]
    bars: list[Bar]
    lines: list[Line]
    #: Levels from bottom to top, and labels from left to right.
    levels: list[Tick]
    labels: list[Tick]
    table: list[TableRow]
    width: int

    height, left = HEIGHT, LEFT
    #: Where the labels of levels end, and where those below the columns stand.
    level_end, label_line = LEFT - 6, HEIGHT - 6

    @property
    def right(self) -> int:
        """Where the plot ends."""
        return self.width - RIGHT

    @property
    def is_empty(self) -> bool:
        """Whether there is nothing but zeros."""
        return not any(any(each.values) for each in self.series)


@dataclass(frozen=True, slots=True)
class Scale:
    """Values from nought to `most` as heights above the bottom of the plot."""

    most: float

    def y(self, value: float) -> float:
        """How far from the top of the drawing a value is."""
        share = value / self.most if self.most else 0.0
        return TOP + (HEIGHT - TOP - BOTTOM) * (1 - share)


def levels(most: float) -> list[float]:
    """Round numbers from nought to one that is not less than `most`, a few steps of 1,
    2 or 5 times a power of ten. Counts are whole: no step is below 1."""
    if most <= 0:
        return [0.0, 1.0]
    rough = max(most / _STEPS, 1.0)
    power = 10.0 ** floor(log10(rough))
    step = next(step * power for step in (1, 2, 5, 10) if step * power >= rough)
    found = [0.0]
    while found[-1] < most:
        found.append(step * len(found))
    return found


def stacked_bars(
    columns: Sequence[Column],
    series: Sequence[Series],
    write: Write,
    *,
    width: int = WIDE,
) -> Chart:
    """A bar for each column, made of the values of all series, the first at the
    bottom."""
    scale, marks = _scale(added(*(each.values for each in series)), write)
    pitch = _pitch(columns, width)
    gap = min(2.0, pitch / 5)
    bars = []
    for number, column in enumerate(columns):
        below = 0.0
        for each in series:
            value = each.values[number]
            if not value:
                continue
            top = scale.y(below + value)
            bars.append(
                Bar(
                    each.name,
                    _text(LEFT + pitch * number + gap / 2),
                    _text(top),
                    _text(pitch - gap),
                    _text(scale.y(below) - top),
                    f"{column.name}: {each.label} {write(value)}",
                )
            )
            below += value
    table = _table(columns, series, write)
    return Chart(series, bars, [], marks, _labels(columns, width), table, width)


def lines(
    columns: Sequence[Column],
    series: Sequence[Series],
    write: Write,
    *,
    width: int = WIDE,
) -> Chart:
    """A line for each series."""
    scale, marks = _scale([value for each in series for value in each.values], write)
    pitch = _pitch(columns, width)
    drawn = []
    for each in series:
        points = [
            (_text(LEFT + pitch * (number + 0.5)), _text(scale.y(value)))
            for number, value in enumerate(each.values)
        ]
        if points:
            joined = " ".join(f"{x},{y}" for x, y in points)
            hint = f"{each.label}: {write(each.values[-1])}"
            drawn.append(Line(each.name, joined, *points[-1], hint))
    table = _table(columns, series, write)
    return Chart(series, [], drawn, marks, _labels(columns, width), table, width)


def added(*rows: Sequence[float]) -> list[float]:
    """The sums of values at the same place in rows of equal length."""
    return [sum(values) for values in zip(*rows, strict=True)]


def _scale(values: Sequence[float], write: Write) -> tuple[Scale, list[Tick]]:
    found = levels(max(values, default=0.0))
    scale = Scale(found[-1])
    return scale, [Tick(_text(scale.y(value)), write(value)) for value in found]


def _pitch(columns: Sequence[Column], width: int) -> float:
    return (width - LEFT - RIGHT) / max(1, len(columns))


def _labels(columns: Sequence[Column], width: int) -> list[Tick]:
    """Under the middle of every so-many-th column, the last one included."""
    pitch = _pitch(columns, width)
    every = ceil(LABEL / pitch)
    return [
        Tick(_text(LEFT + pitch * (number + 0.5)), column.label)
        for number, column in enumerate(columns)
        if (len(columns) - 1 - number) % every == 0
    ]


def _table(
    columns: Sequence[Column], series: Sequence[Series], write: Write
) -> list[TableRow]:
    return [
        TableRow(column.name, tuple(write(each.values[number]) for each in series))
        for number, column in enumerate(columns)
    ]


def _text(value: float) -> str:
    return f"{round(value, 2):g}"
