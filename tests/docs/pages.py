"""The documentation as data: pages, their examples, their links and headings."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]

_FENCE = re.compile(
    r"^(?P<mark>`{3,})(?P<info>.*)\n(?P<body>(?:.*\n)*?)(?P=mark)$", re.MULTILINE
)
_HIDDEN = re.compile(r"^<!-- test\n(?P<body>(?:.*\n)*?)-->$", re.MULTILINE)
_LINK = re.compile(r"\[[^\]]*\]\((?P<target>[^)\s]+)\)")
_HEADING = re.compile(r"^#+ +(?P<text>.+)$", re.MULTILINE)


@dataclass(frozen=True)
class Example:
    """One block of a page that the tests execute.

    `kind` is "code", "settings" (a Django settings fragment) or "hidden" (written in a
    comment, for the tests alone). `line` is that of the block's first line of code.
    """

    kind: str
    source: str
    line: int


def examples(page: Path) -> list[Example]:
    """Return the examples of `page`, from top to bottom.

    A fence of `python` is code, one of `python settings` a settings fragment; what
    stands between `<!-- test` and `-->` is hidden code. Anything else is not executed.
    """
    text = page.read_text()
    found = []
    for match in _FENCE.finditer(text):
        match match["info"].split():
            case ["python"]:
                kind = "code"
            case ["python", "settings"]:
                kind = "settings"
            case ["python", *rest]:
                raise ValueError(f"{page}: unknown mark {rest} of a python block")
            case _:
                continue
        found.append(Example(kind, match["body"], _line(text, match.start("body"))))
    found += [
        Example("hidden", match["body"], _line(text, match.start("body")))
        for match in _HIDDEN.finditer(text)
    ]
    return sorted(found, key=lambda example: example.line)


def fences(page: Path, language: str) -> list[str]:
    """Return the bodies of the fences of `page` in this language."""
    return [
        match["body"]
        for match in _FENCE.finditer(page.read_text())
        if match["info"].strip() == language
    ]


def links(page: Path) -> Iterator[str]:
    """Yield the targets of the links of `page`, code left out."""
    yield from (
        match["target"] for match in _LINK.finditer(_FENCE.sub("", page.read_text()))
    )


def anchors(page: Path) -> set[str]:
    """Return the fragments that name a heading of `page`, as repository hosts do."""
    prose = _FENCE.sub("", page.read_text())
    return {
        re.sub(r"[^\w\- ]", "", match["text"].lower()).replace(" ", "-")
        for match in _HEADING.finditer(prose)
    }


def _line(text: str, position: int) -> int:
    return text.count("\n", 0, position) + 1
