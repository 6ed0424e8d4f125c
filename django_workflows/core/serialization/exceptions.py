"""Exceptions: class, arguments, attributes, notes, cause, and groups of them.

An exception is rebuilt without its own ``__init__``, whose signature is nobody's
business here. Its traceback and context are not part of the value.
"""

from __future__ import annotations

import types
from collections.abc import Iterator
from typing import Any

from django_workflows.core.serialization.decode import Decoder
from django_workflows.core.serialization.encode import Encoder
from django_workflows.core.serialization.format import TAG, Node
from django_workflows.core.serialization.names import (
    display_name,
    dotted_name,
    find_class,
    is_native,
)
from django_workflows.core.serialization.registry import (
    EncodeFunction,
    UnsupportedError,
    decodes,
)
from django_workflows.errors import SerializationError, StepError


def safe_message(error: BaseException) -> str:
    """``str(error)``, also if its ``__str__`` is broken."""
    try:
        return str(error)
    except Exception:
        return f"<the message of this {type(error).__name__} cannot be shown>"


def stand_in(error: BaseException) -> StepError:
    """A ``StepError`` that tells of an exception that cannot be stored."""
    return StepError(safe_message(error), type_name=display_name(type(error)))


def exception_family(cls: type) -> EncodeFunction | None:
    if not issubclass(cls, BaseException):
        return None
    name = dotted_name(cls)
    try:
        _blank(cls)
    except TypeError as error:
        raise UnsupportedError(
            display_name(cls), f"such an exception cannot be rebuilt: {error}"
        ) from error

    def encode(encoder: Encoder, error: BaseException, depth: int) -> Node:
        reference = encoder.reference(error)
        if reference is not None:
            return reference
        node: dict[str, Node] = {TAG: "exception", "t": name}
        encoder.remember(error, node)
        encode_parts(encoder, error, depth + 4, node)
        return node

    def encode_group(
        encoder: Encoder, error: BaseExceptionGroup[BaseException], depth: int
    ) -> Node:
        reference = encoder.reference(error)
        if reference is not None:
            return reference
        node: dict[str, Node] = {TAG: "exceptiongroup", "t": name}
        node["message"] = error.message
        node["v"] = members = []
        for index, member in enumerate(error.exceptions):
            try:
                members.append(_encode_nested(encoder, member, depth + 4))
            except UnsupportedError as refusal:
                raise refusal.under(f".exceptions[{index}]") from refusal.__cause__
        encode_parts(encoder, error, depth + 4, node)
        return encoder.finish(error, node)

    return encode_group if issubclass(cls, BaseExceptionGroup) else encode


@decodes("exception")
def _decode_exception(
    decoder: Decoder, node: dict[str, Any], number: int | None
) -> BaseException:
    cls = find_class(node["t"])
    if not issubclass(cls, BaseException):
        raise SerializationError(f"damaged payload: {node['t']} is no exception")
    error: BaseException = _blank(cls)
    decoder.bind(number, error)
    decode_parts(decoder, node, error)
    return error


@decodes("exceptiongroup")
def _decode_group(
    decoder: Decoder, node: dict[str, Any], number: int | None
) -> BaseException:
    cls = find_class(node["t"])
    if not issubclass(cls, BaseExceptionGroup):
        raise SerializationError(f"damaged payload: {node['t']} is no exception group")
    members = decoder.decode_all(node["v"])
    error: BaseException = BaseExceptionGroup.__new__(cls, node["message"], members)
    decode_parts(decoder, node, error)
    return error


def encode_parts(
    encoder: Encoder, error: BaseException, depth: int, node: dict[str, Node]
) -> None:
    """Put into ``node`` what all exceptions have."""
    try:
        if isinstance(error, BaseExceptionGroup) and _has_usual_arguments(error):
            node["args"] = None
        else:
            node["args"] = encoder.encode_all(error.args, depth, [])
    except UnsupportedError as refusal:
        raise refusal.under(".args") from refusal.__cause__
    attributes = _encode_attributes(encoder, error, depth)
    if attributes:
        node["attributes"] = attributes
    if error.__cause__ is not None:
        try:
            node["cause"] = _encode_nested(encoder, error.__cause__, depth)
        except UnsupportedError as refusal:
            raise refusal.under(".__cause__") from refusal.__cause__
    if error.__suppress_context__:
        node["suppress"] = True


def decode_parts(decoder: Decoder, node: dict[str, Any], error: BaseException) -> None:
    if node["args"] is not None:
        error.args = tuple(decoder.decode_all(node["args"]))
    native = _native_attributes(type(error))
    for key, item in node.get("attributes", {}).items():
        value = decoder.decode(item)
        if key in native:
            native[key].__set__(error, value)
        else:
            error.__dict__[key] = value
    if "cause" in node:
        error.__cause__ = decoder.decode(node["cause"])
    error.__suppress_context__ = "suppress" in node


def _has_usual_arguments(group: BaseExceptionGroup[BaseException]) -> bool:
    """Whether the arguments are what ``BaseExceptionGroup.__new__`` sets anyway."""
    if len(group.args) != 2 or type(group.args[1]) is not list:
        return False
    message, members = group.args
    return message == group.message and [id(member) for member in members] == [
        id(member) for member in group.exceptions
    ]


def _encode_nested(encoder: Encoder, error: BaseException, depth: int) -> Node:
    if not encoder.lenient:
        return encoder.encode(error, depth)
    try:
        return encoder.attempt(error, depth)
    except UnsupportedError:
        return encoder.encode(stand_in(error), depth)


def _encode_attributes(
    encoder: Encoder, error: BaseException, depth: int
) -> dict[str, Node]:
    if not encoder.lenient:
        return encoder.encode_attributes(_attributes(error), depth)
    nodes: dict[str, Node] = {}
    for key, value in _attributes(error):
        try:
            nodes[key] = encoder.attempt(value, depth)
        except UnsupportedError:
            # An exception is more useful without its socket than not at all.
            continue
    return nodes


def _attributes(error: BaseException) -> Iterator[tuple[str, Any]]:
    for key in _native_attributes(type(error)):
        value = getattr(error, key, None)
        if value is not None:
            yield key, value
    yield from list(error.__dict__.items())


def _native_attributes(cls: type) -> dict[str, types.MemberDescriptorType]:
    """Attributes that live outside of ``__dict__``: ``errno``, slots and the like."""
    found: dict[str, types.MemberDescriptorType] = {}
    for base in cls.__mro__[: cls.__mro__.index(BaseException)]:
        for key, item in vars(base).items():
            if isinstance(item, types.MemberDescriptorType):
                found.setdefault(key, item)
    # The object that lacks an attribute may be anything at all.
    if issubclass(cls, AttributeError):
        found.pop("obj", None)
    # Groups keep their message and members, which are read-only, as such.
    if issubclass(cls, BaseExceptionGroup):
        found.pop("message", None)
        found.pop("exceptions", None)
    return found


def _blank(cls: type[BaseException]) -> BaseException:
    """A new exception on which no code of its class has run.

    Raises ``TypeError`` if Python refuses that, as for exceptions written in other
    languages.
    """
    base: Any = next(filter(is_native, cls.__mro__))
    if issubclass(cls, BaseExceptionGroup):
        return BaseExceptionGroup.__new__(cls, "", [Exception()])
    blank: BaseException = base.__new__(cls)
    return blank
