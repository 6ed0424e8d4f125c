"""Types that bring their own encoding: registered ones, and those with a protocol."""

from __future__ import annotations

import contextlib
import importlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, TypeVar

from django_workflows.core.serialization.decode import Decoder
from django_workflows.core.serialization.encode import Encoder
from django_workflows.core.serialization.format import TAG, Node
from django_workflows.core.serialization.names import (
    display_name,
    dotted_name,
    find_class,
)
from django_workflows.core.serialization.registry import (
    EncodeFunction,
    UnsupportedError,
    decodes,
    encoders,
)
from django_workflows.errors import (
    SerializationError,
    UnknownCodeError,
    WorkflowError,
)

T = TypeVar("T")


@dataclass(frozen=True)
class _Registration:
    cls: type
    decode: Callable[[Any], Any]


_registrations: dict[str, _Registration] = {}


def register_type(
    cls: type[T],
    *,
    encode: Callable[[T], Any],
    decode: Callable[[Any], T],
    name: str | None = None,
) -> None:
    """Make values of exactly the class ``cls`` serializable.

    ``encode`` returns something serializable that stands for the value, and
    ``decode`` builds the value from it. ``name`` is what payloads call the type; the
    default is its dotted name, so give one if the class may ever move. Register in a
    module that every process imports, best where the class is defined.

    Raises ``ValueError`` if the name is taken by another class.
    """
    name = name or f"{cls.__module__}:{cls.__qualname__}"
    known = _registrations.get(name)
    # The same class in a module that has been reloaded is no other class.
    if known is not None and display_name(known.cls) != display_name(cls):
        raise ValueError(f"the name {name!r} is taken by {display_name(known.cls)}")
    _registrations[name] = _Registration(cls, decode)

    def encode_value(encoder: Encoder, value: T, depth: int) -> Node:
        return _encode(encoder, value, depth, encode, {TAG: "type", "t": name})

    encoders[cls] = encode_value


@decodes("type")
def _decode_registered(
    decoder: Decoder, node: dict[str, Any], number: int | None
) -> Any:
    name: str = node["t"]
    registration = _registrations.get(name)
    if registration is None and ":" in name:
        # Importing its module registers the class.
        with contextlib.suppress(ImportError):
            importlib.import_module(name.partition(":")[0])
        registration = _registrations.get(name)
    if registration is None:
        raise UnknownCodeError(
            f"a payload needs the type {name!r}, which nothing in this process has "
            "registered with register_type()"
        )
    data = decoder.decode(node["v"])
    with _blaming(f"the decode function of the type {name!r}"):
        return registration.decode(data)


def protocol_family(cls: type) -> EncodeFunction | None:
    if not hasattr(cls, "__workflow_encode__"):
        return None
    if not hasattr(cls, "__workflow_decode__"):
        raise UnsupportedError(
            display_name(cls), "it has __workflow_encode__ but no __workflow_decode__"
        )
    name = dotted_name(cls)

    def encode(encoder: Encoder, value: Any, depth: int) -> Node:
        return _encode(
            encoder,
            value,
            depth,
            cls.__workflow_encode__,
            {TAG: "object", "t": name},
        )

    return encode


@decodes("object")
def _decode_protocol(decoder: Decoder, node: dict[str, Any], number: int | None) -> Any:
    cls: Any = find_class(node["t"])
    if not hasattr(cls, "__workflow_decode__"):
        raise UnknownCodeError(
            f"a payload needs {node['t']}, which has no __workflow_decode__ any more"
        )
    data = decoder.decode(node["v"])
    with _blaming(f"{node['t']}.__workflow_decode__"):
        return cls.__workflow_decode__(data)


def _encode(
    encoder: Encoder,
    value: T,
    depth: int,
    encode: Callable[[T], Any],
    node: dict[str, Node],
) -> Node:
    reference = encoder.reference(value)
    if reference is not None:
        return reference
    if id(value) in encoder.building:
        raise UnsupportedError(
            display_name(type(value)),
            "what encodes it leads back to it, so it could never be rebuilt",
        )
    encoder.building.add(id(value))
    try:
        try:
            data = encode(value)
        except Exception as error:
            raise UnsupportedError(
                display_name(type(value)), f"its own encoding failed: {error!r}"
            ) from error
        node["v"] = encoder.encode(data, depth + 4)
    finally:
        encoder.building.discard(id(value))
    return encoder.finish(value, node)


@contextlib.contextmanager
def _blaming(what: str) -> Iterator[None]:
    try:
        yield
    except WorkflowError:
        raise
    except Exception as error:
        # Not its text, which tells what the payload holds: this one gets into logs.
        name = display_name(type(error))
        raise SerializationError(f"{what} failed with {name}") from error
