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

    def look_at(self, data: bytes | str) -> None:
        if isinstance(data, str):
            data = data.encode("utf-8", "surrogatepass")
        for name, disguises in self._disguises.items():
            if any(disguise in data for disguise in disguises):
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
