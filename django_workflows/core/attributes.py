"""Attributes of runs: the one JSON column, for searching."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from typing import Any

from django_workflows.core.texts import is_storable

#: Whole numbers beyond 64 bits become something else in some databases' JSON.
_LARGEST_INT = 2**63
#: What a run may have: it is read at every claim, and shown in every list.
MOST = 64
LONGEST_NAME = 255
MOST_BYTES = 16 * 1024


def plain_attributes(values: Mapping[str, Any]) -> dict[str, Any]:
    """A copy of attributes that every database's JSON keeps as they are.

    Raises ValueError, naming the place, for what would not survive: other than plain
    JSON, NUL characters, lone surrogates, NaN, infinities and numbers that come back
    as others. The same for more than 64 attributes, names of more than 255 characters,
    and more than 16 KiB of JSON.
    """
    if not isinstance(values, Mapping):
        raise ValueError(f"attributes must be a mapping, not {values!r}")
    try:
        plain = _plain(values, "attributes")
    except RecursionError:
        raise ValueError("attributes are nested too deeply") from None
    assert isinstance(plain, dict)
    _check_size(plain)
    return plain


def merged_attributes(
    attributes: Mapping[str, Any], changes: Mapping[str, Any]
) -> dict[str, Any]:
    """Attributes with some of them changed; those changed to None are gone.

    Raises ValueError for more than a run may have.
    """
    merged = {**attributes, **changes}
    merged = {name: value for name, value in merged.items() if value is not None}
    _check_size(merged)
    return merged


def _check_size(attributes: Mapping[str, Any]) -> None:
    if len(attributes) > MOST:
        raise ValueError(
            f"attributes: {len(attributes)} of them, a run may have {MOST}"
        )
    for name in attributes:
        if len(name) > LONGEST_NAME:
            raise ValueError(
                f"attributes: the name {name[:30]!r}... has {len(name)} characters, "
                f"{LONGEST_NAME} are allowed"
            )
    size = len(json.dumps(attributes))
    if size > MOST_BYTES:
        raise ValueError(
            f"attributes: {size} bytes of JSON, a run may have {MOST_BYTES}; they are "
            "for searching, keep data in arguments, results or models"
        )


def _plain(value: Any, path: str) -> Any:
    if value is None or isinstance(value, bool):
        return value
    if isinstance(value, str):
        return _plain_text(value, path)
    if isinstance(value, int):
        if not -_LARGEST_INT <= value < _LARGEST_INT:
            raise ValueError(f"{path}: {value!r} needs more than 64 bits")
        return int(value)
    if isinstance(value, float):
        return _plain_float(value, path)
    if isinstance(value, list):
        return [_plain(item, f"{path}[{n}]") for n, item in enumerate(value)]
    if isinstance(value, Mapping):
        return {_key(k, path): _plain(v, f"{path}[{k!r}]") for k, v in value.items()}
    raise ValueError(f"{path}: {type(value).__name__} is not plain JSON")


def _key(key: Any, path: str) -> str:
    if not isinstance(key, str):
        raise ValueError(f"{path}: the key {key!r} is no text")
    return _plain_text(key, f"{path}[{key!r}]")


def _plain_text(text: str, path: str) -> str:
    if not is_storable(text):
        raise ValueError(f"{path}: {text!r} has a NUL or half of a surrogate pair")
    return str.__str__(text)  # of an enum, too, the text itself


def _plain_float(number: float, path: str) -> float:
    # jsonb keeps numbers as decimals: it drops the sign of zero, and writes what is
    # large without an exponent, which reads as a whole number.
    lost_sign = number == 0 and math.copysign(1, number) < 0
    if not math.isfinite(number) or lost_sign or abs(number) >= 1e16:
        raise ValueError(f"{path}: JSON does not keep the float {number!r}")
    return float(number)
