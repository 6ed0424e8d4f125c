"""What subcommands print: tables for people, one JSON document for programs."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Any, cast

from django.core.management.base import OutputWrapper
from django.core.serializers.json import DjangoJSONEncoder
from django.utils.timezone import localtime
from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table

#: Columns of what is no terminal: nothing is cut or folded there.
_ENDLESS = 100_000
#: Characters of a value in a table.
_LONGEST = 120
#: Columns that are never folded: their values are to be copied.
_WHOLE = {"id", "seq", "status", "took"}
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

    def __init__(self, wrapper: OutputWrapper) -> None:
        self._wrapper = wrapper
        self.is_terminal = wrapper.isatty()

    def line(self, text: str = "") -> None:
        """Write a line of text; what would steer a terminal is shown, not done."""
        self._wrapper.write(printable(text))

    def json(self, document: Any) -> None:
        """Write one JSON document."""
        self._wrapper.write(json.dumps(document, indent=1, cls=DjangoJSONEncoder))

    def json_line(self, document: Any) -> None:
        """Write a JSON document on a line of its own, at once."""
        self._wrapper.write(json.dumps(document, cls=DjangoJSONEncoder))
        self._wrapper.flush()

    def table(self, columns: Sequence[str], rows: Iterable[Sequence[Any]]) -> None:
        """Write a table: drawn on a terminal, else in plain columns of text."""
        console = self.console()
        with console.capture() as capture:
            console.print(self.drawn(columns, rows))
        text = capture.get()
        if not self.is_terminal:
            text = "\n".join(line.rstrip() for line in text.splitlines())
        self._wrapper.write(text.rstrip("\n"))

    def drawn(self, columns: Sequence[str], rows: Iterable[Sequence[Any]]) -> Table:
        """A table for `console`."""
        box = SIMPLE_HEAD if self.is_terminal else None
        table = Table(box=box, pad_edge=False, header_style="bold")
        for name in columns:
            table.add_column(name, overflow="fold", no_wrap=name in _WHOLE)
        for row in rows:
            cells = [printable(cell(value)) for value in row]
            style = next((_STYLES[text] for text in cells if text in _STYLES), None)
            table.add_row(*cells, style=style)
        return table

    def console(self) -> Console:
        """Rich's console for this output, which takes text as it is."""
        file = cast(Any, self._wrapper)._out
        return Console(
            file=file,
            width=None if self.is_terminal else _ENDLESS,
            markup=False,
            highlight=False,
            emoji=False,
        )


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
