"""Values that are recognized wherever they turn up."""

from __future__ import annotations

import logging
from base64 import b64encode

from django.db import connection


def mark(name: str) -> str:
    """A text that is found again."""
    return f"zq-{name}-qz"


class Spy:
    """Looks for values, by names, and remembers which it has found."""

    def __init__(self, *names: str) -> None:
        self.found: set[str] = set()
        #: Where in the database: tables and columns.
        self.places: set[tuple[str, str]] = set()
        self._disguises: dict[str, list[bytes]] = {}
        for name in names:
            self.look_for(name, mark(name).encode())

    def look_for(self, name: str, value: bytes) -> None:
        """Know a value as it is, in hexadecimal digits and in base64."""
        found = [value, value.hex().encode(), ascii(value)[2:-1].encode()]
        for offset in range(3):
            text = b64encode(bytes(offset) + value)
            # What depends on the neighbours as well is left out.
            found.append(text[(0, 2, 3)[offset] : len(text) - 4])
        self._disguises[name] = found

    def look_at(self, data: bytes | str) -> bool:
        """Whether there is any of them in it."""
        if isinstance(data, str):
            data = data.encode("utf-8", "surrogatepass")
        found = {
            name
            for name, disguises in self._disguises.items()
            if any(disguise in data for disguise in disguises)
        }
        self.found |= found
        return bool(found)

    def look_at_database(self) -> None:
        """Look at every column of every row of every table."""
        with connection.cursor() as cursor:
            for table in connection.introspection.table_names(cursor):
                cursor.execute(f"SELECT * FROM {connection.ops.quote_name(table)}")
                names = [column[0] for column in cursor.description]
                columns = zip(*cursor.fetchall(), strict=True)
                for name, values in zip(names, columns, strict=False):
                    if self.look_at(b"\0".join(map(_as_bytes, values))):
                        self.places.add((table, name))


def _as_bytes(value: object) -> bytes:
    if isinstance(value, bytes | memoryview | bytearray):
        return bytes(value)
    return str(value).encode("utf-8", "surrogatepass")


class Tap(logging.Handler):
    """Keeps all that is logged: messages, tracebacks, and what goes with them."""

    def __init__(self) -> None:
        super().__init__(logging.DEBUG)
        self.lines: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        more = [
            repr(value)
            for key, value in vars(record).items()
            if key not in ("exc_info", "exc_text", "msg", "args")
        ]
        self.lines.append(" ".join([self.format(record), *more]))

    def __contains__(self, text: str) -> bool:
        return any(text in line for line in self.lines)
