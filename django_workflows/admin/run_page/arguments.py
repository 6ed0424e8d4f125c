"""Arguments of a call by the names of their parameters."""

from __future__ import annotations

import inspect
from typing import Any


def named(
    args: list[Any], kwargs: dict[str, Any], signature: inspect.Signature | None
) -> list[tuple[str, Any]]:
    """Each argument with its name; positional ones that have none known by their
    place, "#1"."""
    names = [] if signature is None else _positional(signature)
    found = []
    for place, value in enumerate(args):
        name = names[place] if place < len(names) else f"#{place + 1}"
        found.append((name, value))
    return [*found, *kwargs.items()]


def _positional(signature: inspect.Signature) -> list[str]:
    return [
        parameter.name
        for parameter in signature.parameters.values()
        if parameter.kind
        in (parameter.POSITIONAL_ONLY, parameter.POSITIONAL_OR_KEYWORD)
    ]
