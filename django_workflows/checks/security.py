"""Checks of who may do what, and of what is kept secret.

Some run with `manage.py check --deploy` only: what they warn of is fine while
developing.
"""

from __future__ import annotations

from collections.abc import Iterator
from ipaddress import ip_address
from typing import Any
from urllib.parse import urlsplit

from django.core import checks
from django.utils.module_loading import import_string

from django_workflows.checks.options import wrong_options
from django_workflows.conf import conf

_METHODS = {
    "PERMISSION_CLASSES": ("has_permission", "has_object_permission"),
    "AUTHENTICATION_CLASSES": ("authenticate",),
}
_FERNET = "django_workflows.codecs.FernetCodec"


@checks.register("workflows")
def check_access(**kwargs: Any) -> list[checks.CheckMessage]:
    """The classes that decide who may do what are there, and the keys are keys."""
    if wrong_options():
        return []
    return [*_wrong_classes(), *_wrong_keys()]


@checks.register("workflows", deploy=True)
def check_deployment(**kwargs: Any) -> list[checks.CheckMessage]:
    """Nothing is open to the world that was meant for a developer."""
    if wrong_options() or any(_wrong_classes()):
        return []
    return [*_everybody(), *_base_url(), *_private_addresses()]


# -- always --------------------------------------------------------------------------


def _wrong_classes() -> Iterator[checks.CheckMessage]:
    for key, methods in _METHODS.items():
        for named in getattr(conf, key) or ():
            problem = _problem(named, methods)
            if problem:
                yield checks.Error(
                    f"WORKFLOWS[{key!r}]: {named} {problem}.",
                    hint="Give REST framework's classes, your own, or dotted names of "
                    "them, such as 'rest_framework.permissions.IsAdminUser'.",
                    id="django_workflows.E027",
                )


def _problem(named: Any, methods: tuple[str, ...]) -> str | None:
    if isinstance(named, str):
        try:
            named = import_string(named)
        except ImportError as error:
            return f"cannot be imported: {error}"
    if not callable(named):
        return "is no class"
    # What `A | B` makes of classes is none itself, and is called as one.
    missing = [m for m in methods if isinstance(named, type) and not hasattr(named, m)]
    return f"has no method {' and no '.join(missing)}" if missing else None


def _wrong_keys() -> Iterator[checks.CheckMessage]:
    if conf.PAYLOAD_CODEC != _FERNET:
        return
    from cryptography.fernet import Fernet

    for number, key in enumerate(conf.ENCRYPTION_KEYS):
        try:
            Fernet(key)
        except ValueError:
            yield checks.Error(
                f"WORKFLOWS['ENCRYPTION_KEYS'][{number}] is no key.",
                hint="Make one with cryptography.fernet.Fernet.generate_key()"
                ".decode(): 32 bytes in URL-safe base64.",
                id="django_workflows.E028",
            )


# -- before a deployment -------------------------------------------------------------


def _everybody() -> Iterator[checks.CheckMessage]:
    from rest_framework import permissions

    if conf.PERMISSION_CLASSES is None:
        return
    classes = {
        import_string(named) if isinstance(named, str) else named
        for named in conf.PERMISSION_CLASSES
    }
    open_to = None
    if classes <= {permissions.AllowAny}:
        open_to = "anybody at all may see and steer every run"
    elif classes <= {
        permissions.AllowAny,
        permissions.IsAuthenticatedOrReadOnly,
        permissions.DjangoModelPermissionsOrAnonReadOnly,
    }:
        open_to = "anybody at all may see every run"
    elif classes <= {permissions.AllowAny, permissions.IsAuthenticated}:
        open_to = "every user who can log in may see and steer every run"
    if open_to:
        yield checks.Warning(
            f"WORKFLOWS['PERMISSION_CLASSES']: {open_to}, with what it was given and "
            "what it returned.",
            hint="Leave it out, for staff only, or add a permission class of your own "
            "that decides by the run (see docs/security.md).",
            id="django_workflows.W040",
        )


def _base_url() -> Iterator[checks.CheckMessage]:
    try:
        url = urlsplit(conf.BASE_URL)
        scheme, host = url.scheme, url.hostname or ""
    except ValueError:
        scheme, host = "", ""
    problem = None
    if _is_local(host):
        problem = "nobody outside gets there"
    elif scheme != "https":
        problem = "whoever listens in learns their tokens"
    if problem:
        yield checks.Warning(
            f"WORKFLOWS['BASE_URL'] is {conf.BASE_URL!r}: the URLs of webhooks begin "
            f"with it, and {problem}.",
            hint="Give the address at which the site is reached from outside, "
            "beginning with https://.",
            id="django_workflows.W041",
        )


def _is_local(host: str) -> bool:
    try:
        return not ip_address(host).is_global
    except ValueError:
        return host in ("", "localhost") or host.endswith(".localhost")


def _private_addresses() -> Iterator[checks.CheckMessage]:
    if conf.FETCH_ALLOW_PRIVATE:
        yield checks.Warning(
            "WORKFLOWS['FETCH_ALLOW_PRIVATE'] lets fetch() connect to your own "
            "network: who has a say in a URL reaches what is meant for inside only.",
            hint="Remove it, and call what is inside from a step of your own.",
            id="django_workflows.W042",
        )
