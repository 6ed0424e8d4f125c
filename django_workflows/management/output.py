"""What subcommands print: tables for people, one JSON document for programs."""

from __future__ import annotations

import json
from collections.abc import Collection, Iterable, Sequence
from datetime import datetime
from typing import Any, cast

from django.core.management.base import OutputWrapper
from django.core.serializers.json import DjangoJSONEncoder
from django.utils.timezone import localtime
from rich.box import SIMPLE_HEAD
from rich.cells import cell_len
from rich.console import Console
from rich.table import Table

#: Columns of what is no terminal: nothing is cut or folded there.
_ENDLESS = 100_000
#: Characters of a value in a table.
_LONGEST = 120
#: Columns that are never folded: their values are to be copied.
_WHOLE = {"id", "seq", "status", "took"}
#: Characters of a word for which the other columns have room, so that it can be read.
_READABLE = 16
#: Characters between two columns; those at the edges are one less.
_GAP = 3
_STYLES = {
    "completed": "green",
    "failed": "red",
    "timed_out": "red",
    "blocked": "red",
    "error": "red",
    "running": "cyan",
    "cancelled": "yellow",
    "terminated": "yellow",
    "paused": "yellow",
}


class Output:
    """Writes to one of a command's outputs."""

    def __init__(self, wrapper: OutputWrapper, *, no_color: bool = False) -> None:
        self._wrapper = wrapper
        self._file: Any = cast(Any, wrapper)._out
        self._no_color = no_color
        self.is_terminal = wrapper.isatty()

    def line(self, text: str = "") -> None:
        """Write a line of text; what would steer a terminal is shown, not done."""
        self._wrapper.write(self.writable(text))

    def writable(self, text: str) -> str:
        """Text as `printable`, and without what the output has no characters for."""
        encoding = getattr(self._file, "encoding", None) or "utf-8"
        return printable(text).encode(encoding, "backslashreplace").decode(encoding)

    def json(self, document: Any) -> None:
        """Write one JSON document."""
        self._wrapper.write(json.dumps(document, indent=1, cls=DjangoJSONEncoder))

    def json_line(self, document: Any) -> None:
        """Write a JSON document on a line of its own, at once."""
        self._wrapper.write(json.dumps(document, cls=DjangoJSONEncoder))
        self._wrapper.flush()

    def table(
        self,
        columns: Sequence[str],
        rows: Iterable[Sequence[Any]],
        spare: Sequence[str] = (),
    ) -> None:
        """Write a table: drawn on a terminal, else in plain columns of text."""
        console = self.console()
        table = self.drawn(columns, rows, spare)
        # A narrower terminal folds the lines itself, and nothing of them is lost.
        taken = _taken([column.width or 0 for column in table.columns])
        console.width = max(console.width, taken)
        with console.capture() as capture:
            console.print(table)
        text = capture.get()
        if not self.is_terminal:
            text = "\n".join(line.rstrip() for line in text.splitlines())
        self._wrapper.write(text.rstrip("\n"))

    def drawn(
        self,
        columns: Sequence[str],
        rows: Iterable[Sequence[Any]],
        spare: Sequence[str] = (),
    ) -> Table:
        """A table for `console`. Of the columns that are `spare`, the most wanted
        first, those are left out that it has no room for."""
        cells = [[self.writable(cell(value)) for value in row] for row in rows]
        shown = _fitted(columns, cells, spare, self.console().width)
        box = SIMPLE_HEAD if self.is_terminal else None
        table = Table(box=box, pad_edge=False, header_style="bold")
        for name, width in shown.items():
            whole = name in _WHOLE
            table.add_column(name, overflow="fold", no_wrap=whole, width=width)
        places = [columns.index(name) for name in shown]
        for row in cells:
            style = next((_STYLES[text] for text in row if text in _STYLES), None)
            table.add_row(*(row[place] for place in places), style=style)
        return table

    def console(self) -> Console:
        """Rich's console for this output, which takes text as it is."""
        return Console(
            file=self._file,
            color_system=None if self._no_color else "auto",
            width=None if self.is_terminal else _ENDLESS,
            markup=False,
            highlight=False,
            emoji=False,
        )


def _fitted(
    columns: Sequence[str],
    rows: Sequence[Sequence[str]],
    spare: Sequence[str],
    room: int,
) -> dict[str, int]:
    """The columns that there is room for, and how wide each is."""
    longest, least = {}, {}
    for name, *texts in zip(columns, *rows, strict=True):
        longest[name] = max(map(cell_len, (name, *texts)))
        words = [word for text in (name, *texts) for word in text.split()]
        word = min(max(map(cell_len, words)), _READABLE)
        least[name] = longest[name] if name in _WHOLE else word
    shown = {name: least[name] for name in columns if name not in spare}
    for name in spare:
        if _taken([*shown.values(), least[name]]) <= room:
            shown[name] = least[name]
    # What is left goes to those that are to be folded, first to who lacks least.
    left = max(room - _taken(shown.values()), 0)
    for name in sorted(shown, key=lambda name: longest[name] - least[name]):
        more = min(longest[name] - least[name], left)
        shown[name] += more
        left -= more
    return {name: shown[name] for name in columns if name in shown}


def _taken(widths: Collection[int]) -> int:
    """The width of a table whose columns are so wide."""
    return sum(widths) + _GAP * len(widths) - 1


def cell(value: Any) -> str:
    """A value in a table: times without fractions, JSON data in short."""
    if value is None:
        return ""
    if isinstance(value, str):
        return value
    if isinstance(value, datetime):
        return f"{localtime(value):%F %T}"
    if isinstance(value, list) and all(isinstance(each, str) for each in value):
        return ", ".join(value)
    if isinstance(value, dict | list):
        return short(json.dumps(value, ensure_ascii=False)) if value else ""
    return str(value)


def moment(text: str | None) -> datetime | None:
    """A point in time that JSON data has as text."""
    return None if text is None else datetime.fromisoformat(text)


def short(text: str) -> str:
    """Text that is not too long for a table."""
    return text if len(text) <= _LONGEST else f"{text[: _LONGEST - 1]}…"


def printable(text: str) -> str:
    """Text without characters that would do something to a terminal."""
    return "".join(
        char if char.isprintable() else char.encode("unicode_escape").decode()
        for char in text
    )
