"""Values that nobody is shown, known by the names they are kept under."""

from __future__ import annotations

import re
from base64 import b64decode
from collections.abc import Iterable
from typing import Any

HIDDEN = "[redacted]"
"""What is shown instead."""

# A value behind "name=" or "name:", quoted or up to what ends it in a URL, a dict's
# repr, JSON or a sentence.
_VALUE = r""""(?:[^"\\]|\\.)*"|'(?:[^'\\]|\\.)*'|[^\s,;&'")\]}]+"""


class Hiding:
    """Which names are hidden; they are matched without case."""

    def __init__(self, names: Iterable[str]) -> None:
        self._names = frozenset(name.casefold() for name in names)
        self._pattern: re.Pattern[str] | None = None
        if self._names:
            names = "|".join(re.escape(name) for name in sorted(self._names))
            self._pattern = re.compile(
                rf"""(?<![\w-])({names})(['"]?\s*[:=]\s*)(?:{_VALUE})""",
                re.IGNORECASE,
            )

    def hides(self, name: str) -> bool:
        """Whether what is kept under this name is not to be shown."""
        return bool(self._names) and name.casefold() in self._names

    def scrub(self, text: str) -> str:
        """``text`` without what it says of hidden names: in a query string, in a
        ``repr``, in JSON. What does not look like one of these stays."""
        if self._pattern is None:
            return text
        return self._pattern.sub(rf"\1\2{HIDDEN}", text)

    def scrub_message(self, message: dict[str, Any]) -> dict[str, Any]:
        """The parts of an HTTP message, without what its URL says of hidden names,
        and without a body that speaks of one."""
        shown: dict[str, Any] = {}
        for part, value in message.items():
            if isinstance(value, str):
                value = self.scrub(value)
            elif part == "body" and self._speaks_of_hidden(value):
                value = HIDDEN
            shown[part] = value
        return shown

    def _speaks_of_hidden(self, body: Any) -> bool:
        if not self._names or not isinstance(body, dict) or "encoding" not in body:
            return False
        text = b64decode(body["data"]).decode("utf-8", "replace").casefold()
        return any(name in text for name in self._names)
