"""One exchange by httpx: every address checked, redirects followed, all bounded.

A host's name is looked up once, its addresses are checked, and the connection goes to
one of these very addresses; a second look-up could be answered with another one. The
name stays what the server is told and what its certificate has to be for.

The transport of httpx is used alone. A client would add what is not wanted here:
cookies, proxies and passwords from the environment, and URLs in the log.
"""

from __future__ import annotations

import asyncio
import re
import socket
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing, asynccontextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from functools import lru_cache
from ssl import SSLContext
from typing import cast

import httpx

from django_workflows.conf import conf
from django_workflows.core.headers import Headers
from django_workflows.errors import (
    FatalError,
    FetchStatusError,
    PayloadTooLargeError,
)
from django_workflows.http import bodies
from django_workflows.http.addresses import refusal
from django_workflows.http.response import EXCERPT, FetchResponse, describe
from django_workflows.http.retry_after import retry_after

MAX_REDIRECTS = 10
_REDIRECTS = frozenset({301, 302, 303, 307, 308})
_HOST = re.compile(rb"[A-Za-z0-9._-]+|[0-9A-Fa-f:.]+")
_METHOD = re.compile(r"[A-Za-z][A-Za-z0-9_-]*")
#: Requests that are none for a resource; browsers forbid them as well.
_FORBIDDEN_METHODS = frozenset({"CONNECT", "TRACE", "TRACK"})
#: What goes along to another origin. Anything else may be a secret for the first one.
_HARMLESS = frozenset(
    {
        "accept",
        "accept-language",
        "content-encoding",
        "content-language",
        "content-type",
        "idempotency-key",
        "user-agent",
    }
)


@dataclass(frozen=True)
class Outgoing:
    """A request that is to be made."""

    method: str
    url: httpx.URL
    headers: Headers
    content: bytes | None

    @classmethod
    def checked(
        cls, method: str, url: str, headers: Headers, content: bytes | None
    ) -> Outgoing:
        """Raises ValueError or TypeError for what makes no request of HTTP."""
        if not _METHOD.fullmatch(method) or method.upper() in _FORBIDDEN_METHODS:
            raise ValueError(f"the method {method!r} is not possible")
        made = cls(method.upper(), _checked_url(url), headers, content)
        made.to("")  # what cannot be sent is told before anything is looked up
        return made

    @property
    def host(self) -> str:
        return self.url.raw_host.decode("ascii")

    @property
    def origin(self) -> tuple[str, str, int]:
        port = self.url.port or (443 if self.url.scheme == "https" else 80)
        return (self.url.scheme, self.host, port)

    @property
    def place(self) -> str:
        """What messages say of the URL: its path and query may hold secrets."""
        return f"{self.url.scheme}://{self.url.netloc.decode('ascii')}"

    def to(self, address: str, connect_seconds: float | None = None) -> httpx.Request:
        """The request as httpx sends it to this address. Raises ValueError."""
        headers = [
            (name, value)
            for name, value in _defaults(self.url)
            if name not in self.headers
        ]
        return httpx.Request(
            self.method,
            self.url.copy_with(host=address) if address else self.url,
            headers=[*headers, *self.headers.pairs],
            content=self.content,
            extensions={
                "sni_hostname": self.host.rstrip("."),
                "timeout": {"connect": connect_seconds},
            },
        )

    def redirected(self, status: int, headers: Headers) -> Outgoing | None:
        """The request that a response asks for next; None if it asks for none.

        Raises FatalError if it leads where no request may go.
        """
        if status not in _REDIRECTS or "Location" not in headers:
            return None
        try:
            # Relative to where we are; joined only then is it known what it means.
            url = _checked_url(str(self.url.join(headers["Location"])))
        except (ValueError, httpx.InvalidURL) as error:
            raise FatalError(f"{self.place} redirects wrongly: {error}") from None
        after = replace(self, url=url)
        becomes_get = (
            self.method not in ("GET", "HEAD")
            if status == 303
            else status in (301, 302) and self.method == "POST"
        )
        if becomes_get:
            kept = self.headers.without(
                "Content-Type", "Content-Length", "Content-Encoding", "Content-Language"
            )
            after = replace(after, method="GET", headers=kept, content=None)
        if after.origin != self.origin:
            names = [name for name in after.headers if name not in _HARMLESS]
            after = replace(after, headers=after.headers.without(*names))
        return after


def _defaults(url: httpx.URL) -> list[tuple[str, str]]:
    return [
        ("Host", url.netloc.decode("ascii")),
        ("Accept", "*/*"),
        ("Accept-Encoding", bodies.ACCEPTED),
        ("User-Agent", "django-workflows"),
    ]


def _checked_url(text: str) -> httpx.URL:
    """Raises ValueError for a URL that is wrong or none that may be fetched."""
    if not isinstance(text, str):
        raise TypeError(f"a URL is text, not {type(text).__name__}")
    try:
        url = httpx.URL(text)
    except httpx.InvalidURL as error:
        raise ValueError(f"no URL: {error}") from None
    if url.scheme not in ("http", "https"):
        raise ValueError(f"only http and https are fetched, not {url.scheme!r}")
    if not url.host:
        raise ValueError("the URL names no host")
    # After the IDNA encoding. Resolvers have their own ideas about anything else.
    if not _HOST.fullmatch(url.raw_host) or (url.port or 0) > 65535:
        raise ValueError("no URL: a wrong host or port")
    if url.userinfo:
        raise ValueError(
            "a user or password in the URL; send them in the header Authorization"
        )
    return url


