"""What to do about a value that cannot be serialized."""

from __future__ import annotations

import inspect
import io
import sys
import types
from collections.abc import Iterator

_GENERAL = (
    "pass plain data, make it a dataclass, register it with register_type(), or give "
    "its class __workflow_encode__ and __workflow_decode__"
)
_BUILTIN_BASES = (
    str, bytes, bytearray, int, float, complex, list, tuple, dict, set, frozenset
)  # fmt: skip


def advice_for(value: object) -> str:
    """One sentence that tells how to get around the refusal of ``value``."""
    if inspect.iscoroutine(value) or inspect.isawaitable(value):
        return "await it first"
    if isinstance(value, type):
        return "pass its dotted name instead"
    if isinstance(
        value, types.FunctionType | types.BuiltinFunctionType | types.MethodType
    ):
        return "make it a @step, or pass the data that it needs"
    if isinstance(value, io.IOBase):
        return "read it and pass the bytes, or pass its path"
    if isinstance(value, Iterator) or inspect.isasyncgen(value):
        return "pass a list of its items"
    if isinstance(value, types.ModuleType):
        return "import it where it is used"
    if isinstance(value, memoryview):
        return "pass bytes(...) of it"
    django = _django_advice(value)
    if django is not None:
        return django
    for base in _BUILTIN_BASES:
        if isinstance(value, base):
            return (
                f"it is a subclass of {base.__name__}; pass a plain "
                f"{base.__name__}, or register the class with register_type()"
            )
    return _GENERAL


def _django_advice(value: object) -> str | None:
    kinds = (
        ("django.db.models.query", "QuerySet", "pass a list of primary keys"),
        ("django.db.models.query", "RawQuerySet", "pass a list of primary keys"),
        ("django.db.models.manager", "BaseManager", "use it inside a step"),
        ("django.http", "HttpRequest", "pass the parts of it that are needed"),
        ("django.utils.functional", "Promise", "pass str(...) of the lazy text"),
    )
    for module_name, class_name, advice in kinds:
        cls = getattr(sys.modules.get(module_name), class_name, None)
        if cls is not None and isinstance(value, cls):
            return advice
    return None
