"""Django's requests as the values that workflows are sent."""

from __future__ import annotations

from typing import Any
from urllib.parse import quote

from django.http import HttpRequest
from django.utils.encoding import escape_uri_path, iri_to_uri

from django_workflows.conf import conf
from django_workflows.core.headers import Headers
from django_workflows.core.webhooks import WebhookRequest
from django_workflows.http.incoming import read_body


def read_request(token: str, request: HttpRequest) -> WebhookRequest:
    """The request as it came in, for the webhook with this token.

    Raises UnacceptableBodyError, before anything is read if the size is known, and
    DisallowedHost.
    """
    return WebhookRequest(
        method=request.method or "",
        url=_url(token, request),
        headers=_headers(request),
        body=read_body(request, conf.WEBHOOK_MAX_BODY),
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
