"""Collections of the standard library."""

from __future__ import annotations

from base64 import b64decode
from collections import Counter, OrderedDict, defaultdict, deque
from collections.abc import Collection, Iterable
from typing import Any

from django_workflows.core.serialization.decode import Decoder
from django_workflows.core.serialization.encode import Encoder, short
from django_workflows.core.serialization.format import TAG, Node, write
from django_workflows.core.serialization.names import display_name
from django_workflows.core.serialization.registry import (
    UnsupportedError,
    decodes,
    encodes,
)
from django_workflows.core.serialization.scalars import base64_text

_SHORT = 16
_FACTORIES: dict[str, Any] = {
    factory.__name__: factory
    for factory in (
        list, dict, set, frozenset, tuple, str, bytes, bytearray,
        int, float, bool, complex, Counter, OrderedDict, deque,
    )
}  # fmt: skip


def is_constant(nodes: Collection[Node]) -> bool:
    """Whether an immutable collection of these nodes need not stay one object.

    Which equal constants are one object is the compiler's business and changes
    between Python versions; what is written must not depend on it.
    """
    return len(nodes) <= _SHORT and not any(
        isinstance(node, list | dict) for node in nodes
    )


@encodes(list)
def _encode_list(encoder: Encoder, value: list[Any], depth: int) -> Node:
    reference = encoder.reference(value)
    if reference is not None:
        return reference
    node: list[Node] = []
    encoder.remember(value, node)
    append, encode = node.append, encoder.encode
    try:
        for item in value:
            append(encode(item, depth + 2))
    except UnsupportedError as error:
        raise error.under(f"[{len(node)}]") from error.__cause__
    return node


@encodes(tuple)
def _encode_tuple(encoder: Encoder, value: tuple[Any, ...], depth: int) -> Node:
    reference = encoder.reference(value)
    if reference is not None:
        return reference
    items = encoder.encode_all(value, depth + 3, [])
    node = {TAG: "tuple", "v": items}
    return node if is_constant(items) else encoder.finish(value, node)


@decodes("tuple")
def _decode_tuple(
    decoder: Decoder, node: dict[str, Any], number: int | None
) -> tuple[Any, ...]:
    return tuple(decoder.decode_all(node["v"]))


@encodes(slice)
def _encode_slice(encoder: Encoder, value: slice, depth: int) -> Node:
    parts = [("start", value.start), ("stop", value.stop), ("step", value.step)]
    nodes = encoder.encode_attributes(parts, depth + 3)
    return {TAG: "slice", "v": list(nodes.values())}


@decodes("slice")
def _decode_slice(decoder: Decoder, node: dict[str, Any], number: int | None) -> slice:
    return slice(*decoder.decode_all(node["v"]))


@encodes(bytearray)
def _encode_bytearray(encoder: Encoder, value: bytearray, depth: int) -> Node:
    reference = encoder.reference(value)
    if reference is not None:
        return reference
    node = {TAG: "bytearray", "v": base64_text(value)}
    encoder.remember(value, node)
    return node


@decodes("bytearray")
def _decode_bytearray(
    decoder: Decoder, node: dict[str, Any], number: int | None
) -> bytearray:
    return bytearray(b64decode(node["v"], validate=True))


# Sets: in the order of their encoded members, which is the same in every process.


@encodes(set)
def _encode_set(encoder: Encoder, value: set[Any], depth: int) -> Node:
    reference = encoder.reference(value)
    if reference is not None:
        return reference
    node: dict[str, Node] = {TAG: "set"}
    encoder.remember(value, node)
    node["v"] = _encode_members(encoder, value, depth + 4)
    return node


@decodes("set")
def _decode_set(decoder: Decoder, node: dict[str, Any], number: int | None) -> set[Any]:
    value: set[Any] = set()
    decoder.bind(number, value)
    for member in node["v"]:
        value.add(decoder.decode(member))
    return value


@encodes(frozenset)
def _encode_frozenset(encoder: Encoder, value: frozenset[Any], depth: int) -> Node:
    reference = encoder.reference(value)
    if reference is not None:
        return reference
    members = _encode_members(encoder, value, depth + 4)
    node = {TAG: "frozenset", "v": members}
    return node if is_constant(members) else encoder.finish(value, node)


@decodes("frozenset")
def _decode_frozenset(
    decoder: Decoder, node: dict[str, Any], number: int | None
) -> frozenset[Any]:
    return frozenset(decoder.decode_all(node["v"]))


