"""Django's requests as the values that workflows are sent."""

from __future__ import annotations

from typing import Any
from urllib.parse import quote

from django.http import HttpRequest, UnreadablePostError
from django.utils.encoding import escape_uri_path, iri_to_uri

from django_workflows.conf import conf
from django_workflows.core.headers import Headers
from django_workflows.core.webhooks import WebhookRequest


class UnacceptableBodyError(Exception):
    """The body of a request cannot be taken; ``status`` is what the sender is told."""

    def __init__(self, status: int) -> None:
        super().__init__(status)
        self.status = status


def read_request(token: str, request: HttpRequest) -> WebhookRequest:
    """The request as it came in, for the webhook with this token.

    Raises UnacceptableBodyError, before anything is read if the size is known, and
    DisallowedHost.
    """
    return WebhookRequest(
        method=request.method or "",
        url=_url(token, request),
        headers=_headers(request),
        body=_body(request),
    )


def _url(token: str, request: HttpRequest) -> str:
    """The URL, with the token written as `Webhook.url` writes it: of a slash in the
    path Django does not tell whether it was escaped."""
    path = request.path
    if not path.endswith(token):
        return request.build_absolute_uri()
    query = iri_to_uri(request.META.get("QUERY_STRING", "")) or ""
    return "".join(
        [
            f"{request.scheme}://{request.get_host()}",
            escape_uri_path(path[: len(path) - len(token)]),
            quote(token, safe=""),
            f"?{query}" if query else "",
        ]
    )


def _headers(request: HttpRequest) -> Headers:
    """Each as it came under ASGI; under WSGI the server joins repeated ones."""
    scope: Any = getattr(request, "scope", None)
    if scope is None:
        return Headers(request.headers)
    return Headers(
        (name.decode("latin-1"), value.decode("latin-1"))
        for name, value in scope["headers"]
    )


def _body(request: HttpRequest) -> bytes:
    """The exact bytes, at most WEBHOOK_MAX_BODY. Raises UnacceptableBodyError."""
    limit = conf.WEBHOOK_MAX_BODY
    length = _content_length(request)
    if length is not None and length > limit:
        raise UnacceptableBodyError(413)
    try:
        if hasattr(request, "_body"):
            body = request.body  # somebody has read it before
        else:
            body = _stream(request, length).read(limit + 1)
    except UnreadablePostError:
        raise UnacceptableBodyError(400) from None
    if len(body) > limit:
        raise UnacceptableBodyError(413)
    if length is not None and len(body) != length:
        raise UnacceptableBodyError(400)  # cut off, or read by somebody else
    return body


def _content_length(request: HttpRequest) -> int | None:
    given = request.META.get("CONTENT_LENGTH") or None
    if given is None:
        return None
    if not (given.isascii() and given.isdigit()):
        raise UnacceptableBodyError(400)
    # Digits without end are a number too long to be read.
    return int(given[:20])


def _stream(request: HttpRequest, length: int | None) -> Any:
    """What to read the body from.

    Under WSGI Django takes a request without a length for an empty one. Where it comes
    in chunks, a server that knows their end says so; of others nothing can be read.
    """
    is_chunked = "HTTP_TRANSFER_ENCODING" in request.META
    if length is None and is_chunked and not hasattr(request, "scope"):
        if not request.META.get("wsgi.input_terminated"):
            raise UnacceptableBodyError(411)
        return request.META["wsgi.input"]
    return request
