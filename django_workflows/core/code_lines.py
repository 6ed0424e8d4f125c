"""Finds in the text of a traceback the line of code that people want to see."""

from __future__ import annotations

import linecache
import re
import sysconfig
from dataclasses import dataclass
from pathlib import Path

#: A frame, also one inside the frames of an exception group, and its line of code.
_FRAME = re.compile(
    r'^[ |+]*File "(?P<file>[^"\n]+)", line (?P<line>\d+), in (?P<function>[^\n]+)'
    r"(?:\n[ |+]*(?P<code>[^\n]*))?",
    re.MULTILINE,
)
#: A place as error messages name it, looked for where words begin: from each letter of
#: a word without end it would take minutes.
_PLACE = re.compile(r"(?<![^\s()\"'])(?P<file>[^\s()\"']+\.py):(?P<line>\d+)")
#: Where code lies that nobody looks for a mistake of their own in.
_FOREIGN = tuple(
    f"{folder}/"
    for folder in (
        Path(__file__).parents[1],
        sysconfig.get_path("stdlib"),
        sysconfig.get_path("purelib"),
        sysconfig.get_path("platlib"),
    )
)


@dataclass(frozen=True, slots=True)
class CodeLine:
    """A line of code, as it was when the traceback was written; `function` is empty
    where it is not known."""

    file: str
    line: int
    function: str
    code: str

    def as_json(self) -> dict[str, str | int]:
        return {
            "file": self.file,
            "line": self.line,
            "function": self.function,
            "code": self.code,
        }

    def __str__(self) -> str:
        place = f"{self.file}:{self.line}"
        return f"{place} in {self.function}" if self.function else place


def code_line(traceback: str) -> CodeLine | None:
    """The innermost line of the project's own code in a traceback, that of the last
    exception in it; of any code, if there is none of its own."""
    frames = list(_FRAME.finditer(traceback))
    own = [frame for frame in frames if not frame["file"].startswith(_FOREIGN)]
    for frame in reversed(own or frames):
        code = (frame["code"] or "").strip()
        return CodeLine(frame["file"], int(frame["line"]), frame["function"], code)
    return None


def named_line(message: str) -> CodeLine | None:
    """The first line of code that an error message names as ``file:line``, as it is in
    this process now."""
    place = _PLACE.search(message)
    if place is None:
        return None
    file, line = place["file"], int(place["line"])
    return CodeLine(file, line, "", linecache.getline(file, line).strip())
