"""``dumps`` and ``dumps_call``, with a short cut for plain data."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from typing import Any

from django_workflows.core.serialization.encode import Encoder
from django_workflows.core.serialization.format import (
    LARGEST_INT,
    SCALARS,
    TAG,
    Node,
    write,
)
from django_workflows.core.serialization.registry import UnsupportedError
from django_workflows.errors import SerializationError

_SHALLOW = 32


def dumps(value: Any, *, root: str = "value", lenient: bool = False) -> bytes:
    """``value`` as bytes, from which ``loads`` makes an equal value of equal types.

    ``root`` is what error messages call the value. With ``lenient`` an exception
    loses attributes and causes that cannot be serialized, instead of being refused.

    Raises ``SerializationError`` telling what cannot be serialized, where it is
    inside of the value, and what to do.
    """
    if _is_plain((value,), set(), 0):
        return write(value)
    encoder = Encoder(lenient=lenient)
    try:
        return write(encoder.marked(encoder.encode(value, 0)))
    except UnsupportedError as error:
        raise SerializationError(error.message(root)) from error.__cause__
    except RecursionError:
        raise _too_deep(root) from None


def dumps_call(args: tuple[Any, ...], kwargs: dict[str, Any]) -> bytes:
    """The arguments of a call as bytes, for ``loads_call``.

    Raises ``SerializationError`` with a path such as ``args[0]['items'][3]``.
    """
    seen: set[int] = set()
    if _is_plain(args, seen, 0) and (not kwargs or _is_plain((kwargs,), seen, 0)):
        return write((args, kwargs))
    encoder = Encoder()
    try:
        nodes: list[Node] = [_call_part(encoder, args, "args")]
        nodes.append(_call_part(encoder, kwargs, "kwargs"))
        return write(encoder.marked(nodes))
    except RecursionError:
        raise _too_deep("args") from None


def _call_part(encoder: Encoder, part: Any, root: str) -> Node:
    try:
        if isinstance(part, tuple):
            return encoder.encode_all(part, 2, [])
        return encoder.encode(part, 1)
    except UnsupportedError as error:
        raise SerializationError(error.message(root)) from error.__cause__


def _too_deep(root: str) -> SerializationError:
    return SerializationError(
        f"cannot serialize {root}: it is nested too deeply; store it and pass a "
        "reference, or flatten it"
    )


def _is_plain(items: Iterable[Any], seen: set[int], depth: int) -> bool:
    """Whether JSON as it is says all about ``items``: no tags, nothing shared."""
    for item in items:
        kind = type(item)
        if kind in SCALARS:
            continue
        if kind is int:
            if -LARGEST_INT <= item <= LARGEST_INT:
                continue
            return False
        if kind is dict:
            if TAG in item:
                return False
            for key in item:
                if type(key) is not str:
                    return False
            parts: Collection[Any] = item.values()
        elif kind is list:
            parts = item
        else:
            return False
        if id(item) in seen or depth > _SHALLOW:
            return False
        seen.add(id(item))
        if parts and not _is_plain(parts, seen, depth + 1):
            return False
    return True
