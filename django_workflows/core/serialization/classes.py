"""Instances of the user's own enums, named tuples, dataclasses and pydantic models.

They are rebuilt without running any code of their class: no ``__init__``, no
``__post_init__``, no validators. Fields that a newer class has in addition get their
defaults.
"""

from __future__ import annotations

import dataclasses
import enum
import functools
import sys
from collections.abc import Iterator
from typing import Any

from django_workflows.core.serialization.containers import is_constant
from django_workflows.core.serialization.decode import Decoder
from django_workflows.core.serialization.encode import Encoder
from django_workflows.core.serialization.format import TAG, Node
from django_workflows.core.serialization.names import (
    dotted_name,
    find_class,
    is_native,
)
from django_workflows.core.serialization.registry import (
    EncodeFunction,
    UnsupportedError,
    decodes,
)
from django_workflows.errors import SerializationError, UnknownCodeError

# Enums: by the member's name; combined flags by their value.


def enum_family(cls: type) -> EncodeFunction | None:
    if not issubclass(cls, enum.Enum):
        return None
    name = dotted_name(cls)

    def encode(encoder: Encoder, value: enum.Enum, depth: int) -> Node:
        if cls.__members__.get(value.name) is value:
            return {TAG: "enum", "t": name, "v": value.name}
        if not isinstance(value, enum.Flag):
            raise UnsupportedError(repr(value), "it is not a member of its own class")
        return {TAG: "flag", "t": name, "v": encoder.encode(value.value, depth + 1)}

    return encode


@decodes("enum")
def _decode_enum(
    decoder: Decoder, node: dict[str, Any], number: int | None
) -> enum.Enum:
    cls = find_class(node["t"])
    if not issubclass(cls, enum.Enum):
        raise _wrong_kind(node, "enum")
    try:
        return cls.__members__[node["v"]]
    except KeyError:
        raise UnknownCodeError(
            f"a payload needs {node['v']!r} of {node['t']}, which is not there"
        ) from None


@decodes("flag")
def _decode_flag(
    decoder: Decoder, node: dict[str, Any], number: int | None
) -> enum.Flag:
    cls = find_class(node["t"])
    if not issubclass(cls, enum.Flag):
        raise _wrong_kind(node, "flag")
    return cls(decoder.decode(node["v"]))


# Named tuples: by field.


def namedtuple_family(cls: type) -> EncodeFunction | None:
    fields = getattr(cls, "_fields", None)
    if not issubclass(cls, tuple) or not isinstance(fields, tuple):
        return None
    name = dotted_name(cls)

    def encode(encoder: Encoder, value: Any, depth: int) -> Node:
        reference = encoder.reference(value)
        if reference is not None:
            return reference
        if getattr(value, "__dict__", None):
            raise UnsupportedError(name, "it has attributes beside its fields")
        items = zip(fields, value, strict=True)
        nodes = encoder.encode_attributes(items, depth + 3)
        node = {TAG: "namedtuple", "t": name, "v": nodes}
        return node if is_constant(nodes.values()) else encoder.finish(value, node)

    return encode


@decodes("namedtuple")
def _decode_namedtuple(
    decoder: Decoder, node: dict[str, Any], number: int | None
) -> Any:
    cls: Any = find_class(node["t"])
    fields = getattr(cls, "_fields", None)
    if not issubclass(cls, tuple) or not isinstance(fields, tuple):
        raise _wrong_kind(node, "named tuple")
    values = {key: decoder.decode(item) for key, item in node["v"].items()}
    for field in fields:
        if field not in values:
            if field not in cls._field_defaults:
                raise _missing(node, field)
            values[field] = cls._field_defaults[field]
    return tuple.__new__(cls, [values[field] for field in fields])


# Dataclasses: by field, and whatever else an instance carries.


def dataclass_family(cls: type) -> EncodeFunction | None:
    if not dataclasses.is_dataclass(cls) or not _is_plain_object(cls):
        return None
    name = dotted_name(cls)
    fields = tuple(field.name for field in dataclasses.fields(cls))
    skipped = frozenset(fields) | _cached_properties(cls)

    def attributes(value: Any) -> Iterator[tuple[str, Any]]:
        for field in fields:
            if hasattr(value, field):
                yield field, getattr(value, field)
        for key, item in getattr(value, "__dict__", {}).items():
            if key not in skipped:
                yield key, item

    def encode(encoder: Encoder, value: Any, depth: int) -> Node:
        reference = encoder.reference(value)
        if reference is not None:
            return reference
        node: dict[str, Node] = {TAG: "dataclass", "t": name}
        encoder.remember(value, node)
        node["v"] = encoder.encode_attributes(attributes(value), depth + 3)
        return node

    return encode


