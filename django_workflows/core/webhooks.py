"""Requests to webhooks, and the answers to them, as values."""

from __future__ import annotations

import json
import operator
import re
from collections.abc import Callable
from dataclasses import dataclass
from http.cookies import CookieError, Morsel
from typing import Any
from urllib.parse import quote, unquote, urlsplit

from asgiref.sync import sync_to_async
from django.core.serializers.json import DjangoJSONEncoder

from django_workflows.core.forms import Form, Query, parse_form
from django_workflows.core.headers import Headers, HeaderSource, decode_text
from django_workflows.core.serialization import register_type

#: Where webhooks are, below the site's address; the token follows.
PATH = ".well-known/workflow/v1/webhook/"
#: Statuses whose answers have no body.
EMPTY = frozenset({204, 205, 304})
#: What the server says of the connection and the length is not for us to say.
RESERVED = frozenset(
    {
        "connection",
        "content-length",
        "keep-alive",
        "proxy-authenticate",
        "proxy-authorization",
        "te",
        "trailer",
        "trailers",
        "transfer-encoding",
        "upgrade",
    }
)
#: What names of methods and of headers are made of.
TOKEN = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_VALUE = re.compile(r"[\t\x20-\x7e\x80-\xff]*")


def webhook_url(base: str, token: str) -> str:
    """Where to send requests to a webhook, below a site's address."""
    return f"{base}/{PATH}{quote(token, safe='')}"


@dataclass(frozen=True, repr=False)
class WebhookResponse:
    """An answer to a webhook's sender.

    ``status`` is 200 to 599. ``headers`` are given as a mapping or as pairs. Raises
    TypeError and ValueError for what could not be sent.
    """

    status: int
    body: bytes
    headers: Headers

    def __init__(
        self, status: int = 200, body: bytes = b"", headers: HeaderSource = ()
    ) -> None:
        if not 200 <= operator.index(status) <= 599:
            raise ValueError(f"a response's status is 200 to 599, not {status!r}")
        if not isinstance(body, bytes | bytearray | memoryview):
            raise TypeError(
                f"the body of a response is bytes, not {type(body).__name__}; "
                "use WebhookResponse.text() or .json()"
            )
        if status in EMPTY and len(body):
            raise ValueError(f"a response with status {status} has no body")
        object.__setattr__(self, "status", operator.index(status))
        object.__setattr__(self, "body", bytes(body))
        object.__setattr__(self, "headers", _checked(Headers(headers)))

    @classmethod
    def json(
        cls, value: Any, status: int = 200, headers: HeaderSource = ()
    ) -> WebhookResponse:
        """An answer in JSON; Django's encoder adds dates, UUIDs and decimals.

        Raises TypeError and ValueError for what JSON cannot say, NaN for one.
        """
        body = json.dumps(value, cls=DjangoJSONEncoder, allow_nan=False).encode()
        return cls(status, body, _with_type(headers, "application/json"))

    @classmethod
    def text(
        cls, text: str, status: int = 200, headers: HeaderSource = ()
    ) -> WebhookResponse:
        """An answer in plain text, as UTF-8."""
        kind = "text/plain; charset=utf-8"
        return cls(status, text.encode(), _with_type(headers, kind))

    def __repr__(self) -> str:
        return f"<WebhookResponse {self.status}, {len(self.body)} bytes>"


def _with_type(source: HeaderSource, content_type: str) -> Headers:
    headers = Headers(source)
    if "Content-Type" in headers:
        return headers
    return Headers([("Content-Type", content_type), *headers.pairs])


def _checked(headers: Headers) -> Headers:
    for name, value in headers.pairs:
        if not TOKEN.fullmatch(name):
            raise ValueError(f"{name!r} is no name of a header")
        if name.lower() in RESERVED:
            raise ValueError(f"the header {name} is the server's own to send")
        if not _VALUE.fullmatch(value):
            # The value itself may be a secret.
            raise ValueError(
                f"the value of the header {name} has a line break or another "
                "character that headers cannot have"
            )
    for text in headers.getlist("Set-Cookie"):
        _check_cookie(text)
    return headers


def _check_cookie(text: str) -> None:
    name, has_value, _ = text.partition(";")[0].partition("=")
    try:
        Morsel[str]().set(name.strip(), "", "")
    except CookieError:
        has_value = ""
    if not has_value or not text.isascii():
        raise ValueError("a header Set-Cookie is no cookie: name=value, in ASCII")


