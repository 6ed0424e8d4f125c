"""The bytes: JSON in UTF-8, in which objects with the key ``"$"`` are tags.

Lone surrogates are written as their three bytes each, as Python's ``surrogatepass``
does, so that every ``str`` comes back exactly. Infinities and NaN are the words that
Python's ``json`` module uses.
"""

from __future__ import annotations

import json
import re
from typing import Any, TypeAlias

from django_workflows.errors import SerializationError

Node: TypeAlias = Any
"""What ``json`` reads and writes: None, bool, int, float, str, list, dict."""

TAG = "$"
"""The key that makes an object a tag; a dict that has it is written as pairs."""
_TAG_TEXT = '"$"'

SCALARS = frozenset({str, float, bool, type(None)})
"""Types that JSON holds as they are; so are small integers."""
LARGEST_INT = 1 << 2000
"""Beyond it an int is tagged: Python may refuse to read over 640 decimal digits."""

DAMAGE = (
    ArithmeticError,
    AttributeError,
    LookupError,
    NotImplementedError,
    RecursionError,
    TypeError,
    ValueError,
    re.error,
)
"""What goes wrong where a node isn't what its tag promises."""

_encode = json.JSONEncoder(
    ensure_ascii=False, check_circular=False, separators=(",", ":")
).encode
_decode = json.JSONDecoder().raw_decode


def write(node: Node) -> bytes:
    """``node`` as bytes."""
    text = _encode(node)
    try:
        return text.encode()
    except UnicodeEncodeError:
        return text.encode("utf-8", "surrogatepass")


def read(data: bytes) -> tuple[Node, bool]:
    """The node in ``data``, and whether there may be a tag in it.

    Raises ``SerializationError`` if the data are damaged.
    """
    if type(data) is not bytes:
        # Some database drivers hand out a memoryview.
        data = bytes(data)
    try:
        try:
            text = data.decode()
        except UnicodeDecodeError:
            text = data.decode("utf-8", "surrogatepass")
        node, end = _decode(text)
    except (ValueError, RecursionError) as error:
        raise SerializationError(f"damaged payload: {error}") from error
    if end != len(text):
        raise SerializationError(f"damaged payload: something follows at {end}")
    return node, _TAG_TEXT in text