@decodes("dataclass")
def _decode_dataclass(
    decoder: Decoder, node: dict[str, Any], number: int | None
) -> Any:
    cls = find_class(node["t"])
    if not dataclasses.is_dataclass(cls) or not _is_plain_object(cls):
        raise _wrong_kind(node, "dataclass")
    value = object.__new__(cls)
    decoder.bind(number, value)
    given = node["v"]
    for key, item in given.items():
        _set_if_possible(value, key, decoder.decode(item))
    for field in dataclasses.fields(cls):
        if field.name in given:
            continue
        if field.default is not dataclasses.MISSING:
            object.__setattr__(value, field.name, field.default)
        elif field.default_factory is not dataclasses.MISSING:
            object.__setattr__(value, field.name, field.default_factory())
        else:
            raise _missing(node, field.name)
    return value


def _set_if_possible(value: object, key: str, item: object) -> None:
    try:
        object.__setattr__(value, key, item)
    except AttributeError:
        # A field that the class had once, and now it has slots without it.
        if key in {field.name for field in dataclasses.fields(value)}:  # type: ignore[arg-type]
            raise


def _is_plain_object(cls: type) -> bool:
    """Whether instances hold nothing but attributes, as subclasses of ``dict`` do."""
    return not any(is_native(base) for base in cls.__mro__ if base is not object)


def _cached_properties(cls: type) -> frozenset[str]:
    return frozenset(
        key
        for base in cls.__mro__
        for key, item in vars(base).items()
        if isinstance(item, functools.cached_property)
    )


# Pydantic models: by field, with what they know about fields set, extra and private.


def pydantic_family(cls: Any) -> EncodeFunction | None:
    base = _pydantic_base()
    if base is None or not issubclass(cls, base):
        return None
    name = dotted_name(cls)
    fields = frozenset(cls.model_fields)

    def encode(encoder: Encoder, value: Any, depth: int) -> Node:
        reference = encoder.reference(value)
        if reference is not None:
            return reference
        node: dict[str, Node] = {TAG: "pydantic", "t": name}
        encoder.remember(value, node)
        state = base.__getstate__(value)
        own = ((key, item) for key, item in state["__dict__"].items() if key in fields)
        node["v"] = encoder.encode_attributes(own, depth + 3)
        node["set"] = sorted(state["__pydantic_fields_set__"])
        for key in ("extra", "private"):
            attributes = state[f"__pydantic_{key}__"]
            if attributes is not None:
                node[key] = encoder.encode_attributes(attributes.items(), depth + 3)
        return node

    return encode


@decodes("pydantic")
def _decode_pydantic(decoder: Decoder, node: dict[str, Any], number: int | None) -> Any:
    cls: Any = find_class(node["t"])
    base = _pydantic_base()
    if base is None or not issubclass(cls, base):
        raise _wrong_kind(node, "pydantic model")
    value = object.__new__(cls)
    decoder.bind(number, value)

    def attributes(key: str) -> dict[str, Any] | None:
        if key not in node:
            return None
        return {name: decoder.decode(item) for name, item in node[key].items()}

    values = attributes("v") or {}
    for name, field in cls.model_fields.items():
        if name not in values:
            if field.is_required():
                raise _missing(node, name)
            values[name] = field.get_default(
                call_default_factory=True, validated_data=values
            )
    base.__setstate__(
        value,
        {
            "__dict__": values,
            "__pydantic_fields_set__": set(node["set"]),
            "__pydantic_extra__": attributes("extra"),
            "__pydantic_private__": attributes("private"),
        },
    )
    return value


def _pydantic_base() -> Any:
    # Who has an instance, or has imported its class, has imported pydantic.
    return getattr(sys.modules.get("pydantic"), "BaseModel", None)


def _wrong_kind(node: dict[str, Any], kind: str) -> SerializationError:
    return SerializationError(f"damaged payload: {node['t']} is no {kind}")


def _missing(node: dict[str, Any], field: str) -> SerializationError:
    return SerializationError(
        f"{node['t']} has a new field {field!r} without a default, and a payload "
        "from before has no value for it"
    )
