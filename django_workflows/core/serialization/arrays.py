"""numpy's scalars and arrays, by their bytes; numpy itself is optional."""

from __future__ import annotations

import importlib
import sys
from base64 import b64decode
from typing import Any

from django_workflows.core.serialization.decode import Decoder
from django_workflows.core.serialization.encode import Encoder
from django_workflows.core.serialization.format import TAG, Node
from django_workflows.core.serialization.names import display_name
from django_workflows.core.serialization.registry import (
    EncodeFunction,
    UnsupportedError,
    decodes,
)
from django_workflows.core.serialization.scalars import base64_text
from django_workflows.errors import SerializationError, UnknownCodeError


def numpy_family(cls: type) -> EncodeFunction | None:
    numpy: Any = sys.modules.get("numpy")
    if numpy is None or cls.__module__.partition(".")[0] != "numpy":
        return None
    if cls is numpy.ndarray:
        return _encode_array
    if cls is numpy.str_ or cls is numpy.bytes_:
        return _encode_text
    if issubclass(cls, numpy.generic):
        return _encode_scalar
    return None


def _encode_text(encoder: Encoder, value: Any, depth: int) -> Node:
    # Not by its dtype: that takes NULs at the end for padding.
    whole = slice(None)
    plain = (
        str.__getitem__(value, whole)
        if isinstance(value, str)
        else bytes.__getitem__(value, whole)
    )
    return {TAG: "numpytext", "v": encoder.encode(plain, depth + 1)}


@decodes("numpytext")
def _decode_text(decoder: Decoder, node: dict[str, Any], number: int | None) -> Any:
    value = decoder.decode(node["v"])
    return _numpy().str_(value) if isinstance(value, str) else _numpy().bytes_(value)


def _encode_scalar(encoder: Encoder, value: Any, depth: int) -> Node:
    return {
        TAG: "numpyscalar",
        "dtype": _describe(value.dtype),
        "v": base64_text(value.tobytes()),
    }


@decodes("numpyscalar")
def _decode_scalar(decoder: Decoder, node: dict[str, Any], number: int | None) -> Any:
    numpy, dtype = _numpy(), _dtype(node["dtype"])
    return numpy.ndarray((1,), dtype, _bytes(node, dtype.itemsize))[0]


def _encode_array(encoder: Encoder, value: Any, depth: int) -> Node:
    reference = encoder.reference(value)
    if reference is not None:
        return reference
    order = "F" if value.flags.fnc else "C"
    node: dict[str, Node] = {TAG: "numpyarray", "shape": list(value.shape)}
    encoder.remember(value, node)
    if value.dtype == object:
        node["v"] = encoder.encode_all(value.flat, depth + 3, [])
    else:
        node["dtype"] = _describe(value.dtype)
        node["order"] = order
        node["v"] = base64_text(value.tobytes(order))
    return node


@decodes("numpyarray")
def _decode_array(decoder: Decoder, node: dict[str, Any], number: int | None) -> Any:
    numpy, shape = _numpy(), tuple(node["shape"])
    if "dtype" not in node:
        array = numpy.empty(shape, object)
        decoder.bind(number, array)
        for index, item in enumerate(node["v"]):
            array.flat[index] = decoder.decode(item)
        return array
    dtype = _dtype(node["dtype"])
    size = dtype.itemsize
    for length in shape:
        size *= length
    order = "F" if node["order"] == "F" else "C"
    array = numpy.empty(shape, dtype, order)
    if size:
        # Byte for byte: numpy's own copying leaves the padding between fields as it
        # finds it, and the array would be encoded differently the next time.
        flat = array.reshape(-1, order=order).view(numpy.uint8)
        flat[:] = numpy.frombuffer(_bytes(node, size), numpy.uint8)
    decoder.bind(number, array)
    return array


def _bytes(node: dict[str, Any], size: int) -> bytes:
    data = b64decode(node["v"], validate=True)
    if len(data) != size:
        raise SerializationError("damaged payload: a numpy array of the wrong size")
    # numpy wants a buffer even where nothing is in it.
    return data or b"\0"


def _describe(dtype: Any) -> Node:
    """A dtype as text, or as a list of fields; refused if it isn't plain bytes."""
    numpy = _numpy()
    if dtype.hasobject or dtype.kind not in "biufcmMSUV":
        raise UnsupportedError(
            f"a numpy value of dtype {dtype!r}", "use a dtype of fixed size"
        )
    description = numpy.lib.format.dtype_to_descr(dtype)
    if _revive(description) != dtype:
        raise UnsupportedError(
            f"a numpy value of dtype {dtype!r}",
            f"pass it as another dtype; {display_name(type(dtype))} does not "
            "describe itself exactly",
        )
    return _plain(description)


def _plain(description: Any) -> Node:
    if isinstance(description, list | tuple):
        return [_plain(part) for part in description]
    return description


def _dtype(description: Node) -> Any:
    dtype = _revive(_field_tuples(description))
    if dtype.hasobject:
        raise SerializationError("damaged payload: a numpy dtype with objects")
    return dtype


def _field_tuples(description: Node) -> Any:
    """Fields as the tuples that numpy wants, titles and shapes included."""
    if isinstance(description, str):
        return description
    fields = []
    for name, kind, *shape in description:
        fields.append(
            (
                tuple(name) if isinstance(name, list) else name,
                _field_tuples(kind),
                *map(tuple, shape),
            )
        )
    return fields


def _revive(description: Any) -> Any:
    return _numpy().lib.format.descr_to_dtype(description)


def _numpy() -> Any:
    try:
        return importlib.import_module("numpy")
    except ImportError as error:
        raise UnknownCodeError(
            "a payload needs numpy, which is not installed"
        ) from error
