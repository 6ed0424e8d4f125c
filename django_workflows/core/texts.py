"""Texts that people give us, before a database sees them."""

from __future__ import annotations

from typing import Any


def is_storable(text: str) -> bool:
    """Whether every database could hold this text: without NUL, which PostgreSQL does
    not take, and without halves of surrogate pairs, which have no bytes in UTF-8."""
    return "\0" not in text and not has_lone_surrogate(text)


def has_lone_surrogate(text: str) -> bool:
    return any("\ud800" <= letter <= "\udfff" for letter in text)


def require_text(what: str, value: Any) -> str:
    """The value, which has to be a text. Raises TypeError, naming what it is."""
    if not isinstance(value, str):
        raise TypeError(f"{what} is a text, not {value!r}")
    return value
