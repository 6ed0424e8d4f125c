"""A codec whose keys come and go, and which may refuse to encode."""

from __future__ import annotations

from django_workflows.errors import UnknownCodeError


class Fickle:
    """Marks what it encodes with the newest key; decodes what it has a key for."""

    key: bytes = b"1"
    known: set[bytes] = {b"1"}
    refused: bytes | None = None

    def encode(self, data: bytes) -> bytes:
        if self.refused is not None and self.refused in data:
            raise RuntimeError("the codec is out of order")
        return self.key + data

    def decode(self, data: bytes) -> bytes:
        if data[:1] not in self.known:
            raise UnknownCodeError(f"there is no key {data[:1]!r} here")
        return data[1:]