@dataclass(frozen=True, repr=False)
class WebhookRequest:
    """A request that came in through a webhook.

    ``headers`` are found in any case, ``headers.getlist(name)`` has each value of a
    repeated one; ``body`` is exactly what was sent.
    """

    method: str
    url: str
    headers: Headers
    body: bytes
    #: Names the sender's wait for an answer; empty if nobody waits for one.
    delivery_id: str

    def __init__(
        self,
        method: str = "POST",
        url: str = "",
        headers: HeaderSource = (),
        body: bytes = b"",
        delivery_id: str = "",
    ) -> None:
        object.__setattr__(self, "method", method)
        object.__setattr__(self, "url", url)
        object.__setattr__(self, "headers", Headers(headers))
        object.__setattr__(self, "body", body)
        object.__setattr__(self, "delivery_id", delivery_id)

    @property
    def path(self) -> str:
        """The path of the URL, with escaped characters as they are meant."""
        return unquote(urlsplit(self.url).path)

    @property
    def query(self) -> Query:
        """The query of the URL: names and their last values; `getlist` has each."""
        return Query(urlsplit(self.url).query)

    def text(self) -> str:
        """The body as text, in the charset that the headers name, else UTF-8.

        Bytes that are none of it become U+FFFD.
        """
        return decode_text(self.headers, self.body)

    def json(self) -> Any:
        """The body as JSON. Raises ValueError if it is none."""
        try:
            return json.loads(self.body)
        except RecursionError:
            raise ValueError("the body is JSON nested too deeply") from None

    def form(self) -> Form:
        """The form in the body, by fields; its ``files`` have the uploaded files.

        Empty if the headers name no type of form. Raises ValueError if the body is not
        what they say.
        """
        return parse_form(self.headers, self.body)

    def awaiting(self, delivery_id: str) -> WebhookRequest:
        """This request, whose sender waits under that id."""
        return WebhookRequest(
            self.method, self.url, self.headers, self.body, delivery_id
        )

    def respond_with(self, response: WebhookResponse) -> None:
        """Answer the sender, who waits; from a step, of a webhook with
        ``respond_with="manual"``.

        Raises RuntimeError outside of a step, if the request has been answered before,
        and if its sender waits no more.
        """
        if not isinstance(response, WebhookResponse):
            raise TypeError(
                f"respond_with() takes a WebhookResponse, not {response!r:.100}"
            )
        _answer(self, response)

    async def arespond_with(self, response: WebhookResponse) -> None:
        """The same, in asynchronous steps."""
        await sync_to_async(self.respond_with)(response)

    def __repr__(self) -> str:
        # The URL holds the token, and headers and body may hold other secrets.
        return f"<WebhookRequest {self.method}, {len(self.body)} bytes>"


@dataclass(frozen=True)
class WithResponse:
    """What is stored as the metadata of a webhook that answers by itself: the answer,
    which may be large or secret, and what its workflow gave as metadata."""

    response: WebhookResponse
    metadata: Any = None


def metadata_of(stored: Any) -> Any:
    """What the workflow gave as metadata of a hook, by what is stored."""
    return stored.metadata if isinstance(stored, WithResponse) else stored


def _answer_nowhere(request: WebhookRequest, response: WebhookResponse) -> None:
    raise RuntimeError(
        "respond_with() can only be called inside a step, in a project with "
        "'django_workflows' in INSTALLED_APPS"
    )


_answer: Callable[[WebhookRequest, WebhookResponse], None] = _answer_nowhere


def install(answer: Callable[[WebhookRequest, WebhookResponse], None]) -> None:
    """Let `answer` bring the answers of steps to those who wait for them."""
    global _answer
    _answer = answer


register_type(
    WebhookRequest,
    encode=lambda request: {
        "method": request.method,
        "url": request.url,
        "headers": request.headers,
        "body": request.body,
        "delivery_id": request.delivery_id,
    },
    decode=lambda parts: WebhookRequest(**parts),
    name="django_workflows.WebhookRequest",
)
register_type(
    WebhookResponse,
    encode=lambda response: {
        "status": response.status,
        "body": response.body,
        "headers": response.headers,
    },
    decode=lambda parts: WebhookResponse(**parts),
    name="django_workflows.WebhookResponse",
)
register_type(
    WithResponse,
    encode=lambda stored: {
        "response": stored.response,
        "metadata": stored.metadata,
    },
    decode=lambda parts: WithResponse(**parts),
    name="django_workflows.WithResponse",
)
