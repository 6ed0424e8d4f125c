"""A site without a server: its pages and streams are what a test says they are."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from typing import Any
from urllib.parse import parse_qsl, urlsplit

from django.contrib.staticfiles import finders
from playwright.sync_api import Page, Route, WebSocketRoute

from tests.cluster.harness import until

ORIGIN = "http://site.test"
Message = dict[str, Any]

#: With an icon of its own: without one the browser asks for it.
PAGE = """<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="color-scheme" content="light dark">
<title>Page</title>
<link rel="icon" href="/icon">
<link rel="stylesheet" href="/page.css">
<script type="module" src="/page.js"></script>
<script type="module" src="/static/django_workflows/workflows.js"></script>
<main>BODY</main>
"""
#: Tools that judge contrast take a page without a background for a white one.
STYLE = "html { background: Canvas; color: CanvasText; }"

CLOSED: Message = {"type": "closed"}


def chunk(index: int, data: Any, attempt: int = 1, **more: Any) -> Message:
    """Return the message that carries one chunk."""
    return {"type": "chunk", "index": index, "data": data, "attempt": attempt, **more}


def status(value: str) -> Message:
    """Return the message that says how the run stands."""
    return {"type": "status", "status": value}


class ScriptedServer:
    """Serves one page under a strict policy, and plays a script to each connection.

    `script` holds the messages of the first, the second, ... connection. After its
    messages a connection stays open if they end with None, otherwise it breaks off;
    connections beyond the script are cut at once.
    """

    def __init__(self, page: Page, transport: str) -> None:
        self.transport = transport
        self.script: list[list[Message | None]] = []
        #: The query of each connection so far.
        self.queries: list[dict[str, str]] = []
        self.sockets: list[WebSocketRoute] = []
        self._page = page
        self._html = ""
        page.route(f"{ORIGIN}/**", self._answer)
        page.route_web_socket("**/ws/workflows/runs/**", self._play)

    def show(self, body: str, *, script: str = "") -> None:
        """Open a page with this body, and a module of its own, `script`."""
        self._html, self._script = body, script
        self._page.goto(f"{ORIGIN}/")

    def element(self, **attributes: str) -> str:
        """Return the element on a run's stream, with further attributes."""
        shown = "".join(f' {name}="{value}"' for name, value in attributes.items())
        return (
            f'<workflow-stream run="wrun_1" transport="{self.transport}" '
            f'sse-url="/api/runs/wrun_1/stream/"{shown}></workflow-stream>'
        )

    def until(self, condition: Callable[[], object]) -> None:
        """Let the page go on until a condition on this side holds."""

        def holds() -> object:
            if not (value := condition()):
                self._page.wait_for_timeout(10)
            return value

        until(holds, "what the test waits for")

    def _next_part(self, url: str) -> Iterable[Message | None]:
        self.queries.append(dict(parse_qsl(urlsplit(url).query, True)))
        number = len(self.queries) - 1
        return self.script[number] if number < len(self.script) else []

    def _play(self, socket: WebSocketRoute) -> None:
        self.sockets.append(socket)
        for message in self._next_part(socket.url):
            if message is None:
                return
            socket.send(json.dumps(message))
        socket.close(code=1012, reason="the script is over")

    def _answer(self, route: Route) -> None:
        path = urlsplit(route.request.url).path
        policy = {"Content-Security-Policy": "default-src 'self'"}
        if path == "/":
            html = PAGE.replace("BODY", self._html)
            route.fulfill(body=html, content_type="text/html", headers=policy)
        elif path == "/page.css":
            route.fulfill(body=STYLE, content_type="text/css")
        elif path == "/page.js":
            route.fulfill(body=self._script, content_type="text/javascript")
        elif path.startswith("/static/"):
            file = finders.find(path.removeprefix("/static/"))
            route.fulfill(path=file, content_type="text/javascript")
        elif path.endswith("/stream/"):
            self._answer_events(route)
        else:
            route.fulfill(status=204)

    def _answer_events(self, route: Route) -> None:
        events = ""
        for message in self._next_part(route.request.url):
            if message is None:
                # An answer given at once cannot stay open; the script says where to.
                raise AssertionError("an open end needs a websocket")
            number = f"id: {message['index']}\n" if "index" in message else ""
            events += f"{number}data: {json.dumps(message)}\n\n"
        route.fulfill(body=events, content_type="text/event-stream")
