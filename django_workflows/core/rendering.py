"""Values as JSON for people: in the API, in streams, in the admin, on the command line.

What `WORKFLOWS["REDACT"]` names is left out. Nothing here changes what is stored.
"""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from functools import lru_cache
from typing import Any

from django_workflows.conf import conf
from django_workflows.core.failures import Failure
from django_workflows.core.payloads import unseal
from django_workflows.core.serialization import dumps, to_plain
from django_workflows.core.serialization.exceptions import safe_message
from django_workflows.core.serialization.hiding import HIDDEN, Hiding
from django_workflows.core.serialization.names import display_name
from django_workflows.core.serialization.plain import is_bytes
from django_workflows.errors import SerializationError, WorkflowError


def to_json(value: Any, *, redact: bool = True) -> Any:
    """``value`` as JSON data, by the rules of ``to_plain``; never raises for what a run
    can hold. What could not be stored shows as the name of its type.
    """
    if isinstance(value, BaseException):
        return _error(display_name(type(value)), safe_message(value), _hiding(redact))
    try:
        return to_plain(dumps(value, lenient=True), _hiding(redact))
    except SerializationError:
        return f"[{display_name(type(value))}]"


def payload_to_json(sealed: bytes | None, *, redact: bool = True) -> Any:
    """A stored value as JSON data; None for none.

    Builds it as little as possible, so that classes may be gone. What cannot be read,
    say for want of its key, shows as text that says why.
    """
    if sealed is None:
        return None
    try:
        return to_plain(unseal(sealed), _hiding(redact))
    except WorkflowError as error:
        return f"[unreadable: {error}]"


def metadata_to_json(sealed: bytes | None, webhook: Mapping[str, Any] | None) -> Any:
    """The metadata of a hook as JSON data: without the answer that is stored with those
    of some webhooks, by what other processes know of the webhook."""
    plain = payload_to_json(sealed)
    if webhook and webhook.get("respond_with") == "static" and isinstance(plain, dict):
        return plain.get("metadata")
    return plain


def payload_fields(sealed: bytes) -> dict[str, Any]:
    """A stored value as fields of a message: ``data``, for bytes ``encoding`` too."""
    plain = payload_to_json(sealed)
    try:
        if is_bytes(unseal(sealed)):
            fields: dict[str, Any] = plain
            return fields
    except WorkflowError:
        pass  # `plain` says why it cannot be read
    return {"data": plain}


def call_to_json(
    sealed: bytes | None,
    signature: inspect.Signature | None = None,
    *,
    redact: bool = True,
) -> dict[str, Any]:
    """Stored arguments as ``{"args": [...], "kwargs": {...}}``.

    With the signature of what they were given to, positional ones are redacted by the
    names of their parameters.
    """
    plain = payload_to_json(sealed, redact=redact)
    match plain:
        case [list(args), dict(kwargs)]:
            pass
        case _:
            return {"args": [plain], "kwargs": {}}
    hiding = _hiding(redact)
    for index, name in enumerate(_positional(signature)[: len(args)]):
        if hiding.hides(name):
            args[index] = HIDDEN
    return {"args": args, "kwargs": kwargs}


def error_to_json(sealed: bytes | None, *, redact: bool = True) -> Any:
    """A stored failure as ``{"type": ..., "message": ...}``; None for none."""
    if sealed is None:
        return None
    try:
        failure = Failure.of(unseal(sealed))
    except WorkflowError as error:
        return _error("unknown", f"[unreadable: {error}]", _hiding(redact))
    return _error(failure.type_name, failure.message, _hiding(redact))


def text_to_show(text: str) -> str:
    """A text that may repeat values, without what it says of hidden names."""
    return _hiding(True).scrub(text)


def traceback_of(sealed: bytes, *, redact: bool = True) -> str:
    """The traceback of a stored failure; empty for one that cannot be read, whose
    error says why."""
    try:
        return _hiding(redact).scrub(Failure.of(unseal(sealed)).traceback)
    except WorkflowError:
        return ""


def _error(type_name: str, message: str, hiding: Hiding) -> Mapping[str, Any]:
    shown: Mapping[str, Any] = to_plain(
        dumps({"type": type_name, "message": hiding.scrub(message)})
    )
    return shown


def _positional(signature: inspect.Signature | None) -> list[str]:
    if signature is None:
        return []
    return [
        parameter.name
        for parameter in signature.parameters.values()
        if parameter.kind
        in (parameter.POSITIONAL_ONLY, parameter.POSITIONAL_OR_KEYWORD)
    ]


def _hiding(redact: bool) -> Hiding:
    return _made(tuple(conf.REDACT) if redact else ())


@lru_cache(maxsize=8)
def _made(names: tuple[str, ...]) -> Hiding:
    return Hiding(names)
