"""Classes by name, and back.

A name in a payload only ever leads to a class, and what asked for it checks that it
is a class of the right kind before anything is built.
"""

from __future__ import annotations

import importlib
import sys

from django_workflows.core.serialization.registry import UnsupportedError
from django_workflows.errors import UnknownCodeError


def display_name(cls: type) -> str:
    """The dotted name of a class for people; builtins have no module."""
    if cls.__module__ == "builtins":
        return cls.__qualname__
    return f"{cls.__module__}.{cls.__qualname__}"


def dotted_name(cls: type) -> str:
    """The name by which ``find_class`` finds ``cls``: ``module:qualname``.

    Raises ``UnsupportedError`` if it would find nothing, or something else.
    """
    module = sys.modules.get(cls.__module__)
    if module is None or _walk(module, cls.__qualname__) is not cls:
        raise UnsupportedError(
            display_name(cls),
            f"its class cannot be imported as {cls.__module__}.{cls.__qualname__}; "
            "define it at the top level of a module",
        )
    return f"{cls.__module__}:{cls.__qualname__}"


def is_native(cls: type) -> bool:
    """Whether the class is written in C, as all builtin ones are."""
    heap_type = 1 << 9
    return not cls.__flags__ & heap_type


def find_class(name: str) -> type:
    """The class called ``module:qualname``.

    Raises ``UnknownCodeError`` if this process does not have it.
    """
    module_name, _, qualname = name.partition(":")
    try:
        module = sys.modules.get(module_name) or importlib.import_module(module_name)
    except Exception as error:
        raise UnknownCodeError(
            f"a payload needs {name}, whose module cannot be imported: {error}"
        ) from error
    found = _walk(module, qualname)
    if not isinstance(found, type):
        raise UnknownCodeError(f"a payload needs the class {name}, which is not there")
    return found


def _walk(module: object, qualname: str) -> object:
    whole = getattr(module, qualname, None)
    if whole is not None:
        # Parametrized pydantic models have dots inside their one name.
        return whole
    found = module
    for part in qualname.split("."):
        found = getattr(found, part, None)
    return found
