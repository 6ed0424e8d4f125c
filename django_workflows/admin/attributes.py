"""Attributes of runs: how pages write them, and what finds runs by them."""

from __future__ import annotations

import json
from typing import Any

#: How the parameters of the list begin that narrow it by attributes.
PARAMETER = "attributes."


def attribute_text(value: Any) -> str:
    """The value of an attribute, as the search for runs takes it: JSON, if it is no
    text."""
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def attribute_parameter(name: str, value: Any) -> tuple[str, str] | None:
    """The parameter that finds runs with an attribute; none finds lists and dicts."""
    if isinstance(value, dict | list):
        return None
    return PARAMETER + name, attribute_text(value)
