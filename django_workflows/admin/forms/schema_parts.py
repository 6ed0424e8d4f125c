"""The parts of a JSON schema that have a field each in a form."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from django_workflows.admin.forms.schema_fields import EMPTY
from django_workflows.admin.forms.schemas import (
    is_same,
    is_text,
    resolved,
    without_null,
)


@dataclass(frozen=True)
class Part:
    """A property of a schema, and what it means if its field is left empty."""

    schema: Mapping[str, Any]
    #: A value has to be given.
    is_required: bool
    is_nullable: bool
    #: `EMPTY` if there is none, or none that JSON could say.
    default: Any

    def meaning(self, value: Any) -> Any:
        """The value of what was entered; `EMPTY` to give none.

        A default that was left as it is, is not given: as JSON it may have lost its
        type.
        """
        if value is not EMPTY:
            has_default = self.default is not EMPTY
            return EMPTY if has_default and is_same(value, self.default) else value
        if self.is_nullable and (self.is_required or self.default is not EMPTY):
            return EMPTY if self.default is None else None
        if self.default and isinstance(self.default, str) and is_text(self.schema):
            return ""  # somebody has deleted the default that was there
        return EMPTY


def part_of(schema: Any, root: Mapping[str, Any], is_required: bool) -> Part:
    """A part of a schema; `root` has what it refers to."""
    found = resolved(schema, root)
    default = EMPTY if is_required else found.get("default", EMPTY)
    core, is_nullable = without_null(found, root)
    return Part(core, is_required, is_nullable, default)
