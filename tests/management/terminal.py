"""A real terminal with a command on it, and what is to be seen there."""

from __future__ import annotations

import codecs
import errno
import os
import pty
import re
import select
import termios
import time
from pathlib import Path
from types import TracebackType
from typing import Self

from tests.cluster import nursery
from tests.cluster.harness import DEADLINE

#: A sequence that steers the terminal, a character that does, or text.
_PARTS = re.compile(r"\x1b\[([?\d;]*)([A-Za-z])|([\r\n])|([^\x1b\r\n]+)")


class Screen:
    """What a terminal shows after all that was written to it.

    It knows the few sequences that draw something anew; any other is an error.
    """

    def __init__(self, rows: int, columns: int) -> None:
        self._rows, self._columns = rows, columns
        self._lines = [""]
        self._row = self._column = 0
        self._unread = ""
        self._has_cursor = True

    @property
    def text(self) -> str:
        """All lines, with those that have left at the top."""
        return "\n".join(line.rstrip() for line in self._lines)

    @property
    def visible(self) -> str:
        """The lines that there is room for."""
        return "\n".join(self.text.split("\n")[-self._rows :])

    def has_cursor(self) -> bool:
        """Whether the cursor is shown."""
        return self._has_cursor

    def write(self, text: str) -> None:
        """Show it; the beginning of a sequence waits for its end."""
        text, self._unread = self._unread + text, ""
        while text:
            part = _PARTS.match(text)
            if part is None:
                assert re.fullmatch(r"\x1b(\[[?\d;]*)?", text), repr(text)
                self._unread = text
                return
            text = text[part.end() :]
            numbers, letter, control, printed = part.groups()
            if letter:
                self._steer(numbers, letter)
            elif control == "\r":
                self._column = 0
            elif control == "\n":
                self._next_row()
            else:
                for char in printed:
                    self._put(char)

    def _put(self, char: str) -> None:
        if self._column == self._columns:
            self._column = 0
            self._next_row()
        line = self._lines[self._row].ljust(self._column)
        self._lines[self._row] = line[: self._column] + char + line[self._column + 1 :]
        self._column += 1

    def _next_row(self) -> None:
        self._row += 1
        if self._row == len(self._lines):
            self._lines.append("")

    def _steer(self, numbers: str, letter: str) -> None:
        match numbers, letter:
            case _, "m":  # colours
                pass
            case "2", "K":
                self._lines[self._row] = ""
            case _, "A":
                top = max(len(self._lines) - self._rows, 0)
                self._row = max(self._row - int(numbers or 1), top)
            case "?25", "l" | "h":
                self._has_cursor = letter == "h"
            case _:
                raise AssertionError(f"not known to this terminal: {numbers}{letter}")


class Terminal:
    """``manage.py workflows`` in a session of its own, whose terminal we are."""

    def __init__(
        self, database_url: str, *arguments: str, rows: int = 24, columns: int = 80
    ) -> None:
        self.screen = Screen(rows, columns)
        self._ours, theirs = pty.openpty()
        self._ends = {self._ours, theirs}
        self._decoder = codecs.getincrementaldecoder("utf-8")()
        termios.tcsetwinsize(theirs, (rows, columns))
        environment = os.environ | {
            "DJANGO_SETTINGS_MODULE": "tests.cluster.settings",
            "DATABASE_URL": database_url,
            "PYTHONUNBUFFERED": "1",
            "TERM": "xterm",
        }
        # These would be believed, and not the terminal.
        for name in ("COLUMNS", "LINES"):
            environment.pop(name, None)
        self._process = nursery.begin(
            ["django", "workflows", *arguments], environment, Path(os.ttyname(theirs))
        )
        # From its first word on the process has its own end open.
        self._read(time.monotonic() + DEADLINE)
        os.close(theirs)
        self._ends.remove(theirs)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._process.kill()
        self._process.wait()
        for end in self._ends:
            os.close(end)
        print(self.screen.text)  # shown by pytest if the test fails

    def type(self, text: str) -> None:
        """Press keys."""
        os.write(self._ours, text.encode())

    def until(self, *texts: str) -> str:
        """Wait until all of these are to be seen at once; return what is."""
        deadline = time.monotonic() + DEADLINE
        while not all(text in self.screen.visible for text in texts):
            assert self._read(deadline), f"ended before there was {texts}"
        return self.screen.visible

    def end(self) -> int:
        """Wait for the end of the process; return its exit code."""
        deadline = time.monotonic() + DEADLINE
        while self._read(deadline):
            pass
        return self._process.wait(DEADLINE)

    def _read(self, deadline: float) -> bool:
        """Show what is written next; False if nothing will be any more."""
        left = max(deadline - time.monotonic(), 0)
        assert select.select([self._ours], [], [], left)[0], "nothing is written"
        try:
            written = os.read(self._ours, 65536)
        except OSError as error:  # nobody has the other end open
            if error.errno != errno.EIO:
                raise
            return False
        self.screen.write(self._decoder.decode(written))
        return True
