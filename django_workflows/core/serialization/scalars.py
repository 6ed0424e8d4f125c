"""Immutable values of the standard library."""

from __future__ import annotations

import ipaddress
import pathlib
import re
import uuid
from base64 import b64decode, b64encode
from decimal import Decimal
from fractions import Fraction
from typing import Any

from django_workflows.core.serialization.decode import Decoder
from django_workflows.core.serialization.encode import Encoder
from django_workflows.core.serialization.format import TAG, Node
from django_workflows.core.serialization.registry import decodes, encodes

_PATHS: dict[str, type[pathlib.PurePath]] = {
    cls.__name__: cls
    for cls in (
        pathlib.PosixPath,
        pathlib.WindowsPath,
        pathlib.PurePosixPath,
        pathlib.PureWindowsPath,
    )
}
_ADDRESSES: dict[str, Any] = {
    cls.__name__: cls
    for cls in (
        ipaddress.IPv4Address,
        ipaddress.IPv6Address,
        ipaddress.IPv4Network,
        ipaddress.IPv6Network,
        ipaddress.IPv4Interface,
        ipaddress.IPv6Interface,
    )
}
# What re.compile() takes; DEBUG would print, TEMPLATE is going away.
_FLAGS = (
    re.ASCII | re.IGNORECASE | re.LOCALE | re.UNICODE
    | re.MULTILINE | re.DOTALL | re.VERBOSE
)  # fmt: skip


def base64_text(data: bytes | bytearray) -> str:
    """``data`` as base64 text."""
    return b64encode(data).decode("ascii")


@decodes("int")
def _decode_int(decoder: Decoder, node: dict[str, Any], number: int | None) -> int:
    return int(node["v"], 16)


@encodes(bytes)
def _encode_bytes(encoder: Encoder, value: bytes, depth: int) -> Node:
    return {TAG: "bytes", "v": base64_text(value)}


@decodes("bytes")
def _decode_bytes(decoder: Decoder, node: dict[str, Any], number: int | None) -> bytes:
    return b64decode(node["v"], validate=True)


@encodes(Decimal)
def _encode_decimal(encoder: Encoder, value: Decimal, depth: int) -> Node:
    return {TAG: "decimal", "v": str(value)}


@decodes("decimal")
def _decode_decimal(
    decoder: Decoder, node: dict[str, Any], number: int | None
) -> Decimal:
    return Decimal(node["v"])


@encodes(Fraction)
def _encode_fraction(encoder: Encoder, value: Fraction, depth: int) -> Node:
    parts = (value.numerator, value.denominator)
    return {TAG: "fraction", "v": encoder.encode_all(parts, depth, [])}


@decodes("fraction")
def _decode_fraction(
    decoder: Decoder, node: dict[str, Any], number: int | None
) -> Fraction:
    return Fraction(*decoder.decode_all(node["v"]))


@encodes(complex)
def _encode_complex(encoder: Encoder, value: complex, depth: int) -> Node:
    return {TAG: "complex", "v": [value.real, value.imag]}


@decodes("complex")
def _decode_complex(
    decoder: Decoder, node: dict[str, Any], number: int | None
) -> complex:
    return complex(*node["v"])


@encodes(uuid.UUID)
def _encode_uuid(encoder: Encoder, value: uuid.UUID, depth: int) -> Node:
    return {TAG: "uuid", "v": str(value)}


@decodes("uuid")
def _decode_uuid(
    decoder: Decoder, node: dict[str, Any], number: int | None
) -> uuid.UUID:
    return uuid.UUID(node["v"])


@encodes(re.Pattern)
def _encode_pattern(encoder: Encoder, value: re.Pattern[Any], depth: int) -> Node:
    return {
        TAG: "pattern",
        "v": encoder.encode(value.pattern, depth + 1),
        "flags": value.flags & _FLAGS,
    }


@decodes("pattern")
def _decode_pattern(
    decoder: Decoder, node: dict[str, Any], number: int | None
) -> re.Pattern[Any]:
    return re.compile(decoder.decode(node["v"]), node["flags"])


@encodes(*_PATHS.values())
def _encode_path(encoder: Encoder, value: pathlib.PurePath, depth: int) -> Node:
    return {TAG: "path", "t": type(value).__name__, "v": str(value)}


@decodes("path")
def _decode_path(
    decoder: Decoder, node: dict[str, Any], number: int | None
) -> pathlib.PurePath:
    cls = _PATHS[node["t"]]
    if issubclass(cls, pathlib.Path) and not isinstance(pathlib.Path(), cls):
        # The other system's paths exist here without their file operations only.
        cls = _PATHS[f"Pure{node['t']}"]
    return cls(node["v"])


@encodes(range)
def _encode_range(encoder: Encoder, value: range, depth: int) -> Node:
    parts = (value.start, value.stop, value.step)
    return {TAG: "range", "v": encoder.encode_all(parts, depth, [])}


@decodes("range")
def _decode_range(decoder: Decoder, node: dict[str, Any], number: int | None) -> range:
    return range(*decoder.decode_all(node["v"]))


@encodes(*_ADDRESSES.values())
def _encode_address(encoder: Encoder, value: object, depth: int) -> Node:
    return {TAG: "ip", "t": type(value).__name__, "v": str(value)}


@decodes("ip")
def _decode_address(
    decoder: Decoder, node: dict[str, Any], number: int | None
) -> object:
    return _ADDRESSES[node["t"]](node["v"])
