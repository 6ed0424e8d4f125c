"""HTTP headers as a value: names in any case, repeated ones kept, serializable."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from email.message import Message
from typing import TypeAlias

from django_workflows.core.serialization import register_type

HeaderSource: TypeAlias = Mapping[str, str] | Iterable[tuple[str, str]]
"""What headers are made from: a mapping, or pairs, in which names may repeat."""


class Headers(Mapping[str, str]):
    """The headers of a request or a response; they never change.

    ``headers["Content-Type"]`` finds a header in any case. The values of a repeated
    one are joined by ``", "``, as HTTP means them; `getlist` has each. ``pairs`` are
    names and values as they came.
    """

    __slots__ = ("_values", "pairs")

    def __init__(self, source: HeaderSource = ()) -> None:
        given = source
        if isinstance(given, Headers):
            given = given.pairs
        elif isinstance(given, Mapping):
            given = given.items()
        self.pairs: tuple[tuple[str, str], ...] = tuple(
            (str(name), str(value)) for name, value in given
        )
        self._values: dict[str, list[str]] = {}
        for name, value in self.pairs:
            self._values.setdefault(name.lower(), []).append(value)

    def getlist(self, name: str) -> list[str]:
        """Every value of a header, in order; none is an empty list."""
        return list(self._values.get(name.lower(), ()))

    def without(self, *names: str) -> Headers:
        """These headers, except the ones named."""
        dropped = {name.lower() for name in names}
        return Headers(pair for pair in self.pairs if pair[0].lower() not in dropped)

    def __getitem__(self, name: str) -> str:
        return ", ".join(self._values[name.lower()])

    def __contains__(self, name: object) -> bool:
        return isinstance(name, str) and name.lower() in self._values

    def __iter__(self) -> Iterator[str]:
        """The names, each once, in lower case."""
        return iter(self._values)

    def __len__(self) -> int:
        return len(self._values)

    def __eq__(self, other: object) -> bool:
        if isinstance(other, Headers):
            return self._values == other._values
        if isinstance(other, Mapping):
            return self == Headers(other)
        return NotImplemented

    __hash__ = None  # type: ignore[assignment]

    def __repr__(self) -> str:
        # Values may be secrets, and this is what logs and tracebacks show.
        return f"<Headers {', '.join(self._values)}>"


def charset(headers: Headers) -> str:
    """The charset that the headers name for the body; UTF-8 if none that Python has."""
    message = Message()
    message["Content-Type"] = headers.get("Content-Type", "")
    name = message.get_content_charset("utf-8")
    try:
        b" ".decode(name, "replace")  # of no bytes at all it would not look it up
    except (LookupError, ValueError):  # no such charset, or none of text
        return "utf-8"
    return name


def decode_text(headers: Headers, body: bytes) -> str:
    """A body as text; bytes that are none of its charset become U+FFFD."""
    try:
        return body.decode(charset(headers), "replace")
    except ValueError:  # what some rare codecs raise all the same
        return body.decode("utf-8", "replace")


register_type(
    Headers,
    encode=lambda headers: [list(pair) for pair in headers.pairs],
    decode=Headers,
    name="django_workflows.Headers",
)
