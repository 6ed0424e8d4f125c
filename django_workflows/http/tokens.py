"""Tokens in URLs, which no log and no error report shows.

Who has a token may send to its hook, so it is a secret like a password. Django writes
the path of a request that fails to its log, and reports of errors show the variables
of every frame. Here a token is an object that does not show itself, and a request
forgets its path before somebody writes that down. What stands before Django, a proxy
or the server itself, has logs of its own.
"""

from __future__ import annotations

from django.http import HttpRequest
from django.urls import register_converter

HIDDEN = "[token]"
#: What servers call the URL, besides what Django makes of it.
_URLS = ("PATH_INFO", "REQUEST_URI", "RAW_URI", "UNENCODED_URL", "REDIRECT_URL")


class HiddenToken:
    """A token that shows itself to those alone who ask for it."""

    __slots__ = ("_token",)

    def __init__(self, token: str) -> None:
        self._token = token

    def reveal(self) -> str:
        return self._token

    def __repr__(self) -> str:
        return HIDDEN


class _TokenConverter:
    """Any text: slashes and line breaks too."""

    regex = r"(?s:.+)"

    def to_python(self, value: str) -> HiddenToken:
        return HiddenToken(value)

    def to_url(self, value: HiddenToken | str) -> str:
        return value.reveal() if isinstance(value, HiddenToken) else value


#: What to call the converter in a route: ``path(f"<{CONVERTER}:token>/", ...)``.
CONVERTER = "workflows_token"
register_converter(_TokenConverter, CONVERTER)


def forget_path(request: HttpRequest) -> None:
    """Put the route in place of the request's path, for whoever writes that down."""
    match = request.resolver_match
    hidden = f"/{match.route}" if match else HIDDEN
    request.path = request.path_info = hidden
    for name in _URLS:
        if name in request.META:
            request.META[name] = hidden
    # A form of the browsable API is sent from its own page.
    if "HTTP_REFERER" in request.META:
        request.META["HTTP_REFERER"] = HIDDEN
