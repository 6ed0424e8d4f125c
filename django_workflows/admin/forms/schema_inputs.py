"""Which field a part of a JSON schema has in a form."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from typing import Any

from django import forms
from django.utils.timezone import get_current_timezone_name
from django.utils.translation import gettext as _

from django_workflows.admin.forms.schema_fields import (
    EMPTY,
    CheckField,
    ChoiceField,
    FloatField,
    IntegerField,
    JsonField,
    TextField,
    ValueField,
)
from django_workflows.admin.forms.schema_parts import Part
from django_workflows.admin.forms.schemas import choices_of, is_decimal, resolved
from django_workflows.admin.forms.time_fields import (
    DateField,
    DateTimeField,
    DurationField,
    TimeField,
)
from django_workflows.replay.defined_hooks import IDENTITY

_NONE = "---------"
#: Up to this length text is a line.
_LINE = 100


def field_for(part: Part, root: Mapping[str, Any], schema: Any) -> ValueField:
    """The field for a part; `schema` is what the root says of it, with null and all."""
    described = resolved(schema, root)
    field = _input(part) or json_field_for(part, root, schema)
    description = described.get("description") or part.schema.get("description")
    texts = [description] if isinstance(description, str) else []
    if isinstance(field, DurationField):
        texts.append(_("A duration, such as 1h30m or PT5M."))
    if isinstance(field, DateTimeField) and not field.is_local:
        zone = get_current_timezone_name()
        texts.append(_("In the time zone %(zone)s.") % {"zone": zone})
    field.help_text = " ".join(texts)
    title = schema.get("title") if isinstance(schema, dict) else None
    field.label = title if isinstance(title, str) else None
    if part.default is not EMPTY and (part.default is not None):
        with suppress(ValueError):  # an odd default, which the field cannot show
            field.initial = field.written(part.default)
    return field


def json_field_for(part: Part, root: Mapping[str, Any], schema: Any) -> JsonField:
    """The field for a part that takes any JSON value, and shows the schema."""
    shown = resolved(schema, root)
    if "$defs" in root and "$ref" in repr(shown):
        shown = {**shown, "$defs": root["$defs"]}
    silent = ("title", "default", "description", IDENTITY)
    shown = {key: value for key, value in shown.items() if key not in silent}
    return JsonField(required=part.is_required and not part.is_nullable, schema=shown)


def _input(part: Part) -> ValueField | None:
    """The field for a value that is one input; None if it needs to be JSON."""
    schema = part.schema
    required = part.is_required and not part.is_nullable
    options: dict[str, Any] = {"required": required}
    choices = choices_of(schema)
    if choices:
        must_be_one = part.default in choices and not part.is_nullable
        return ChoiceField(choices, None if must_be_one else _NONE, **options)
    kind, form = schema.get("type"), schema.get("format")
    if kind == "boolean":
        if part.is_nullable or not (part.is_required or type(part.default) is bool):
            return ChoiceField([True, False], _NONE, **options)
        return CheckField(required=False)
    if kind == "integer":
        return _bounded(IntegerField(**options), schema)
    if kind == "number":
        return _bounded(FloatField(**options), schema)
    if is_decimal(schema):
        attrs = {"class": "vTextField", "inputmode": "decimal"}
        return ValueField(widget=forms.TextInput(attrs), **options)
    if kind == "string":
        return _text_field(schema, form, options)
    return None


def _text_field(
    schema: Mapping[str, Any], form: Any, options: dict[str, Any]
) -> ValueField:
    if form == "date":
        return DateField(**options)
    if form == "time":
        return TimeField(**options)
    if form in ("date-time", "date-time-local"):
        return DateTimeField(is_local=form == "date-time-local", **options)
    attrs = {"class": "vTextField"}
    if form == "duration":
        return DurationField(widget=forms.TextInput(attrs), **options)
    if form == "password":
        # Shown, like any argument: who may not see payloads does not see it later.
        attrs["autocomplete"] = "off"
    longest = schema.get("maxLength")
    if isinstance(form, str) or (isinstance(longest, int) and longest <= _LINE):
        return TextField(widget=forms.TextInput(attrs), **options)
    attrs = {"class": "vLargeTextField dw-one-line", "rows": "1"}
    return TextField(widget=forms.Textarea(attrs), **options)


def _bounded(field: ValueField, schema: Mapping[str, Any]) -> ValueField:
    for key, attribute in (("minimum", "min"), ("maximum", "max")):
        if type(schema.get(key)) in (int, float):
            field.widget.attrs[attribute] = schema[key]
    return field