def _encode_members(encoder: Encoder, members: Iterable[Any], depth: int) -> list[Node]:
    """Each member is encoded on trial for its place, then again at its place.

    The second time is needed only if references may run to or from the member.
    """
    places: list[tuple[bytes, Node, Any]] = []
    for member in members:
        key, node = encoder.sort_key(member), None
        if key is None:
            trial = encoder.trial()
            try:
                node = trial.encode(member, depth)
            except UnsupportedError as error:
                raise error.under(f"{{{short(member)}}}") from error.__cause__
            key = write(node)
            if not trial.is_pure:
                encoder.keep_sort_key(member, key)
                node = None
        places.append((key, node, member))
    places.sort(key=lambda place: place[0])
    return [
        encoder.encode(member, depth) if node is None else node
        for _, node, member in places
    ]


# Mappings: in the order of insertion.


@encodes(dict)
def _encode_dict(encoder: Encoder, value: dict[Any, Any], depth: int) -> Node:
    reference = encoder.reference(value)
    if reference is not None:
        return reference
    if TAG in value or not all(type(key) is str for key in value):
        return _encode_mapping(encoder, value, depth, {TAG: "dict"})
    node: dict[str, Node] = {}
    encoder.remember(value, node)
    for key, item in value.items():
        try:
            node[key] = encoder.encode(item, depth + 2)
        except UnsupportedError as error:
            raise error.under(f"[{short(key)}]") from error.__cause__
    return node


def _encode_mapping(
    encoder: Encoder, value: dict[Any, Any], depth: int, node: dict[str, Node]
) -> Node:
    pairs: list[Node] = []
    encoder.remember(value, node)
    node["v"] = pairs
    for key, item in value.items():
        try:
            pairs.append(
                [encoder.encode(key, depth + 4), encoder.encode(item, depth + 4)]
            )
        except UnsupportedError as error:
            raise error.under(f"[{short(key)}]") from error.__cause__
    return node


def _fill(decoder: Decoder, pairs: list[Node], mapping: dict[Any, Any]) -> None:
    for key, item in pairs:
        mapping[decoder.decode(key)] = decoder.decode(item)


@decodes("dict")
def _decode_dict(
    decoder: Decoder, node: dict[str, Any], number: int | None
) -> dict[Any, Any]:
    value: dict[Any, Any] = {}
    decoder.bind(number, value)
    _fill(decoder, node["v"], value)
    return value


@encodes(OrderedDict)
def _encode_ordered(encoder: Encoder, value: OrderedDict[Any, Any], depth: int) -> Node:
    return encoder.reference(value) or _encode_mapping(
        encoder, value, depth, {TAG: "ordereddict"}
    )


@decodes("ordereddict")
def _decode_ordered(
    decoder: Decoder, node: dict[str, Any], number: int | None
) -> OrderedDict[Any, Any]:
    value: OrderedDict[Any, Any] = OrderedDict()
    decoder.bind(number, value)
    _fill(decoder, node["v"], value)
    return value


@encodes(Counter)
def _encode_counter(encoder: Encoder, value: Counter[Any], depth: int) -> Node:
    return encoder.reference(value) or _encode_mapping(
        encoder, value, depth, {TAG: "counter"}
    )


@decodes("counter")
def _decode_counter(
    decoder: Decoder, node: dict[str, Any], number: int | None
) -> Counter[Any]:
    value: Counter[Any] = Counter()
    decoder.bind(number, value)
    _fill(decoder, node["v"], value)
    return value


@encodes(defaultdict)
def _encode_defaultdict(
    encoder: Encoder, value: defaultdict[Any, Any], depth: int
) -> Node:
    reference = encoder.reference(value)
    if reference is not None:
        return reference
    factory = value.default_factory
    name = None
    if factory is not None:
        name = getattr(factory, "__name__", "")
        if _FACTORIES.get(name) is not factory:
            raise UnsupportedError(
                display_name(type(factory)),
                "a defaultdict may make builtin collections and numbers only; "
                "pass dict(...) of it",
            ).under(".default_factory")
    return _encode_mapping(encoder, value, depth, {TAG: "defaultdict", "factory": name})


@decodes("defaultdict")
def _decode_defaultdict(
    decoder: Decoder, node: dict[str, Any], number: int | None
) -> defaultdict[Any, Any]:
    name = node["factory"]
    value: defaultdict[Any, Any] = defaultdict(
        None if name is None else _FACTORIES[name]
    )
    decoder.bind(number, value)
    _fill(decoder, node["v"], value)
    return value


@encodes(deque)
def _encode_deque(encoder: Encoder, value: deque[Any], depth: int) -> Node:
    reference = encoder.reference(value)
    if reference is not None:
        return reference
    items: list[Node] = []
    node = {TAG: "deque", "maxlen": value.maxlen, "v": items}
    encoder.remember(value, node)
    encoder.encode_all(value, depth + 3, items)
    return node


@decodes("deque")
def _decode_deque(
    decoder: Decoder, node: dict[str, Any], number: int | None
) -> deque[Any]:
    value: deque[Any] = deque(maxlen=node["maxlen"])
    decoder.bind(number, value)
    for item in node["v"]:
        value.append(decoder.decode(item))
    return value
