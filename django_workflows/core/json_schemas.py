"""JSON schemas of Python types, for people, forms and programs that send values."""

from __future__ import annotations

from typing import Any

from pydantic.json_schema import GenerateJsonSchema, JsonSchemaValue


class TolerantSchema(GenerateJsonSchema):
    """Describes whatever pydantic validates.

    A type that JSON schema cannot describe takes any value, and a default that is no
    JSON is left out, without a warning.
    """

    ignored_warning_kinds = {"skipped-choice", "non-serializable-default"}

    def handle_invalid_for_json_schema(
        self, schema: Any, error_info: str
    ) -> JsonSchemaValue:
        return {}
