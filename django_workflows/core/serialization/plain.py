"""Encoded values for people and for the HTTP API."""

from __future__ import annotations

import math
from typing import Any

from django_workflows.core.serialization.format import DAMAGE, TAG, Node, read
from django_workflows.errors import SerializationError

_LISTS = frozenset({"tuple", "set", "frozenset", "deque", "slice", "range", "complex"})
_PAIRS = frozenset({"dict", "ordereddict", "defaultdict", "counter"})
_BYTES = frozenset({"bytes", "bytearray"})
_LARGEST_TREE = 100_000


def to_plain(data: bytes) -> Any:
    """What ``data`` holds, as plain JSON data.

    Nothing is imported or built for it, so it works for classes that are gone. Bytes
    become ``{"data": <base64>, "encoding": "base64"}``; dates, decimals, NaN and
    infinities become text, sets become lists, keys that are no text their ``repr``;
    dataclasses, models and the like become what they hold. A value that contains
    itself shows as ``"[circular]"`` in its own inside.

    Raises ``SerializationError`` for damaged data.
    """
    node, _ = read(data)
    try:
        return _Plain().plain(node)
    except DAMAGE as error:
        raise SerializationError(f"damaged payload: {error!r}") from error


class _Plain:
    def __init__(self) -> None:
        self._definitions: dict[int, Node] = {}
        self._open: set[int] = set()
        self._count = 0

    def plain(self, node: Node) -> Any:
        if isinstance(node, float) and not math.isfinite(node):
            return {"nan": "NaN", "inf": "Infinity", "-inf": "-Infinity"}[str(node)]
        if isinstance(node, list):
            return list(map(self.plain, node))
        if not isinstance(node, dict):
            return node
        if TAG not in node:
            return dict(zip(node, map(self.plain, node.values()), strict=True))
        return self._tagged(node[TAG], node)

    def _tagged(self, tag: Any, node: dict[str, Any]) -> Any:
        if tag == "def":
            self._definitions[node["id"]] = node["v"]
            return self._shared(node["id"])
        if tag == "ref":
            return self._shared(node["v"])
        if tag == "let":
            self.plain(node["d"])
            return self.plain(node["v"])
        if tag == "int":
            return node["v"]
        if tag in _BYTES:
            return {"data": node["v"], "encoding": "base64"}
        if tag in _PAIRS:
            return {self._key(key): self.plain(item) for key, item in node["v"]}
        if tag in _LISTS:
            return [self.plain(item) for item in node["v"]]
        if tag in ("exception", "exceptiongroup"):
            return self._exception(node)
        if tag == "model":
            app_label, model, pk, _ = node["v"]
            return f"{app_label}.{model}:{self.plain(pk)}"
        if tag in ("datetime", "time") and "zone" in node:
            return f"{node['v']}[{self.plain(node['zone'])}]"
        if tag in ("timedelta", "offset"):
            days, seconds, microseconds = node["v"]
            return f"{days * 86400 + seconds + microseconds / 1e6:g}s"
        if tag == "fraction":
            return "/".join(str(self.plain(part)) for part in node["v"])
        return self.plain(node.get("v"))

    def _exception(self, node: dict[str, Any]) -> Any:
        shown: dict[str, Any] = {
            "type": node["t"].removeprefix("builtins:").replace(":", ".")
        }
        if node["args"] is None:
            shown["args"] = [node["message"]]
        else:
            shown["args"] = [self.plain(item) for item in node["args"]]
        if "v" in node:
            shown["exceptions"] = [self.plain(item) for item in node["v"]]
        if "cause" in node:
            shown["cause"] = self.plain(node["cause"])
        return shown

    def _key(self, node: Node) -> str:
        key = self.plain(node)
        return key if isinstance(key, str) else repr(key)

    def _shared(self, number: int) -> Any:
        self._count += 1
        if number in self._open or number not in self._definitions:
            return "[circular]"
        if self._count > _LARGEST_TREE:
            return "[shared]"
        self._open.add(number)
        try:
            return self.plain(self._definitions[number])
        finally:
            self._open.discard(number)
