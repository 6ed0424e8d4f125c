"""Values to nodes."""

from __future__ import annotations

import reprlib
from collections.abc import Iterable
from typing import Any

from django_workflows.core.serialization.advice import advice_for
from django_workflows.core.serialization.format import (
    LARGEST_INT,
    SCALARS,
    TAG,
    Node,
)
from django_workflows.core.serialization.names import display_name
from django_workflows.core.serialization.registry import (
    UnsupportedError,
    encoders,
    find_encoder,
)

MAX_DEPTH = 400
"""Each kind of value adds as much to the depth of its contents as it needs levels of
JSON or nested calls, whichever is more. Python's own limit is 1,000, and the callers
need some of that."""

_short = reprlib.Repr()
_short.maxstring = _short.maxother = 60


class _Seen:
    """A value met before: kept alive, so that its ``id`` stays its own."""

    __slots__ = ("node", "number", "value")

    def __init__(self, value: object, node: Node) -> None:
        self.value = value
        self.node = node
        self.number: int | None = None


class Encoder:
    """Encodes one value; values that occur twice in it stay one.

    A mutable value announces itself with ``remember`` before its contents are
    encoded, so that these may refer back to it. An immutable one can only be built
    when its contents are complete, and calls ``finish`` with its node at its end.
    """

    __slots__ = (
        "_count",
        "_outer",
        "_seen",
        "_sort_keys",
        "building",
        "is_pure",
        "lenient",
    )

    def __init__(self, *, lenient: bool = False, outer: Encoder | None = None) -> None:
        self.lenient = lenient
        """Whether an exception may lose attributes and causes that don't encode."""
        self.building: set[int] = set()
        """Ids of values of own types whose contents are being encoded."""
        self.is_pure = True
        """Whether nothing was met so far that must stay one object."""
        self._seen: dict[int, _Seen] = {}
        self._count = 0
        self._outer = outer
        # By id, with the member itself, which is so kept alive.
        self._sort_keys: dict[int, tuple[object, bytes]] = (
            outer._sort_keys if outer else {}
        )

    def encode(self, value: Any, depth: int) -> Node:
        """The node for ``value``. Raises ``UnsupportedError``."""
        kind = type(value)
        if kind in SCALARS:
            return value
        if kind is int:
            if -LARGEST_INT <= value <= LARGEST_INT:
                return value
            return {TAG: "int", "v": hex(value)}
        encoder = encoders.get(kind) or find_encoder(kind)
        if encoder is None:
            raise UnsupportedError(display_name(kind), advice_for(value))
        if depth > MAX_DEPTH:
            raise UnsupportedError(
                display_name(kind),
                "it is nested too deeply; store it and pass a reference, or flatten it",
            )
        return encoder(self, value, depth)

    def encode_all(
        self, values: Iterable[Any], depth: int, into: list[Node]
    ) -> list[Node]:
        """Append the nodes of ``values`` to ``into`` and return it."""
        append = into.append
        try:
            for value in values:
                append(self.encode(value, depth))
        except UnsupportedError as error:
            raise error.under(f"[{len(into)}]") from error.__cause__
        return into

    def encode_attributes(
        self, attributes: Iterable[tuple[str, Any]], depth: int
    ) -> dict[str, Node]:
        """The nodes of named attributes. Raises ``UnsupportedError``."""
        nodes: dict[str, Node] = {}
        for name, value in attributes:
            try:
                if name == TAG:
                    raise UnsupportedError("an attribute of that name", "rename it")
                nodes[name] = self.encode(value, depth)
            except UnsupportedError as error:
                raise error.under(f".{name}") from error.__cause__
        return nodes

    def reference(self, value: object) -> Node | None:
        """A reference to ``value`` if it was encoded before, else ``None``."""
        seen = self._seen.get(id(value))
        if seen is None:
            return self._reference_outside(value) if self._outer else None
        if seen.number is None:
            self._count += 1
            seen.number = self._count
        return {TAG: "ref", "v": seen.number}

    def _reference_outside(self, value: object) -> Node | None:
        """In a trial, a reference out of it: it has no number yet and needs none."""
        encoder = self._outer
        while encoder is not None:
            if id(value) in encoder._seen:
                self.is_pure = False
                return {TAG: "ref", "v": 0}
            encoder = encoder._outer
        return None

    def remember(self, value: object, node: Node) -> None:
        """Note that ``node``, which may still be filled, stands for ``value``."""
        self.is_pure = False
        self._seen[id(value)] = _Seen(value, node)

    def finish(self, value: object, node: Node) -> Node:
        """The node to use for an immutable ``value`` whose ``node`` is complete.

        If its contents led back to it, it has been encoded once more inside of
        them, completely; then that one counts, after all this has been read.
        """
        reference = self.reference(value)
        if reference is not None:
            return {TAG: "let", "d": node, "v": reference}
        self.remember(value, node)
        return node

    def trial(self) -> Encoder:
        """An encoder for looking at parts of the value beforehand."""
        return Encoder(lenient=self.lenient, outer=self)

    def attempt(self, value: Any, depth: int) -> Node:
        """Like ``encode``, but an ``UnsupportedError`` value leaves no trace."""
        before = dict(self._seen)
        try:
            return self.encode(value, depth)
        except UnsupportedError:
            self._seen = before
            raise

    def sort_key(self, value: object) -> bytes | None:
        """The sort key of a set's member, if it is known already."""
        known = self._sort_keys.get(id(value))
        return known[1] if known else None

    def keep_sort_key(self, value: object, key: bytes) -> None:
        """Note a sort key, so that nested sets aren't tried again and again."""
        self._sort_keys[id(value)] = (value, key)

    def marked(self, node: Node) -> Node:
        """``node`` with a definition around everything that is referred to."""
        if not self._count:
            return node
        numbers = {
            id(seen.node): seen.number
            for seen in self._seen.values()
            if seen.number is not None
        }

        def mark(node: Node) -> Node:
            kind = type(node)
            if kind is list:
                copy: Node = list(map(mark, node))
            elif kind is dict:
                copy = dict(zip(node, map(mark, node.values()), strict=True))
            else:
                return node
            number = numbers.get(id(node))
            return copy if number is None else {TAG: "def", "id": number, "v": copy}

        return mark(node)


def short(value: object) -> str:
    """A short ``repr`` for paths, whatever the value's own does."""
    try:
        return _short.repr(value)
    except Exception:
        return f"<{type(value).__name__}>"
