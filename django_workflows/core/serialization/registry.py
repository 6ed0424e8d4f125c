"""Who encodes which type, and who decodes which tag."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TypeAlias

from django_workflows.core.serialization.format import Node

if TYPE_CHECKING:
    from django_workflows.core.serialization.decode import Decoder
    from django_workflows.core.serialization.encode import Encoder

EncodeFunction: TypeAlias = "Callable[[Encoder, Any, int], Node]"
"""Called with the encoder, the value and its depth; returns a node."""
DecodeFunction: TypeAlias = "Callable[[Decoder, dict[str, Any], int | None], Any]"
"""Called with the decoder, the tag's object and the number of a shared value."""

Family: TypeAlias = "Callable[[type], EncodeFunction | None]"
"""Knows an encoder for every class of some kind, and ``None`` for the others."""

encoders: dict[type, EncodeFunction] = {}
decoders: dict[str, DecodeFunction] = {}
_LONGEST_PATH = 400
families: list[Family] = []
"""Asked in this order; filled by the module of that name."""


class UnsupportedError(Exception):
    """A value that cannot be encoded; the path grows as the error travels up."""

    def __init__(self, subject: str, advice: str) -> None:
        super().__init__(subject, advice)
        self.subject = subject
        self.advice = advice
        self.path: list[str] = []

    def under(self, segment: str) -> UnsupportedError:
        """This error, seen from the value that holds its subject as ``segment``."""
        self.path.append(segment)
        return self

    def message(self, root: str) -> str:
        """The whole story, for a value that is called ``root``."""
        path = "".join([root, *reversed(self.path)])
        if len(path) > _LONGEST_PATH:
            half = _LONGEST_PATH // 2
            path = f"{path[:half]} … {path[-half:]}"
        return f"cannot serialize {self.subject} at {path}: {self.advice}"


def encodes(*types: type) -> Callable[[EncodeFunction], EncodeFunction]:
    """Register the decorated function for exactly these types."""

    def register(function: EncodeFunction) -> EncodeFunction:
        encoders.update(dict.fromkeys(types, function))
        return function

    return register


def decodes(*tags: str) -> Callable[[DecodeFunction], DecodeFunction]:
    """Register the decorated function for these tags."""

    def register(function: DecodeFunction) -> DecodeFunction:
        decoders.update(dict.fromkeys(tags, function))
        return function

    return register


def find_encoder(cls: type) -> EncodeFunction | None:
    """The encoder for a class that has none of its own yet."""
    for find in families:
        encoder = find(cls)
        if encoder is not None:
            encoders[cls] = encoder
            return encoder
    return None
