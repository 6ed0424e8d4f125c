"""What JSON schemas say, as far as forms have to know; none is too odd."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

_MOST_REFERENCES = 20


def is_same(one: Any, other: Any) -> bool:
    """Whether two JSON values are the same, types included."""
    return json.dumps(one) == json.dumps(other)


def is_text(schema: Mapping[str, Any]) -> bool:
    """Whether it allows any text."""
    return (
        schema.get("type") == "string"
        and "format" not in schema
        and not choices_of(schema)
    )


def is_decimal(schema: Mapping[str, Any]) -> bool:
    """Whether it is pydantic's for a Decimal: a number, or a text that is one."""
    choices = alternatives_of(schema)
    kinds = [(each.get("type"), each.get("format")) for each in choices]
    return kinds == [("number", None), ("string", "decimal")]


def choices_of(schema: Mapping[str, Any]) -> list[Any]:
    """The values of an enum, or of a union of enums and constants."""
    if "const" in schema:
        return [schema["const"]]
    listed = schema.get("enum")
    if isinstance(listed, list):
        return listed
    found: list[Any] = []
    for alternative in alternatives_of(schema):
        choices = choices_of(alternative)
        if not choices:
            return []
        found += [each for each in choices if not any(is_same(each, f) for f in found)]
    return found


def alternatives_of(schema: Mapping[str, Any]) -> list[dict[str, Any]]:
    """The schemas of a union; none for any other."""
    for key in ("anyOf", "oneOf"):
        listed = schema.get(key)
        if isinstance(listed, list):
            return [each if isinstance(each, dict) else {} for each in listed]
    return []


def without_null(
    schema: dict[str, Any], root: Mapping[str, Any]
) -> tuple[dict[str, Any], bool]:
    """A schema without null as one of its values, and whether it was one of them."""
    if not schema:
        return schema, False
    kind, enum = schema.get("type"), schema.get("enum")
    if kind == "null" or ("const" in schema and schema["const"] is None):
        return {}, True
    if isinstance(enum, list) and None in enum:
        return {**schema, "enum": [each for each in enum if each is not None]}, True
    if isinstance(kind, list) and "null" in kind:
        rest = [each for each in kind if each != "null"]
        return {**schema, "type": rest[0] if len(rest) == 1 else rest}, True
    for key in ("anyOf", "oneOf"):
        if not isinstance(schema.get(key), list):
            continue
        parts = [resolved(each, root) for each in schema[key]]
        rest = [each for each in parts if each.get("type") != "null"]
        others = {name: value for name, value in schema.items() if name != key}
        core = {**rest[0], **others} if len(rest) == 1 else {**others, key: rest}
        return core, len(rest) < len(parts)
    return schema, False


def resolved(schema: Any, root: Mapping[str, Any]) -> dict[str, Any]:
    """A schema with what it refers to in its place, as far as that can be found."""
    found = dict(schema) if isinstance(schema, dict) else {}
    for _step in range(_MOST_REFERENCES):
        every = found.get("allOf")
        if isinstance(every, list) and len(every) == 1 and isinstance(every[0], dict):
            found.pop("allOf")
            found = {**every[0], **found}
        elif isinstance(found.get("$ref"), str):
            target = _at(found.pop("$ref"), root)
            found = {**target, **found}
        else:
            return found
    return {}


def _at(pointer: str, root: Mapping[str, Any]) -> dict[str, Any]:
    """What a reference such as ``#/$defs/Order`` means; {} if there is none."""
    found: Any = root
    for name in pointer.removeprefix("#").split("/")[1:]:
        name = name.replace("~1", "/").replace("~0", "~")
        found = found.get(name) if isinstance(found, dict) else None
    return found if isinstance(found, dict) and found is not root else {}
