"""The ready-made step ``fetch``."""

from __future__ import annotations

import json as json_module
from typing import TYPE_CHECKING, Any

from django_workflows.core.durations import Duration, to_seconds
from django_workflows.core.headers import Headers, HeaderSource
from django_workflows.errors import FatalError
from django_workflows.http.response import FetchResponse
from django_workflows.replay.definitions import step

if TYPE_CHECKING:
    from django_workflows.http.exchange import Outgoing


@step(name="django_workflows.fetch")
async def fetch(
    url: str,
    method: str = "GET",
    headers: HeaderSource | None = None,
    json: Any = None,
    content: bytes | str | None = None,
    timeout: Duration = "30s",
) -> FetchResponse:
    """Make an HTTP request: in a workflow a step, anywhere else a plain coroutine.

    ``headers`` is a mapping, or a list of pairs; ``json`` is sent as JSON, ``content``
    as it is (text as UTF-8). ``timeout`` is for the whole of one attempt, redirects
    and body included.

    Any answer is returned, except 429 and 5xx, which raise FetchStatusError and are
    retried as the step's policy says, after ``Retry-After`` where the server asks for
    it (at most a day). So do ConnectionError and TimeoutError. What no retry would
    make right is a FatalError: a wrong argument, a scheme other than http and https, a
    host that is not on the public internet (unless
    ``WORKFLOWS["FETCH_ALLOW_PRIVATE"]``), more than 10 redirects. A body of more than
    ``WORKFLOWS["MAX_PAYLOAD_BYTES"]`` raises PayloadTooLargeError.

    Proxies that the environment names are not used. Needs ``httpx``, the extra `http`.
    """
    try:
        from django_workflows.http import exchange
    except ModuleNotFoundError as error:
        if error.name != "httpx":
            raise
        raise FatalError(
            "fetch() needs the package httpx: pip install django-workflows[http]"
        ) from error
    try:
        seconds = to_seconds(timeout)
        request = _request(url, method, headers, json, content)
    except (TypeError, ValueError) as error:
        raise FatalError(f"fetch() cannot make this request: {error}") from error
    return await exchange.exchange(request, seconds)


def _request(
    url: str,
    method: str,
    headers: HeaderSource | None,
    json: Any,
    content: bytes | str | None,
) -> Outgoing:
    """Raises TypeError and ValueError for arguments that make no request."""
    from django_workflows.http.exchange import Outgoing

    sent = Headers(headers or ())
    body = _encoded(content)
    if json is not None:
        if body is not None:
            raise TypeError("give either json or content")
        body = json_module.dumps(json, allow_nan=False).encode()
        if "Content-Type" not in sent:
            sent = Headers([*sent.pairs, ("Content-Type", "application/json")])
    return Outgoing.checked(method, url, sent, body)


def _encoded(content: Any) -> bytes | None:
    if content is None or isinstance(content, bytes):
        return content
    if isinstance(content, str):
        return content.encode()
    if isinstance(content, bytearray | memoryview):
        return bytes(content)
    raise TypeError(f"content takes bytes or text, not {type(content).__name__}")
