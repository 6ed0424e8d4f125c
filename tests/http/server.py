"""A real HTTP server on loopback, whose answers a test decides."""

from __future__ import annotations

import ssl
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TypeAlias

import pytest

from django_workflows.core.headers import Headers

second_loopback = pytest.mark.skipif(
    sys.platform != "linux", reason="only Linux has all of 127.0.0.0/8 by itself"
)


@dataclass(frozen=True)
class Asked:
    """A request as the server got it."""

    method: str
    path: str
    headers: Headers
    body: bytes


@dataclass(frozen=True)
class Answer:
    status: int = 200
    headers: list[tuple[str, str]] = field(default_factory=list)
    body: bytes = b""
    #: What the header says, if that is not the length of the body.
    length: int | None = None


Handler: TypeAlias = Callable[[Asked], Answer]


class Server:
    """Answers by `handler`; `asked` are the requests so far."""

    def __init__(self, port: int, scheme: str) -> None:
        self.port = port
        self.scheme = scheme
        self.asked: list[Asked] = []
        self.handler: Handler = lambda asked: Answer()
        #: Names that clients have given in TLS.
        self.names: list[str | None] = []

    def url(self, path: str = "/", host: str = "127.0.0.1") -> str:
        return f"{self.scheme}://{host}:{self.port}{path}"


@contextmanager
def serving(
    host: str = "127.0.0.1", *, port: int = 0, tls: ssl.SSLContext | None = None
) -> Iterator[Server]:
    class RequestHandler(BaseHTTPRequestHandler):
        def handle_any(self) -> None:
            length = int(self.headers.get("Content-Length") or 0)
            asked = Asked(
                self.command,
                self.path,
                Headers(self.headers.items()),
                self.rfile.read(length),
            )
            server.asked.append(asked)
            answer = server.handler(asked)
            self.send_response(answer.status)
            for name, value in answer.headers:
                self.send_header(name, value)
            length = len(answer.body) if answer.length is None else answer.length
            self.send_header("Content-Length", str(length))
            self.end_headers()
            if self.command != "HEAD":
                self.wfile.write(answer.body)

        do_GET = do_HEAD = do_POST = do_PUT = do_DELETE = handle_any

        def log_message(self, *args: object) -> None:
            pass

    class HTTPServer(ThreadingHTTPServer):
        request_queue_size = 1000  # five would make many clients at once wait

        def handle_error(self, request: object, client_address: object) -> None:
            pass  # clients hang up on purpose

    httpd = HTTPServer((host, port), RequestHandler)
    server = Server(httpd.server_address[1], "https" if tls else "http")
    if tls is not None:
        tls.sni_callback = lambda socket, name, context: server.names.append(name)
        httpd.socket = tls.wrap_socket(httpd.socket, server_side=True)
    thread = threading.Thread(target=httpd.serve_forever, args=(0.01,), daemon=True)
    thread.start()
    try:
        yield server
    finally:
        httpd.shutdown()
        httpd.server_close()
        thread.join()
