"""Encoded values for people and for the HTTP API."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable
from typing import Any

from django_workflows.core.serialization.decode import Decoder
from django_workflows.core.serialization.encode import Encoder, short
from django_workflows.core.serialization.exceptions import safe_message
from django_workflows.core.serialization.format import DAMAGE, TAG, Node, read
from django_workflows.core.serialization.hiding import HIDDEN, Hiding
from django_workflows.core.serialization.names import display_name
from django_workflows.core.serialization.registry import UnsupportedError
from django_workflows.errors import SerializationError, WorkflowError

_LISTS = frozenset({"tuple", "set", "frozenset", "deque", "slice", "range", "complex"})
_PAIRS = frozenset({"dict", "ordereddict", "defaultdict", "counter"})
_TAGGED = b'{"$":'
_BYTES = frozenset({"bytes", "bytearray"})
_CLOCKS = frozenset({"datetime", "time"})
_EXCEPTIONS = frozenset({"exception", "exceptiongroup", "validationerror"})
_LARGEST_TREE = 100_000
# Larger ones are written in hexadecimal: Python refuses to write them otherwise.
_LARGEST_NUMBER = 10**640
_NOT_BUILT = object()
# The token of a webhook, which whoever has it can send to, in its URL.
_WEBHOOK_URL = re.compile(r"(/\.well-known/workflow/v1/webhook/)[^/?#]+")

_NOTHING_HIDDEN = Hiding(())


def to_plain(data: bytes, hiding: Hiding = _NOTHING_HIDDEN) -> Any:
    """What ``data`` holds, as plain JSON data that any JSON writer takes.

    It works for classes that are gone, and fetches no model instances. Bytes become
    ``{"data": <base64>, "encoding": "base64"}``; dates, decimals, NaN and infinities
    become text, sets become lists, keys that are no text their ``repr``, enums their
    value; dataclasses, models and the like become what they hold, exceptions their
    type and message. A value that contains itself shows as ``"[circular]"`` in its
    own inside. What is under a name that ``hiding`` hides shows as ``"[redacted]"``.

    Raises ``SerializationError`` for damaged data.
    """
    node, _ = read(data)
    try:
        return _Plain(hiding).plain(node)
    except DAMAGE as error:
        name = display_name(type(error))
        raise SerializationError(f"damaged payload: {name}") from error


def is_bytes(data: bytes) -> bool:
    """Whether what ``data`` holds is ``bytes`` or a ``bytearray``, and nothing more."""
    if not data.startswith(_TAGGED):
        return False
    node, _ = read(data)
    return node[TAG] in _BYTES


class _Plain:
    def __init__(self, hiding: Hiding) -> None:
        self._hiding = hiding
        self._definitions: dict[int, Node] = {}
        self._open: set[int] = set()
        self._count = 0

    def plain(self, node: Node) -> Any:
        if isinstance(node, str):
            return _printable(node)
        if isinstance(node, float) and not math.isfinite(node):
            return {"nan": "NaN", "inf": "Infinity", "-inf": "-Infinity"}[str(node)]
        if isinstance(node, list):
            return list(map(self.plain, node))
        if not isinstance(node, dict):
            return node
        if node.get(TAG) == "def":
            self._definitions[node["id"]] = node["v"]
            return self._shared(node["id"])
        if TAG in node:
            return self._tagged(node[TAG], node)
        return self._named(node.items())

    def _named(self, items: Iterable[tuple[str, Node]]) -> dict[str, Any]:
        shown: dict[str, Any] = {}
        for name, node in items:
            # What is hidden is read all the same: others may refer to it.
            plain = self.plain(node)
            hidden = self._hiding.hides(name)
            shown[_printable(name)] = HIDDEN if hidden else plain
        return shown

    def _tagged(self, tag: Any, node: dict[str, Any]) -> Any:
        if tag == "ref":
            return self._shared(node["v"])
        if tag == "let":
            self.plain(node["d"])
            return self.plain(node["v"])
        if tag == "int":
            number = int(node["v"], 16)
            return number if abs(number) < _LARGEST_NUMBER else node["v"]
        if tag in _BYTES:
            return {"data": node["v"], "encoding": "base64"}
        if tag in _PAIRS:
            return self._named((self._key(key), item) for key, item in node["v"])
        if tag in _LISTS:
            return [self.plain(item) for item in node["v"]]
        if tag in _EXCEPTIONS:
            return self._exception(node)
        if tag == "type":
            return self._registered(node)
        if tag == "pydantic":
            return self._named({**node["v"], **node.get("extra", {})}.items())
        if tag == "model":
            app_label, model, pk, _ = node["v"]
            return f"{app_label}.{model}:{self.plain(pk)}"
        if tag in _CLOCKS:
            return self._clock(node)
        if tag in ("timedelta", "offset"):
            return _duration(*node["v"])
        if tag == "fraction":
            return "/".join(str(self.plain(part)) for part in node["v"])
        if tag in ("enum", "numpyscalar", "numpyarray"):
            return self._built(node)
        return self.plain(node.get("v"))

    def _exception(self, node: dict[str, Any]) -> Any:
        # Read for what others may refer to.
        for part in ("args", "attributes", "cause"):
            if part in node:
                self.plain(node[part])
        shown: dict[str, Any] = {
            "type": _class_name(node),
            "message": _printable(self._hiding.scrub(_message(node))),
        }
        if node[TAG] == "exceptiongroup":
            shown["exceptions"] = [self.plain(item) for item in node["v"]]
        return shown

    def _registered(self, node: dict[str, Any]) -> Any:
        if node["t"] == "django_workflows.Headers":
            return self._headers(node["v"])
        shown = self.plain(node["v"])
        if not node["t"].startswith("django_workflows.") or not isinstance(shown, dict):
            return shown
        if isinstance(shown.get("url"), str):
            shown["url"] = _WEBHOOK_URL.sub(rf"\1{HIDDEN}", shown["url"])
        return self._hiding.scrub_message(shown)

    def _headers(self, pairs: list[Any]) -> dict[str, str]:
        shown: dict[str, str] = {}
        for name, value in pairs:
            if self._hiding.hides(name):
                shown[name] = HIDDEN
            elif name in shown:
                shown[name] += f", {_printable(value)}"
            else:
                shown[name] = _printable(value)
        return shown

    def _clock(self, node: dict[str, Any]) -> str:
        value = _build(node)
        if value is _NOT_BUILT:
            return f"{node['v']}[{self.plain(node['zone'])}]"
        text: str = value.isoformat()
        return text

    def _built(self, node: dict[str, Any]) -> Any:
        """What the value itself says it is; for what is gone, what is written."""
        value = _build(node)
        if value is not _NOT_BUILT:
            value = value.value if node[TAG] == "enum" else value.tolist()
            try:
                return _Plain(self._hiding).plain(Encoder().encode(value, 0))
            except UnsupportedError:
                pass  # the enum's value is nothing that could be stored
        return self.plain(node["v"])

    def _key(self, node: Node) -> str:
        key = _build(node)
        if isinstance(key, str):
            return str.__str__(key)
        if key is _NOT_BUILT:
            key = self.plain(node)
        return self._hiding.scrub(short_repr(key))

    def _shared(self, number: int) -> Any:
        self._count += 1
        if number in self._open or number not in self._definitions:
            return "[circular]"
        if self._count > _LARGEST_TREE:
            return "[shared]"
        self._open.add(number)
        try:
            return self.plain(self._definitions[number])
        finally:
            self._open.discard(number)


def short_repr(value: object) -> str:
    """The ``repr`` of a key; a short one for what refuses to be written."""
    try:
        return repr(value)
    except Exception:
        return short(value)


def _build(node: Node) -> Any:
    """The value of a node, if it can be built without what is around it."""
    try:
        return Decoder(fetch_models=False).decode(node)
    except (*DAMAGE, WorkflowError):
        return _NOT_BUILT


def _message(node: dict[str, Any]) -> str:
    error = _build(node)
    if isinstance(error, BaseException):
        return safe_message(error)
    texts = [part for part in node.get("args") or () if isinstance(part, str)]
    return texts[0] if texts else node.get("message", "")


def _class_name(node: dict[str, Any]) -> str:
    if node[TAG] == "validationerror":
        return "pydantic_core.ValidationError"
    name: str = node["t"]
    return name.removeprefix("builtins:").replace(":", ".")


def _duration(days: int, seconds: int, microseconds: int) -> str:
    """A length of time in ISO 8601, in seconds: also what starting a run takes."""
    whole = (days * 86400 + seconds) * 1_000_000 + microseconds
    sign = "-" if whole < 0 else ""
    seconds, fraction = divmod(abs(whole), 1_000_000)
    tail = f".{fraction:06}".rstrip("0") if fraction else ""
    return f"{sign}PT{seconds}{tail}S"


def _printable(text: str) -> str:
    """Text that can be sent: halves of surrogate pairs are written as escapes."""
    if text.isascii():
        return text
    return text.encode("utf-8", "backslashreplace").decode()
