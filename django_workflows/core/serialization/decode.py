"""Nodes to values."""

from __future__ import annotations

from typing import Any

from django_workflows.core.serialization.format import TAG, Node
from django_workflows.core.serialization.registry import decoders, decodes
from django_workflows.errors import SerializationError, UnknownCodeError


class Decoder:
    """Decodes one payload.

    Values that can be made empty and filled are bound to their number first, so
    that a reference in their contents finds them.
    """

    __slots__ = ("_shared", "fetch_models")

    def __init__(self, *, fetch_models: bool) -> None:
        self.fetch_models = fetch_models
        """Whether model instances are fetched; else they become a ``ModelRef``."""
        self._shared: dict[int, Any] = {}

    def decode(self, node: Node, number: int | None = None) -> Any:
        """The value of ``node``, to be known as ``number`` if it is referred to."""
        kind = type(node)
        if kind is dict and node.get(TAG) == "def":
            number, node = node["id"], node["v"]
            kind = type(node)
        if kind is list:
            items: list[Any] = []
            self.bind(number, items)
            items.extend(map(self.decode, node))
            return items
        if kind is not dict:
            return node
        if TAG not in node:
            mapping: dict[str, Any] = {}
            self.bind(number, mapping)
            for key, item in node.items():
                mapping[key] = self.decode(item)
            return mapping
        tag = node[TAG]
        decoder = decoders.get(tag) if type(tag) is str else None
        if decoder is None:
            raise UnknownCodeError(f"a payload needs the unknown tag {tag!r}")
        value = decoder(self, node, number)
        self.bind(number, value)
        return value

    def decode_all(self, nodes: list[Node]) -> list[Any]:
        """The values of a list of nodes."""
        return list(map(self.decode, nodes))

    def bind(self, number: int | None, value: object) -> None:
        """Let ``value`` be what references to ``number`` mean."""
        if number is not None:
            self._shared[number] = value

    def shared(self, number: int) -> Any:
        """What ``number`` refers to."""
        try:
            return self._shared[number]
        except KeyError:
            raise SerializationError(
                f"damaged payload: nothing has the number {number!r} yet"
            ) from None


@decodes("ref")
def _refer(decoder: Decoder, node: dict[str, Any], number: int | None) -> Any:
    return decoder.shared(node["v"])


@decodes("let")
def _let(decoder: Decoder, node: dict[str, Any], number: int | None) -> Any:
    decoder.decode(node["d"])
    return decoder.decode(node["v"])
