"""Values that are recognized wherever they turn up."""

from __future__ import annotations

import re
from base64 import b64encode
from functools import lru_cache

from django.db import connection

_MARKER = re.compile(rb"zq([a-z_]+)qz")


def mark(name: str) -> str:
    """A text that is found again. ``name`` consists of small letters and ``_``."""
    return f"zq{name}qz"


class Spy:
    """Looks for marked values and remembers whose it has found."""

    def __init__(self, *names: str) -> None:
        self.names = names
        self.found: set[str] = set()

    def look_at(self, data: bytes | str) -> None:
        """Find what is marked, also in hexadecimal digits and in base64."""
        if isinstance(data, str):
            data = data.encode("utf-8", "surrogatepass")
        self.found |= {name.decode() for name in _MARKER.findall(data)}
        lowered = data.lower()
        for name in self.names:
            hexadecimal, *others = _disguises(name)
            if hexadecimal in lowered or any(other in data for other in others):
                self.found.add(name)

    def look_at_database(self) -> None:
        """Look at every column of every row of every table."""
        with connection.cursor() as cursor:
            for table in connection.introspection.table_names(cursor):
                cursor.execute(f"SELECT * FROM {connection.ops.quote_name(table)}")
                for row in cursor.fetchall():
                    for value in row:
                        self._look_at_value(value)

    def _look_at_value(self, value: object) -> None:
        if isinstance(value, bytes | memoryview | bytearray):
            self.look_at(bytes(value))
        elif value is not None:
            self.look_at(str(value))


@lru_cache(maxsize=200)
def _disguises(name: str) -> list[bytes]:
    """The marked value in hexadecimal digits, and in base64 behind 0, 1 or 2 bytes."""
    value = mark(name).encode()
    found = [value.hex().encode()]
    for offset in range(3):
        text = b64encode(bytes(offset) + value)
        # What depends on the neighbours as well is left out.
        found.append(text[(0, 2, 3)[offset] : len(text) - 4])
    return found
