"""JSON schemas of Python types, for people, forms and programs that send values."""

from __future__ import annotations

from typing import Any

from pydantic.json_schema import GenerateJsonSchema, JsonSchemaValue
from pydantic_core import core_schema


class TolerantSchema(GenerateJsonSchema):
    """Describes whatever pydantic validates.

    A type that JSON schema cannot describe takes any value, and a default that is no
    JSON is left out, without a warning. Decimals, and times that have no zone, are
    told by their format from other text.
    """

    ignored_warning_kinds = {"skipped-choice", "non-serializable-default"}

    def handle_invalid_for_json_schema(
        self, schema: Any, error_info: str
    ) -> JsonSchemaValue:
        return {}

    def decimal_schema(self, schema: core_schema.DecimalSchema) -> JsonSchemaValue:
        described = super().decimal_schema(schema)
        for choice in described.get("anyOf", [described]):
            if choice.get("type") == "string":
                choice["format"] = "decimal"
        return described

    def datetime_schema(self, schema: core_schema.DatetimeSchema) -> JsonSchemaValue:
        described = super().datetime_schema(schema)
        if schema.get("tz_constraint") == "naive":
            described["format"] = "date-time-local"
        return described
