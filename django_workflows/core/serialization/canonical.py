"""A form of encoded values in which order that means nothing is gone."""

from __future__ import annotations

import json

from django_workflows.core.serialization.format import (
    TAG,
    Node,
    read,
)

_UNORDERED_PAIRS = frozenset({"dict", "defaultdict", "counter"})
_SETS = frozenset({"set", "frozenset"})
_encode = json.JSONEncoder(
    ensure_ascii=False, check_circular=False, separators=(",", ":"), sort_keys=True
).encode


def canonical(data: bytes) -> bytes:
    """``data`` for comparing: equal for values that differ in order only.

    The order of dict items and set members is made uniform, and tracebacks are left
    out. The result is not for ``loads``.
    """
    if type(data) is bytes and b'{"' not in data:
        return data
    node, tagged = read(data)
    if not tagged:
        return _write_sorted(node)
    return _write_sorted(_Canonical(_definitions(node), {}).node(node))


def _write_sorted(node: Node) -> bytes:
    return _encode(node).encode("utf-8", "surrogatepass")


def _definitions(root: Node) -> dict[int, Node]:
    found: dict[int, Node] = {}
    left = [root]
    while left:
        node = left.pop()
        if isinstance(node, dict):
            if node.get(TAG) == "def":
                found[node["id"]] = node["v"]
            left += node.values()
        elif isinstance(node, list):
            left += node
    return found


class _Canonical:
    """Rewrites one node; shared values are numbered in the new order."""

    def __init__(self, definitions: dict[int, Node], places: dict[int, bytes]) -> None:
        self._definitions = definitions
        self._places = places
        self._numbers: dict[int, int] = {}

    def node(self, node: Node) -> Node:
        """The canonical form of ``node``."""
        if isinstance(node, list):
            return self._all(node)
        if not isinstance(node, dict):
            return node
        tag = node.get(TAG)
        if tag == "let":
            return self.node(node["v"])
        if tag == "def":
            return self._shared(node["id"])
        if tag == "ref":
            return self._shared(node["v"])
        if tag in _SETS:
            return {TAG: tag, "v": self._all(sorted(node["v"], key=self._place))}
        if tag in _UNORDERED_PAIRS:
            pairs = sorted(node["v"], key=lambda pair: self._place(pair[0]))
            return {**node, "v": self._all(pairs)}
        if tag in ("exception", "exceptiongroup") and "attributes" in node:
            attributes = dict(node["attributes"])
            attributes.pop("traceback", None)
            node = {**node, "attributes": attributes}
        # In the order in which they will be written, so that numbers follow it.
        keys = sorted(node)
        return dict(zip(keys, map(self.node, map(node.get, keys)), strict=True))

    def _all(self, nodes: list[Node]) -> list[Node]:
        return list(map(self.node, nodes))

    def _shared(self, number: int) -> Node:
        if number in self._numbers:
            return {TAG: "ref", "v": self._numbers[number]}
        mine = self._numbers[number] = len(self._numbers) + 1
        return {TAG: "def", "id": mine, "v": self.node(self._definitions[number])}

    def _place(self, node: Node) -> bytes:
        """Where a member or key goes: what it looks like when it comes next."""
        place = self._places.get(id(node))
        if place is None:
            trial = _Canonical(self._definitions, self._places)
            trial._numbers = dict.fromkeys(self._numbers, 0)
            place = self._places[id(node)] = _write_sorted(trial.node(node))
        return place
