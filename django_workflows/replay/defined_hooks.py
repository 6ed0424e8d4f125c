"""Hooks whose payloads have a schema, and how another process finds that schema.

Whoever sends to a hook may be in a process that knows only the hook's row. The row says
what payloads look like, as JSON schema, and under the key `IDENTITY` what the Python
type is called by which a process that has imported the definition validates them. JSON
schema can neither say all that a Python type checks nor make the value that the
workflow expects: it is for people and forms, never for validation.
"""

from __future__ import annotations

import re
import sys
from functools import cached_property
from typing import Any, Generic, TypeVar

from pydantic import TypeAdapter

from django_workflows.core.json_schemas import TolerantSchema
from django_workflows.replay import hooks
from django_workflows.replay.api import current_execution
from django_workflows.replay.hooks import Hook
from django_workflows.replay.launcher import require_launcher

T = TypeVar("T")

#: The key of a recorded schema that names the Python type.
IDENTITY = "x-python-type"


class DefinedHook(Generic[T]):
    """A hook whose payloads have a schema; see :func:`define_hook`."""

    def __init__(self, schema: Any, identity: str) -> None:
        self.schema = schema
        self.identity = identity
        self.adapter: TypeAdapter[T] = TypeAdapter(schema)

    def create(self, token: str | None = None, metadata: Any = None) -> Hook:
        """``create_hook()`` in a workflow."""
        execution = current_execution("create()")
        return hooks.create_hook(
            execution, token, metadata, {"schema": self.json_schema}
        )

    @cached_property
    def json_schema(self) -> dict[str, Any]:
        """What payloads look like, and the name of the type; plain JSON values.

        Of a type that JSON schema cannot describe it says no more than the name.
        """
        described = self.adapter.json_schema(schema_generator=TolerantSchema)
        return {**described, IDENTITY: self.identity}

    def validate(self, payload: Any) -> T:
        """The payload as the schema's type. Raises pydantic.ValidationError."""
        return self.adapter.validate_python(payload)

    def validate_json(self, payload: str) -> T:
        """The same for JSON text, of which some types take more: dates, say."""
        return self.adapter.validate_json(payload)

    def resume(self, token: str, payload: Any) -> Any:
        """Validate and send a payload. Returns the Run.

        Raises pydantic.ValidationError, and then nothing is delivered, and
        HookNotFoundError.
        """
        return require_launcher().resume_hook(token, self.validate(payload))

    async def aresume(self, token: str, payload: Any) -> Any:
        return await require_launcher().aresume_hook(token, self.validate(payload))


#: By identity; None where two different types go by the same.
_defined: dict[str, DefinedHook[Any] | None] = {}


def define_hook(schema: Any) -> DefinedHook[Any]:
    """A kind of hook with validated payloads.

    `schema` is a pydantic model or any type that pydantic's TypeAdapter takes. What is
    delivered is the validated value. Define it where every process imports it, a
    ``workflows.py`` for example: a payload that comes over HTTP is refused by a process
    that does not know the schema.
    """
    identity = _identity(schema, sys._getframe(1).f_globals.get("__name__", ""))
    made: DefinedHook[Any] = DefinedHook(schema, identity)
    known = _defined.get(identity, made)
    # A class of the same name is the same class, defined again by a reload; anything
    # else that only looks the same (a lambda that validates, say) may be another type.
    is_clear = known is not None and (_is_class(schema) or known.schema == schema)
    _defined[identity] = made if is_clear else None
    return made


def find_defined_hook(json_schema: dict[str, Any]) -> DefinedHook[Any] | None:
    """What this process knows to validate payloads of a recorded schema with."""
    return _defined.get(str(json_schema[IDENTITY]))


def _is_class(schema: Any) -> bool:
    return isinstance(schema, type)


def _identity(schema: Any, module: str) -> str:
    """What a type is called in every process that runs the same code."""
    if _is_class(schema):
        return f"{schema.__module__}.{schema.__qualname__}"
    return f"{module}: {re.sub(r' at 0x[0-9a-fA-F]+', '', repr(schema))}"
