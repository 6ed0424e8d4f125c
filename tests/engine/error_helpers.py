"""A helper in a module of its own, for tracebacks across files."""

from __future__ import annotations


def helper_that_fails(message: str) -> None:
    raise ValueError(message)
