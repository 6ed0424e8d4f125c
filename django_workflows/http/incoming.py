"""Bodies of requests, read as they came and never further than allowed."""

from __future__ import annotations

from typing import Any

from django.http import HttpRequest, RawPostDataException, UnreadablePostError


class UnacceptableBodyError(Exception):
    """The body of a request cannot be taken; ``status`` is what the sender is told."""

    def __init__(self, status: int) -> None:
        super().__init__(status)
        self.status = status


def read_body(request: HttpRequest, limit: int) -> bytes:
    """The exact bytes that were sent; the request keeps them as its `body`.

    Raises UnacceptableBodyError for more of them than allowed, before anything is read
    if their number is known, and RawPostDataException if `was_parsed`.
    """
    length = _content_length(request)
    if length is not None and length > limit:
        raise UnacceptableBodyError(413)
    if was_parsed(request):
        raise RawPostDataException(
            "the body of this request is gone: request.POST or request.FILES has read "
            "it, in a middleware or in the view"
        )
    try:
        if hasattr(request, "_body"):
            body = request.body
        else:
            body = _stream(request, length).read(limit + 1)
    except UnreadablePostError:
        raise UnacceptableBodyError(400) from None
    if len(body) > limit:
        raise UnacceptableBodyError(413)
    if length is not None and len(body) != length:
        raise UnacceptableBodyError(400)  # cut off
    request._body = body
    request._read_started = True  # type: ignore[attr-defined]
    return body


def was_parsed(request: HttpRequest) -> bool:
    """Whether somebody has read the body, and has not kept its bytes."""
    is_read: bool = request._read_started  # type: ignore[attr-defined]
    return is_read and not hasattr(request, "_body")


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
