"""What a browser would send, by the HTML of a page."""

from __future__ import annotations

from html.parser import HTMLParser
from typing import Any


class _Reader(HTMLParser):
    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.sent: dict[str, list[str]] = {}
        self._area: str | None = None
        self._text = ""
        self._select: str | None = None
        self._has_chosen = False

    def _add(self, name: str | None, value: str) -> None:
        if name:
            self.sent.setdefault(name, []).append(value)

    def handle_starttag(self, tag: str, attributes: list[tuple[str, Any]]) -> None:
        found = dict(attributes)
        name, value = found.get("name"), found.get("value") or ""
        if tag == "textarea":
            self._area, self._text = name, ""
        elif tag == "select":
            self._select, self._has_chosen = name, False
        elif tag == "option" and self._select:
            if "selected" in found:
                if not self._has_chosen and self._select in self.sent:
                    self.sent[self._select].pop()
                self._add(self._select, value)
                self._has_chosen = True
            elif self._select not in self.sent:
                self._add(self._select, value)
        elif tag == "input":
            kind = found.get("type", "text")
            if kind in ("submit", "button"):
                return
            if kind in ("checkbox", "radio"):
                if "checked" in found:
                    self._add(name, found.get("value", "on"))
                return
            self._add(name, value.replace("\r", "").replace("\n", ""))

    def handle_data(self, data: str) -> None:
        if self._area is not None:
            self._text += data

    def handle_endtag(self, tag: str) -> None:
        if tag == "textarea":
            # The first newline is markup, and all others are sent as two characters.
            text = self._text.replace("\r\n", "\n").replace("\r", "\n")
            self._add(self._area, text.removeprefix("\n").replace("\n", "\r\n"))
            self._area = None
        elif tag == "select":
            self._select = None


def what_a_browser_sends(html: str) -> dict[str, list[str]]:
    """The values of the form's fields, by name, if nobody touches them."""
    reader = _Reader()
    reader.feed(html)
    reader.close()
    return reader.sent