async def exchange(request: Outgoing, seconds: float) -> FetchResponse:
    """Make a request and all that it is redirected to, in so many seconds.

    Raises what ``fetch`` raises.
    """
    what = f"{request.method} {request.place}"
    try:
        async with asyncio.timeout(seconds):
            for _ in range(MAX_REDIRECTS + 1):
                async with _sent(request, seconds) as response:
                    headers = _headers(response)
                    following = request.redirected(response.status_code, headers)
                    if following is None:
                        return await _received(request, response, headers)
                request = following
    except (TimeoutError, httpx.TimeoutException):
        raise TimeoutError(f"{what}: not answered in full in {seconds:g} s") from None
    except httpx.LocalProtocolError as error:
        raise FatalError(f"{what} cannot be sent: {error}") from None
    except httpx.TransportError as error:
        # Its text alone: the error of httpx is of no use where that is not installed.
        told = str(error) or type(error).__name__
        raise ConnectionError(f"{what}: {told}") from None
    raise FatalError(f"{what}: redirected more than {MAX_REDIRECTS} times")


@asynccontextmanager
async def _sent(request: Outgoing, seconds: float) -> AsyncIterator[httpx.Response]:
    """The response to one request, whose body is still to be read."""
    addresses = await resolve(request)
    # A transport for each: a connection to an address must never be used again for
    # another name, whose certificate it has not been checked for.
    async with httpx.AsyncHTTPTransport(verify=_tls(), trust_env=False) as transport:
        response = await _first_answer(transport, request, addresses, seconds)
        try:
            yield response
        finally:
            await response.aclose()


async def _first_answer(
    transport: httpx.AsyncHTTPTransport,
    request: Outgoing,
    addresses: list[str],
    seconds: float,
) -> httpx.Response:
    """Ask the first address that takes a connection; each has its share of the time."""
    failure: httpx.TransportError | None = None
    for address in addresses:
        try:
            return await transport.handle_async_request(
                request.to(address, seconds / len(addresses))
            )
        except (httpx.ConnectError, httpx.ConnectTimeout) as error:
            failure = error
    assert failure is not None, "a name has an address, or is not resolved"
    raise failure


async def resolve(request: Outgoing) -> list[str]:
    """The addresses of the request's host, all of which may be connected to.

    Raises FatalError if one of them may not, ConnectionError if there is none.
    """
    _, host, port = request.origin
    loop = asyncio.get_running_loop()
    try:
        found = await loop.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except UnicodeError:
        raise FatalError(f"{host} is no name of a host") from None
    except socket.gaierror as error:
        raise ConnectionError(f"{host} is not found: {error.strerror}") from None
    addresses = list(dict.fromkeys(str(entry[4][0]) for entry in found))
    if not conf.FETCH_ALLOW_PRIVATE:
        for address in addresses:
            if (kind := refusal(address)) is not None:
                raise FatalError(
                    f"fetch() does not connect to {host}: its address {address} is "
                    f"{kind}. WORKFLOWS['FETCH_ALLOW_PRIVATE'] would allow it."
                )
    return addresses


async def _received(
    request: Outgoing, response: httpx.Response, headers: Headers
) -> FetchResponse:
    status = response.status_code
    must_retry = status == 429 or status >= 500
    limit = 4 * EXCERPT if must_retry else conf.MAX_PAYLOAD_BYTES
    declared = headers.get("Content-Length", "")
    is_whole = must_retry or request.method == "HEAD" or not declared.isdecimal()
    is_whole = is_whole or int(declared) <= limit
    body = b""
    if is_whole:
        stream = cast(AsyncGenerator[bytes, None], response.aiter_raw())
        async with aclosing(stream) as chunks:
            body, is_whole = await bodies.read(chunks, headers, limit)
    found = FetchResponse(status, headers, body, str(request.url))
    if must_retry:
        raise FetchStatusError(
            f"{request.place} answered {describe(status)}",
            status=status,
            excerpt=found.text()[:EXCERPT],
            retry_after=retry_after(headers, datetime.now(UTC)),
        )
    if not is_whole:
        raise PayloadTooLargeError(
            f"the body from {request.place} is larger than "
            f"WORKFLOWS['MAX_PAYLOAD_BYTES'], which is {limit:,}; let a step of your "
            "own store it, and pass a reference to it"
        )
    return found


def _headers(response: httpx.Response) -> Headers:
    encoding = response.headers.encoding
    return Headers(
        (name.decode(encoding), value.decode(encoding))
        for name, value in response.headers.raw
    )


@lru_cache(maxsize=1)
def _tls() -> SSLContext:
    """Reading all the certificates takes longer than a request."""
    return httpx.create_ssl_context()
