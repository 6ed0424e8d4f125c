"""Who may open a websocket; asked before it is accepted, refused without a reason."""

from __future__ import annotations

from collections.abc import Mapping
from importlib import import_module
from io import BytesIO
from typing import Any
from urllib.parse import urlsplit

from django.apps import apps
from django.conf import settings
from django.core.exceptions import BadRequest, PermissionDenied, SuspiciousOperation
from django.core.handlers.asgi import ASGIRequest
from django.http import Http404
from django.http.request import split_domain_port, validate_host
from rest_framework.authentication import SessionAuthentication
from rest_framework.exceptions import APIException
from rest_framework.request import Request

from django_workflows.push.requests import FollowView, Wanted

_REFUSALS = (
    APIException,
    BadRequest,
    Http404,
    PermissionDenied,
    SuspiciousOperation,
    UnicodeDecodeError,
)
_SESSIONS = ("django.contrib.auth", "django.contrib.sessions")
#: As for requests, where the project names no hosts while it is being developed.
_LOCAL_HOSTS = [".localhost", "127.0.0.1", "[::1]"]


class RefusedError(Exception):
    """The client may not follow this run, whatever the reason."""


def admit(scope: Mapping[str, Any], run_id: str) -> tuple[Wanted, bool]:
    """What a websocket's client wants to follow, and whether it wants events too.

    Raises RefusedError.
    """
    view = FollowView()
    try:
        django_request = _request(scope)
        # Read now: authentication replaces it.
        session_user = getattr(django_request, "user", None)
        view.setup(django_request, run_id=run_id)
        request = view.initialize_request(django_request)
        view.request = request
        view.initial(request)
        if not _comes_from_here(request, session_user):
            raise RefusedError
        wanted = view.wanted(request, run_id)
    except _REFUSALS as error:
        raise RefusedError from error
    return wanted, request.query_params.get("events") == "1"


def _request(scope: Mapping[str, Any]) -> ASGIRequest:
    """The handshake as the request that it is, of whoever has the session."""
    scheme = "https" if scope.get("scheme") == "wss" else "http"
    http = {**scope, "type": "http", "method": "GET", "scheme": scheme}
    request = ASGIRequest(http, BytesIO())
    if "user" in scope:
        request.user = scope["user"]
        request.session = scope.get("session", {})
    elif all(map(apps.is_installed, _SESSIONS)):
        # The project does not wrap its routes in Channels' AuthMiddlewareStack.
        from django.contrib.auth import get_user

        engine = import_module(settings.SESSION_ENGINE)
        cookie = request.COOKIES.get(settings.SESSION_COOKIE_NAME)
        request.session = engine.SessionStore(cookie)
        request.user = get_user(request)
    return request


def _comes_from_here(request: Request, session_user: Any) -> bool:
    """Whether the page that opens the websocket is one of ours.

    Browsers say which page it is, and send cookies whatever page it is. Who brings
    credentials of its own is no browser, and need not say.
    """
    origin = request.headers.get("Origin")
    if origin is None:
        return not _has_session(request, session_user)
    try:
        parts = urlsplit(origin)
    except ValueError:
        return False
    host, _ = split_domain_port(parts.netloc)
    allowed = settings.ALLOWED_HOSTS
    if settings.DEBUG and not allowed:
        allowed = _LOCAL_HOSTS
    return parts.scheme in ("http", "https") and validate_host(host, allowed)


def _has_session(request: Request, session_user: Any) -> bool:
    """Whether a cookie says who the client is."""
    if isinstance(request.successful_authenticator, SessionAuthentication):
        return True
    is_user_of_session = (
        session_user is not None
        and session_user.is_authenticated
        and session_user == request.user
    )
    return is_user_of_session and "Authorization" not in request.headers
