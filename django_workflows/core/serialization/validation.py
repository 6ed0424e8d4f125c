"""pydantic's ``ValidationError``, which cannot be made as other exceptions are."""

from __future__ import annotations

import sys
from functools import cache
from typing import Any, get_args

from django_workflows.core.serialization.decode import Decoder
from django_workflows.core.serialization.encode import Encoder
from django_workflows.core.serialization.exceptions import decode_parts, encode_parts
from django_workflows.core.serialization.format import TAG, Node
from django_workflows.core.serialization.registry import (
    EncodeFunction,
    UnsupportedError,
    decodes,
)
from django_workflows.errors import UnknownCodeError

_PARTS = ("type", "loc", "msg", "input", "ctx")


def validation_family(cls: type) -> EncodeFunction | None:
    known = getattr(sys.modules.get("pydantic_core"), "ValidationError", None)
    return _encode if cls is known else None


def _encode(encoder: Encoder, error: Any, depth: int) -> Node:
    reference = encoder.reference(error)
    if reference is not None:
        return reference
    # Only here does it tell how it was made.
    title, _, mode, hide_input = error.__reduce__()[1]
    nodes: list[Node] = []
    for problem in error.errors(include_url=False):
        parts = [(key, problem[key]) for key in _PARTS if key in problem]
        nodes.append(
            {key: _encode_part(encoder, key, part, depth + 4) for key, part in parts}
        )
    node = {
        TAG: "validationerror",
        "title": title,
        "mode": mode,
        "hide": hide_input,
        "v": nodes,
    }
    encode_parts(encoder, error, depth + 4, node)
    return encoder.finish(error, node)


def _encode_part(encoder: Encoder, key: str, value: Any, depth: int) -> Node:
    if not encoder.lenient:
        try:
            return encoder.encode(value, depth)
        except UnsupportedError as refusal:
            raise refusal.under(f".{key}") from refusal.__cause__
    try:
        return encoder.attempt(value, depth)
    except UnsupportedError:
        return None


@decodes("validationerror")
def _decode(decoder: Decoder, node: dict[str, Any], number: int | None) -> Any:
    try:
        from pydantic_core import PydanticCustomError, ValidationError
    except ImportError as missing:
        raise UnknownCodeError(
            "a payload needs pydantic, which is not installed"
        ) from missing
    problems: list[Any] = []
    for encoded in node["v"]:
        problem = {key: decoder.decode(item) for key, item in encoded.items()}
        message = problem.pop("msg")
        if problem["type"] not in _known_types():
            problem["type"] = PydanticCustomError(
                problem["type"], message, problem.pop("ctx", None)
            )
        problems.append(problem)
    error = ValidationError.from_exception_data(
        node["title"], problems, node["mode"], node["hide"]
    )
    decode_parts(decoder, node, error)
    return error


@cache
def _known_types() -> frozenset[str]:
    from pydantic_core.core_schema import ErrorType

    return frozenset(get_args(ErrorType))
