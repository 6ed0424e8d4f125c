"""Checks of the `WORKFLOWS` setting."""

from __future__ import annotations

import difflib
from collections.abc import Iterator, Mapping
from importlib.util import find_spec
from typing import Any

from django.conf import settings
from django.core import checks
from django.core.exceptions import ImproperlyConfigured
from django.utils.module_loading import import_string

from django_workflows.conf import DEFAULTS, conf

_LISTS = ("PERMISSION_CLASSES", "AUTHENTICATION_CLASSES")
"""Keys that take a list, besides those whose default is one."""
_SECRET = ("ENCRYPTION_KEYS", "REDIS_URL")
"""Keys whose values are not repeated in messages, which end in logs."""


@checks.register("workflows")
def check_options(**kwargs: Any) -> list[checks.CheckMessage]:
    """`WORKFLOWS` has known keys only, with values that mean something."""
    return wrong_options() or [*_codec(), *_together()]


def wrong_options() -> list[checks.CheckMessage]:
    """What makes the setting as a whole unusable; other checks wait for its repair."""
    given = getattr(settings, "WORKFLOWS", None) or {}
    if not isinstance(given, Mapping):
        return [
            checks.Error(
                f"The setting WORKFLOWS is a {type(given).__name__}.",
                hint='Make it a dict: WORKFLOWS = {"LEASE": "15s"}.',
                id="django_workflows.E020",
            )
        ]
    wrong = [*map(_unknown, conf.unknown_keys()), *_wrong_values(given)]
    if not wrong and conf.DATABASE not in settings.DATABASES:
        known = ", ".join(sorted(settings.DATABASES))
        wrong.append(
            checks.Error(
                f"WORKFLOWS['DATABASE'] is {conf.DATABASE!r}, which is not in "
                "DATABASES.",
                hint=f"Use one of: {known}.",
                id="django_workflows.E024",
            )
        )
    return wrong


def _unknown(key: str) -> checks.CheckMessage:
    close = difflib.get_close_matches(key.upper(), DEFAULTS, n=1)
    known = ", ".join(sorted(DEFAULTS))
    return checks.Error(
        f"WORKFLOWS[{key!r}] is no setting of django_workflows.",
        hint=f"Did you mean {close[0]!r}?" if close else f"Known are: {known}.",
        id="django_workflows.E021",
    )


def _wrong_values(given: Mapping[str, Any]) -> Iterator[checks.CheckMessage]:
    for key, value in given.items():
        if key in DEFAULTS and (problem := _problem(key, value)):
            shown = "" if key in _SECRET else f" = {value!r}"
            yield checks.Error(
                f"WORKFLOWS[{key!r}]{shown}: {problem}.",
                hint=f"The default is {DEFAULTS[key]!r}.",
                id="django_workflows.E022",
            )


def _problem(key: str, value: Any) -> str | None:
    """What is wrong with the value, judged by the kind of the key's default."""
    try:
        getattr(conf, key)
    except ImproperlyConfigured as error:
        return str(error).partition(": ")[2] or str(error)
    default = DEFAULTS[key]
    if isinstance(default, bool):
        return None if isinstance(value, bool) else "it has to be True or False"
    if isinstance(default, int):
        whole = isinstance(value, int) and not isinstance(value, bool)
        return None if whole and value > 0 else "it has to be a positive whole number"
    if default is None and value is None:
        return None
    if isinstance(default, list) or key in _LISTS:
        if not isinstance(value, list | tuple):
            return "it has to be a list"
        texts = key in _LISTS or all(isinstance(item, str) for item in value)
        return None if texts else "it has to be a list of texts"
    if isinstance(getattr(conf, key), str | float):
        return None
    return "it has to be text"


def _codec() -> Iterator[checks.CheckMessage]:
    path = conf.PAYLOAD_CODEC
    if path is None:
        return
    try:
        codec = import_string(path)
    except ImportError as error:
        problem = f"cannot be imported: {error}"
    else:
        missing = [n for n in ("encode", "decode") if not hasattr(codec, n)]
        if not missing:
            return
        problem = f"has no method {' and no '.join(missing)}"
    yield checks.Error(
        f"WORKFLOWS['PAYLOAD_CODEC']: {path} {problem}.",
        hint="Give the dotted path of a class with encode(bytes) and decode(bytes), "
        "such as 'django_workflows.codecs.FernetCodec'.",
        id="django_workflows.E023",
    )


def _together() -> Iterator[checks.CheckMessage]:
    """Keys that have to fit other keys, settings or packages."""
    if conf.REDIS_URL and find_spec("redis") is None:
        yield checks.Error(
            "WORKFLOWS['REDIS_URL'] is set, but the redis package is not installed.",
            hint="pip install django-workflows[redis]",
            id="django_workflows.E025",
        )
    encrypts = conf.PAYLOAD_CODEC == "django_workflows.codecs.FernetCodec"
    if encrypts and not conf.ENCRYPTION_KEYS:
        yield checks.Error(
            "WORKFLOWS['PAYLOAD_CODEC'] encrypts, but WORKFLOWS['ENCRYPTION_KEYS'] is "
            "empty.",
            hint="Add a key made with cryptography.fernet.Fernet.generate_key().",
            id="django_workflows.E026",
        )
    if conf.HISTORY_WARNING >= conf.HISTORY_LIMIT:
        yield checks.Warning(
            f"WORKFLOWS['HISTORY_WARNING'] ({conf.HISTORY_WARNING}) is not below "
            f"WORKFLOWS['HISTORY_LIMIT'] ({conf.HISTORY_LIMIT}): runs fail unwarned.",
            hint="Lower HISTORY_WARNING or raise HISTORY_LIMIT.",
            id="django_workflows.W020",
        )
