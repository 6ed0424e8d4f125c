"""``loads`` and ``loads_call``, with a short cut for plain data."""

from __future__ import annotations

from typing import Any

from django_workflows.core.serialization.decode import Decoder
from django_workflows.core.serialization.format import DAMAGE, Node, read
from django_workflows.core.serialization.names import display_name
from django_workflows.errors import SerializationError


def loads(data: bytes, *, fetch_models: bool = False) -> Any:
    """The value that ``dumps`` made ``data`` of.

    A model instance comes back as a ``ModelRef``, or with ``fetch_models`` fresh from
    the database.

    Raises ``UnknownCodeError`` if the value needs a class that this process does not
    have, ``ModelGoneError`` for a deleted instance, and ``SerializationError`` for
    damaged data.
    """
    node, tagged = read(data)
    # Without any tag in it the node is the value.
    if not tagged:
        return node
    return _decode(Decoder(fetch_models=fetch_models), node)


def loads_call(
    data: bytes, *, fetch_models: bool = False
) -> tuple[tuple[Any, ...], dict[str, Any]]:
    """The arguments that ``dumps_call`` made ``data`` of. Raises as ``loads`` does."""
    node, tagged = read(data)
    if type(node) is not list or len(node) != 2 or type(node[0]) is not list:
        raise SerializationError("damaged payload: these are no arguments")
    args, kwargs = node
    if tagged:
        decoder = Decoder(fetch_models=fetch_models)
        args = [_decode(decoder, argument) for argument in args]
        kwargs = _decode(decoder, kwargs)
    if type(kwargs) is not dict:
        raise SerializationError("damaged payload: these are no arguments")
    return tuple(args), kwargs


def _decode(decoder: Decoder, node: Node) -> Any:
    try:
        return decoder.decode(node)
    except DAMAGE as error:
        # Not its text, which tells what the payload holds: this one gets into logs.
        name = display_name(type(error))
        raise SerializationError(f"damaged payload: {name}") from error
