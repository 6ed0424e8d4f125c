"""Counts what a PostgreSQL server answers, on the wire.

A relay between the workers and the server sees every statement, whoever sends it
(Django, COPY, a pipeline, a listener), without any extension in the server.
"""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable
from contextlib import suppress
from types import TracebackType
from typing import Self

#: Requests for encryption, which the relay declines: it has to read along.
ENCRYPTION_REQUESTS = (80877103, 80877104)
COMMAND_COMPLETE = ord("C")
READY_FOR_QUERY = ord("Z")


class WireCounter:
    """A relay in front of a server; a context manager.

    `statements` counts completed statements, BEGIN and COMMIT included.
    `round_trips` counts how often a client had to wait for the server: a pipeline
    of many statements is one.
    """

    def __init__(self, host: str, port: int) -> None:
        self.statements = self.round_trips = 0
        self._server = (host, port)
        self._lock = threading.Lock()
        self._open: set[socket.socket] = set()
        self._listener = socket.create_server(("127.0.0.1", 0))

    @property
    def address(self) -> tuple[str, int]:
        """Host and port to connect to."""
        host, port = self._listener.getsockname()
        return host, port

    def read(self) -> dict[str, float]:
        """Both counters so far."""
        with self._lock:
            return {"statements": self.statements, "round_trips": self.round_trips}

    def __enter__(self) -> Self:
        self._spawn(self._accept)
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._listener.close()
        with self._lock:
            left, self._open = self._open, set()
        for connection in left:
            _shut(connection)

    @staticmethod
    def _spawn(target: Callable[..., None], *args: socket.socket) -> None:
        threading.Thread(target=target, args=args, daemon=True).start()

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return  # closed: the relay ends
            self._spawn(self._serve, client)

    def _connect(self) -> socket.socket:
        host, port = self._server
        if host.startswith("/"):
            upstream = socket.socket(socket.AF_UNIX)
            upstream.connect(f"{host}/.s.PGSQL.{port}")
            return upstream
        return socket.create_connection((host, port))

    def _serve(self, client: socket.socket) -> None:
        upstream = self._connect()
        with self._lock:
            self._open |= {client, upstream}
        for connection in (client, upstream):
            if connection.family != socket.AF_UNIX:
                connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        try:
            upstream.sendall(_startup(client))
            self._spawn(_copy, client, upstream)
            self._relay_answers(upstream, client)
        except OSError:
            return  # either side hung up
        finally:
            _shut(client)
            _shut(upstream)
            with self._lock:
                self._open -= {client, upstream}

    def _relay_answers(self, upstream: socket.socket, client: socket.socket) -> None:
        pending = b""
        missing = 0  # bytes of the current message that have not arrived yet
        while data := upstream.recv(1 << 16):
            if missing >= len(data):
                missing -= len(data)
            else:
                kinds, pending, missing = _messages(pending + data[missing:])
                with self._lock:  # before the client can see the answer
                    self.statements += kinds.count(COMMAND_COMPLETE)
                    self.round_trips += kinds.count(READY_FOR_QUERY)
            client.sendall(data)


def _messages(data: bytes) -> tuple[bytes, bytes, int]:
    """The types of the messages in `data`, its unread rest, and how many bytes of
    the last message are still to come."""
    kinds = bytearray()
    position = 0
    while len(data) - position >= 5:
        kinds.append(data[position])
        position += 1 + int.from_bytes(data[position + 1 : position + 5], "big")
    return bytes(kinds), data[position:], max(0, position - len(data))


def _startup(client: socket.socket) -> bytes:
    """The client's first real packet, after declining encryption."""
    while True:
        head = _exactly(client, 8)
        if int.from_bytes(head[4:], "big") not in ENCRYPTION_REQUESTS:
            return head + _exactly(client, int.from_bytes(head[:4], "big") - 8)
        client.sendall(b"N")


def _exactly(connection: socket.socket, size: int) -> bytes:
    data = b""
    while len(data) < size:
        part = connection.recv(size - len(data))
        if not part:
            raise ConnectionError("the client hung up during the start")
        data += part
    return data


def _copy(source: socket.socket, target: socket.socket) -> None:
    with suppress(OSError):  # either side hung up: nothing more to pass on
        while data := source.recv(1 << 16):
            target.sendall(data)
    _shut(target)


def _shut(connection: socket.socket) -> None:
    with suppress(OSError):  # not connected any more
        connection.shutdown(socket.SHUT_RDWR)
    connection.close()
